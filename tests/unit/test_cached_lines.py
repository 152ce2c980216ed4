"""Lines that are kept from one simulation to the next are those of the same file, read in the same way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.client.tasks.similarity import Similarity
from harness.experiment.simulate import cached_lines
from harness.experiment.simulate.cached_lines import CachedJsonl

ROW = '{"text1": "a", "text2": "%s"}\n'


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_lines, "_kept", [])


def seconds(path: Path, items: int, **more: Any) -> list[str]:
    """The second sentence of each row."""
    return [data.text2 for _, data, _ in CachedJsonl(path, items, **more).rows(Similarity())]


def test_a_small_file_is_parsed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(ROW % "b" + ROW % "c")
    assert seconds(path, 3) == ["b", "c", "b"]
    (_, first), *_ = cached_lines._kept
    assert seconds(path, 2) == ["b", "c"]
    assert cached_lines._kept[0][1] is first
    path.write_text(ROW % "d" + ROW % "e")
    os.utime(path, ns=(1, 1))
    assert seconds(path, 2) == ["d", "e"]


def test_lines_with_a_priority_are_checked_though_they_were_read_without_one(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(ROW % "b" + '{"text1": "a", "text2": "c", "priority": "high"}\n')
    assert seconds(path, 2) == ["b", "c"]
    assert seconds(path, 2, priorities=True) == ["b"]


def test_a_file_with_a_malformed_line_is_not_kept(tmp_path: Path) -> None:
    """Its bad lines are counted in each load."""
    path = tmp_path / "in.jsonl"
    path.write_text(ROW % "b" + "{}\n")
    for _ in range(2):
        assert seconds(path, 2) == ["b"]
    assert cached_lines._kept == []
