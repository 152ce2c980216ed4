"""`paceline export`: every recorded request as one table, to the nanosecond, also of damaged or interrupted runs."""

from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.client.types import Outcome
from harness.measure.record.plan import write_plan
from harness.measure.reduce.request_table import COLUMNS, Table
from reports.request_table import write_csv
from tests.measure_samples import CASE, fail, leave, plan, plan_case, request_rows
from tests.raw_records import raw_rows


def export(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def run_dir(folder: Path, name: str = CASE) -> Path:
    folder.mkdir(exist_ok=True)
    write_plan(plan(plan_case(name)), folder)
    return folder


def table_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_csv_has_every_row_as_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a reader of its own of the record file; the parts of a latency add up to it."""
    run = run_dir(tmp_path)
    leave(run, request_rows(40, gap_ms=3))
    assert export(capsys, run, "--format", "csv")[0] == 0
    rows = table_of(run / "requests.csv")
    assert list(rows[0]) == list(COLUMNS)
    raw = raw_rows(next((run / "records").glob("*.requests")))
    assert len(rows) == len(raw) == 40
    for row, (index, due, fired, first_sent, sent, first_byte, last_chunk, done, *_) in zip(rows, raw, strict=True):
        assert int(row["index"]) == index
        for name, ns in (("due", due), ("fired", fired), ("first_sent", first_sent), ("sent", sent), ("done", done)):
            assert nanoseconds(row[f"{name}_s"]) == ns
        assert nanoseconds(row["first_byte_s"]) == first_byte
        assert (last_chunk, row["last_chunk_s"]) == (-1, "")
        parts = ("lag_s", "queue_wait_s", "retry_time_s", "service_time_s")
        assert sum(nanoseconds(row[part]) for part in parts) == nanoseconds(row["latency_s"]) == done - due
        assert (row["outcome"], row["status"], row["cached"], row["case"]) == ("ok", "200", "false", CASE)


def nanoseconds(text: str) -> int:
    whole, _, part = text.partition(".")
    assert len(part) == 9
    return int(whole) * 10**9 + int(part)


def test_processes_share_one_time_axis_and_what_did_not_happen_is_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_dir(tmp_path)
    never = fail(request_rows(2), Outcome.cancelled)
    for name in ("first_sent", "sent", "first_byte"):
        never[name] = -1
    leave(run, request_rows(3), process=0, t0_unix_s=1000.5)
    leave(run, never, process=1, t0_unix_s=1000.0)
    assert export(capsys, run, "--format", "csv")[0] == 0
    rows = table_of(run / "requests.csv")
    assert {row["zero_unix_s"] for row in rows} == {"1000.000000000"}
    assert rows[0]["due_s"] == "0.500000000"
    late = [row for row in rows if row["process"] == "1"]
    assert {(row["sent_s"], row["service_time_s"], row["status"], row["outcome"]) for row in late} == {
        ("", "", "", "cancelled")
    }


def test_parquet_has_the_same_rows_with_types_and_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = run_dir(tmp_path)
    leave(run, request_rows(50))
    leave(run, request_rows(50), repeat=1)
    code, out, _ = export(capsys, run)
    assert code == 0
    assert "100 requests" in out
    assert export(capsys, run, "--format", "csv")[0] == 0
    table = parquet.read_table(run / "requests.parquet")
    assert table.column_names == list(COLUMNS)
    assert table.schema.field("due_s").metadata[b"unit"] == b"s"
    for row, other in zip(table.to_pylist(), table_of(run / "requests.csv"), strict=True):
        assert row["case"] == other["case"]
        assert row["latency_s"] == float(other["latency_s"])
        assert row["repeat"] == int(other["repeat"])
        assert row["last_chunk_s"] is None


def test_an_interrupted_run_is_exported_and_damage_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A torn last frame is how a killed process leaves a file; a flipped bit is damage."""
    run = run_dir(tmp_path / "torn")
    leave(run, request_rows(30), end=None)
    records = next((run / "records").glob("*.requests"))
    records.write_bytes(records.read_bytes()[:-5])
    code, _, err = export(capsys, run, "--format", "csv")
    assert (code, err) == (0, "")
    assert len(table_of(run / "requests.csv")) == 20
    run = run_dir(tmp_path / "bad")
    leave(run, request_rows(30))
    records = next((run / "records").glob("*.requests"))
    data = bytearray(records.read_bytes())
    data[-20] ^= 1
    records.write_bytes(data)
    code, _, err = export(capsys, run, "--format", "csv")
    assert code == 4
    assert "rows are damaged" in err
    assert len(table_of(run / "requests.csv")) == 20


def test_rows_that_the_process_has_written_and_that_are_gone_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_dir(tmp_path)
    leave(run, request_rows(30))
    records = next((run / "records").glob("*.requests"))
    records.write_bytes(records.read_bytes()[: -10 * request_rows(1).nbytes - request_rows(1).nbytes])
    code, _, err = export(capsys, run, "--format", "csv")
    assert code == 4
    assert "some are missing" in err


def test_the_name_of_a_case_is_no_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_dir(tmp_path, "=1+1")
    leave(run, request_rows(1), case="=1+1")
    code, out, _ = export(capsys, run, "--format", "csv", "--output", "-")
    assert code == 0
    assert "\n'=1+1," in out


def test_mistakes_are_one_line_and_leave_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_dir(tmp_path / "run")
    leave(run, request_rows(2))
    for arguments, said in (
        ([tmp_path / "no"], "not a run directory"),
        ([run, "--format", "xlsx"], "xlsx"),
        ([run, "--format", "csv", "--output", tmp_path / "no" / "x.csv"], "--output"),
    ):
        code, _, err = export(capsys, *arguments)
        assert code == 2
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.part"))


class _Sink(io.StringIO):
    """Counts and forgets."""

    def write(self, text: str) -> int:
        return len(text)


@pytest.mark.no_cover
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Eight times the rows, the same memory: blocks are made one by one."""
    peaks = []
    for rows in (1000, 8000):
        run = run_dir(tmp_path / str(rows))
        leave(run, np.tile(request_rows(100), rows // 100))
        table = Table(run)
        tracemalloc.start()
        assert write_csv(table.blocks(), _Sink()) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000
