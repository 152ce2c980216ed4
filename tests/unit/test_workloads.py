"""JSONL files shared between client applications: bad lines in all places, each counted once."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import UsageError
from harness.client.tasks.similarity import Similarity
from harness.load.lines import count_lines
from harness.load.workloads import jsonl as module
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic

TASK = Similarity()


def write(path: Path, goods: list[bool]) -> Path:
    """A line each: an item, or something else."""
    row = json.dumps({"text1": "a", "text2": "b"})
    path.write_text("".join((row if good else "no item") + "\n" for good in goods))
    return path


@given(goods=st.lists(st.booleans(), min_size=1, max_size=30), parts=st.integers(1, 5), times=st.integers(1, 3))
def test_parts_together_give_every_good_line_and_count_every_bad_one_once(
    tmp_path_factory: pytest.TempPathFactory, goods: list[bool], parts: int, times: int
) -> None:
    """However often the file is read: items are numbered through, bad lines are those of the file."""
    path = write(tmp_path_factory.mktemp("jsonl") / "f", goods)
    files = [Jsonl(path, items=times * len(goods)) for _ in range(parts)]
    indexes: list[int] = []
    for part, file in enumerate(files):
        try:
            indexes += [index for index, _, _ in file.rows(TASK, part, parts)]
        except UsageError:
            assert not any(goods[part::parts])
    assert sorted(indexes) == [n for n in range(times * len(goods)) if goods[n % len(goods)]]
    if any(goods):
        assert sum(file.bad_lines for file in files) == goods.count(False)
        assert min((f.first_bad for f in files if f.first_bad), default=(0, ""))[0] == (
            goods.index(False) + 1 if False in goods else 0
        )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"text1": ' + b"[" * 100_000, "recursion"),
        (b'{"text1": "a", "text2": "b", "priority": true}', "priority=True is not a whole number"),
        (b'{"text1": "a", "text2": "b", "priority": 1000001}', "within a million"),
        (b'{"text1": "\xff", "text2": "b"}', "utf-8"),
        (b"null", "null"),
    ],
)
def test_odd_lines_are_bad_lines(tmp_path: Path, line: bytes, why: str) -> None:
    """Counted, named, never fatal."""
    path = tmp_path / "f"
    path.write_bytes(line + b'\n{"text1": "a", "text2": "b"}\n')
    file = Jsonl(path, priorities=True)
    assert len(list(file.rows(TASK))) == 1
    assert file.bad_lines == 1
    assert str(file.first_bad_line).startswith("line 1: ")
    assert why in str(file.first_bad_line)


def test_a_line_that_is_too_long_belongs_to_one_part_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a number like every other line."""
    monkeypatch.setattr(module, "LINE_MAX", 64)
    monkeypatch.setattr("harness.load.lines.LINE_MAX", 64)
    path = tmp_path / "f"
    row = b'{"text1": "a", "text2": "b"}\n'
    path.write_bytes(row + b"x" * 500 + b"\n" + row)
    files = [Jsonl(path), Jsonl(path)]
    assert [[index for index, _, _ in file.rows(TASK, part, 2)] for part, file in enumerate(files)] == [[0, 2], []]
    assert [file.bad_lines for file in files] == [0, 1]
    assert files[1].first_bad_line == "line 2: longer than 64 bytes"


def test_lines_of_a_large_file_are_estimated_from_its_beginning(tmp_path: Path) -> None:
    """For progress only."""
    path = tmp_path / "f"
    path.write_bytes(b"x" * 99 + b"\n" + (b"x" * 99 + b"\n") * 39_999)
    assert count_lines(path) == 40_000
    assert count_lines(path, at_most_bytes=1) == pytest.approx(40_000, rel=0.001)
    path.write_bytes(b"")
    assert count_lines(path) == 0


@given(st.sampled_from(["constant", "uniform", "lognormal"]), st.floats(3, 50), st.integers(0, 2**32))
def test_lengths_stay_within_their_bounds(distribution: str, mean: float, seed: int) -> None:
    """Whatever is drawn."""
    made = Synthetic(distribution, mean=mean, sigma=2.0, low=3, high=50)  # type: ignore[arg-type] # one of the three
    assert all(3 <= made.length(Random(seed + n)) <= 50 for n in range(20))


def test_a_file_whose_first_lines_are_of_another_kind_is_refused(tmp_path: Path) -> None:
    """With the count that was asked for, and the first reason; a part with no line of its own is not a mistake."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "x"}\n' * 5 + '{"text1": "a", "text2": "b"}\n')
    with pytest.raises(UsageError, match="no line among the first 3 is an item of this task; line 1: text1"):
        list(Jsonl(path, 3).rows(Similarity()))
    assert len(list(Jsonl(path, 6).rows(Similarity()))) == 1
    path.write_text('{"text1": "a", "text2": "b"}\n')
    assert list(Jsonl(path, 1).rows(Similarity(), part=1, parts=2)) == []
