"""Inputs of several workers: several files, tables, packed files; the output left as parts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.fleet import files_cutter
from harness.bulk.fleet.cutter import Cutter, GroupsCutter
from harness.bulk.fleet.files_cutter import FilesCutter
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.types import Outcome
from harness.load.folder import files_of
from harness.load.rows import RowReader
from tests.bulk import helpers
from tests.bulk.fleet.inside import go, settings
from tests.bulk.helpers import Server, rows, write_input


def several(folder: Path) -> list[str]:
    """JSONL with blank and malformed lines and no last line break, CSV with quoted line breaks, and gzip."""
    lines = [json.dumps({"text": f"one {number}"}) for number in range(120)]
    lines[10], lines[60], lines[70] = "", "{broken", "   "
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "b.csv").write_text("id,text\n" + "".join(f'{number},"two\n{number}"\n' for number in range(90)))
    packed = "".join(json.dumps({"id": f"g{number}", "text": f"three {number}"}) + "\n" for number in range(40))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(packed.encode()))
    (folder / "d.jsonl").write_text(json.dumps({"id": "last", "text": "four"}) + "\n")
    return [str(folder / name) for name in ("a.jsonl", "b.csv", "c.jsonl.gz", "d.jsonl")]


def both(folder: Path, inputs: list[str], **more: Any) -> tuple[Path, Path]:
    """The outputs of one process and of three workers."""
    judge = Server(judge=lambda index, call: Outcome.ok)
    wanted = {"input": inputs[0], "more_inputs": tuple(inputs[1:]), "errors_max": 0.5, **more}
    assert helpers.go(settings(folder, output=str(folder / "alone.jsonl"), **wanted), judge).complete
    assert go(settings(folder, output=str(folder / "out.jsonl"), **wanted), range_lines=25).complete
    return folder / "alone.jsonl", folder / "out.jsonl"


def test_several_files_give_the_output_of_one_process(tmp_path: Path) -> None:
    """Numbers of rows over all files, ids of files, places in dead letters: byte by byte."""
    alone, out = both(tmp_path, several(tmp_path))
    assert out.read_bytes() == alone.read_bytes()
    assert Path(f"{out}.dead.jsonl").read_bytes() == Path(f"{alone}.dead.jsonl").read_bytes()
    assert len(rows(out)) == 117 + 90 + 40 + 1


def test_a_folder_gives_the_output_of_one_process(tmp_path: Path) -> None:
    """As a list of its files."""
    (tmp_path / "in").mkdir()
    several(tmp_path / "in")
    alone, out = both(tmp_path, [str(tmp_path / "in")])
    assert out.read_bytes() == alone.read_bytes()


def test_several_files_are_resumed_within_a_file(tmp_path: Path) -> None:
    """Ranges that were cut stay, and the next ones follow them."""
    inputs = several(tmp_path)
    more = {"input": inputs[0], "more_inputs": tuple(inputs[1:]), "errors_max": 0.5}

    def dies(worker: str, beat: Any) -> bool:
        return 5 in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}

    assert go(settings(tmp_path, **more), dies=dies, range_lines=25).stopped == "worker"
    assert go(settings(tmp_path, resume=True, **more), range_lines=25).complete
    assert helpers.go(settings(tmp_path, output=str(tmp_path / "alone.jsonl"), **more)).complete
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert go(settings(tmp_path, resume=True, **more)).nothing_to_do
    (tmp_path / "b.csv").write_text("id,text\n1,changed\n")
    with pytest.raises(UsageError, match="is not the input"):
        go(settings(tmp_path, resume=True, **more))


def test_the_rest_is_done_when_one_of_the_files_breaks_off(tmp_path: Path) -> None:
    """The break, a poisoned line and a refusal are dead letters; with workers as in one process."""
    inputs = several(tmp_path)
    packed = (tmp_path / "c.jsonl.gz").read_bytes()
    (tmp_path / "c.jsonl.gz").write_bytes(packed[: len(packed) // 2])

    def judge(index: int, call: int) -> Outcome:
        if index == 17:
            return Outcome.client_error
        return Outcome.rejected if (index * 7 + call) % 20 == 0 else Outcome.ok

    more = {"input": inputs[0], "more_inputs": tuple(inputs[1:]), "errors_max": 0.5}
    alone = str(tmp_path / "alone.jsonl")
    for summary in (
        helpers.go(settings(tmp_path, **more, output=alone), Server(judge)),
        go(settings(tmp_path, **more), Server(judge), range_lines=25),
    ):
        assert summary.complete
        assert not summary.passed
        assert summary.text.startswith("1 file breaks off or is damaged: rows after that place are missing")
        assert summary.counts["dead"].keys() == {"client_error", "bad_line", "broken_file"}
        assert "breaks off in the middle of its gzip data" in summary.counts["samples"]["broken_file"]
    answers, letters = rows(tmp_path / "out.jsonl"), rows(tmp_path / "out.jsonl.dead.jsonl")
    lines = sorted(row["line"] for row in [*answers, *letters])
    assert lines == list(range(1, len(lines) + 1))
    assert answers[-1]["id"] == "last"
    broken = next(letter for letter in letters if letter["class"] == "broken_file")
    assert broken["file"].endswith("c.jsonl.gz")
    assert broken["line"] == lines[-1] - 1
    assert [row["line"] for row in rows(tmp_path / "alone.jsonl")][-1] == lines[-1]


@pytest.mark.parametrize("lines_max", [1, 7, 100])
@pytest.mark.parametrize("end", ["\n", ""])
def test_ranges_cover_a_file_without_gap(tmp_path: Path, lines_max: int, end: str) -> None:
    """At line ends, with the numbers of their lines; also when cutting goes on after a range."""
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join("x" * (number % 13) for number in range(1, 51)) + end)
    ranges = []
    cutter = Cutter(str(path), RowReader(path), False, lines_max)
    while (one := cutter.next()) is not None:
        ranges.append(one)
        cutter = Cutter(str(path), RowReader(path), False, lines_max, one)
    data = path.read_bytes()
    assert b"".join(data[one.begin : one.end] for one in ranges) == data
    assert [one.line for one in ranges] == [1 + lines_max * number for number in range(len(ranges))]
    assert sum(one.lines for one in ranges) == 50
    assert all(one.end == len(data) or data[one.end - 1 : one.end] == b"\n" for one in ranges)


def test_large_lines_end_a_range_at_their_own_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range has about as many bytes as allowed, and whole lines."""
    monkeypatch.setattr("harness.bulk.fleet.cutter.RANGE_BYTES", 1000)
    monkeypatch.setattr("harness.bulk.fleet.cutter.READ_BYTES", 300)
    path = tmp_path / "in.jsonl"
    path.write_text("".join("y" * 700 + "\n" for _ in range(9)))
    cutter, ranges = Cutter(str(path), RowReader(path), False, 10_000), []
    while (one := cutter.next()) is not None:
        ranges.append(one)
    assert [one.lines for one in ranges] == [2, 2, 2, 2, 1]


