"""Input files that a load reads several times: their rows are parsed once, within a bound."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness.client.tasks.similarity import Similarity
from harness.load.workloads import jsonl
from harness.load.workloads.jsonl import Jsonl, KeptRows


def counting() -> tuple[Similarity, list[object]]:
    """A task, and the rows that it has parsed."""
    parsed: list[object] = []

    class Counting(Similarity):
        def parse(self, row: Mapping[str, Any], /) -> Any:
            parsed.append(row)
            return super().parse(row)

    return Counting(), parsed


def test_rows_of_a_small_file_are_parsed_once_and_those_of_a_large_one_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"text1": f"{n}", "text2": "b"}) + "\n" for n in range(4)) + "no json\n")
    task, parsed = counting()

    small = Jsonl(path, items=15)
    of = [(index, data.text1) for index, data, _ in small.rows(task)]
    assert of == [(index, str(index % 5)) for index in range(15) if index % 5 < 4]
    assert (len(parsed), small.bad_lines) == (4, 1)

    monkeypatch.setattr(jsonl, "KEPT_BYTES", 30)
    large = Jsonl(path)
    task, parsed = counting()
    for _ in range(3):
        assert [data.text1 for _, data, _ in large.rows(task)] == ["0", "1", "2", "3"]
    # The first two lines use up the room.
    assert (len(parsed), large.bad_lines) == (8, 1)


def test_applications_of_a_process_share_the_rows_that_they_parsed(tmp_path: Path) -> None:
    """Each is parsed once, and a malformed line is counted once, by the application to which it belongs first."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"text1": f"{n}", "text2": "b"}) + "\n" for n in range(4)) + "no json\n")
    (task, parsed), kept = counting(), KeptRows()
    readers = [Jsonl(path), Jsonl(path)]
    for reader in readers:
        reader.kept = kept
    taken = [list(islice(reader.endless(task, part, 2), 9)) for part, reader in enumerate(readers)]
    assert [[data.text1 for data, _ in rows] for rows in taken] == [list("021302130"), list("130213021")]
    assert len(parsed) == 4
    assert [reader.bad_lines for reader in readers] == [1, 0]