def test_rows_of_several_files_are_estimated(tmp_path: Path) -> None:
    """From the part that was cut."""
    names = several(tmp_path)
    cutter = FilesCutter(files_of(names[0], names[1:]), InputSettings(), 25)
    assert cutter.lines_expected(1000) is None
    while cutter.next() is not None:
        pass
    size = sum(Path(name).stat().st_size for name in names)
    assert cutter.lines_expected(size) == 118 + 90 + 40 + 1


def test_parts_may_be_left(tmp_path: Path) -> None:
    """The output is the list of them, in order; a complete run of that form cannot be continued as another."""
    write_input(tmp_path / "in.jsonl", 130)
    assert go(settings(tmp_path), keep_parts=True).passed
    listed = rows(tmp_path / "out.jsonl")
    assert [entry["lines"] for entry in listed] == [[1, 50], [51, 100], [101, 130]]
    found = [row["line"] for entry in listed for row in rows(tmp_path / entry["part"])]
    assert found == list(range(1, 131))
    assert sorted(path.suffix for path in (tmp_path / "out.jsonl.parts").iterdir()) == [".jsonl"] * 3
    assert go(settings(tmp_path, resume=True), keep_parts=True).nothing_to_do
    with pytest.raises(UsageError, match='order was "parts"'):
        go(settings(tmp_path, resume=True))
    with pytest.raises(UsageError, match='order was "parts"'):
        helpers.go(settings(tmp_path, resume=True))


@pytest.mark.parametrize("beside", [False, True])
def test_groups_of_rows_of_parquet_are_ranges(tmp_path: Path, beside: bool) -> None:
    """Alone and among other files; the output is that of one process."""
    arrow = pytest.importorskip("pyarrow", reason="needs the parquet extra")
    from pyarrow import parquet

    table = arrow.Table.from_pylist([{"id": f"p{number}", "text": f"row {number}"} for number in range(230)])
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=20)
    inputs = [str(tmp_path / "in.parquet"), *(several(tmp_path) if beside else [])]
    alone, out = both(tmp_path, inputs)
    assert out.read_bytes() == alone.read_bytes()
    assert len([row for row in rows(out) if str(row.get("id")).startswith("p")]) == 230
    cutter = GroupsCutter([20] * 11 + [10], 45)
    ranges = []
    while (one := cutter.next()) is not None:
        ranges.append(one)
        cutter = GroupsCutter([20] * 11 + [10], 45, one)
    assert [(one.begin, one.end, one.line, one.lines) for one in ranges][-2:] == [(8, 10, 161, 40), (10, 12, 201, 30)]


def test_one_of_several_files_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was reported as a disk that cannot be written."""
    names = several(tmp_path)
    look = files_cutter._can_be_cut

    def refused(path: Path, reader: RowReader) -> bool:
        if path.name == "b.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, reader)

    monkeypatch.setattr(files_cutter, "_can_be_cut", refused)
    summary = go(settings(tmp_path, input=names[0], more_inputs=tuple(names[1:])), range_lines=25)
    assert (summary.stopped, summary.text) == ("input", f"{names[1]}: Permission denied")
    monkeypatch.undo()
    files = files_of(names[0], names[1:])
    Path(names[2]).unlink()
    with pytest.raises(UsageError, match=r"c\.jsonl\.gz: No such file or directory"):
        FilesCutter(files, InputSettings(), 25)
