"""Recorded traces: how they are read, what is played of them, and the hash of their schedule."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from array import array
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.trace_settings import TraceSettings
from harness.experiment.cases import cases, describe
from harness.experiment.settings import RunSettings
from harness.experiment.spec import SAMPLE_PAIRS, CaseSpec
from harness.load.schedule import compute
from harness.load.traces.played_trace import Changes, played
from harness.load.traces.reading import Rows, read
from harness.load.traces.trace_forms import AZURE, BURSTGPT, MOONCAKE

DATA = SAMPLE_PAIRS.parent
MADE = {"mooncake.jsonl": MOONCAKE, "burstgpt.csv": BURSTGPT, "azure.csv": AZURE}


def rows_at(*at_s: float, **columns: list[int]) -> Rows:
    """A trace with arrivals at these seconds."""
    made = Rows(MOONCAKE, array("d", at_s))
    made.inputs = array("I", columns.get("inputs", [100] * len(at_s)))
    made.outputs = array("I", columns.get("outputs", [5] * len(at_s)))
    made.sessions = array("q", columns.get("sessions", []))
    return made


def case_of(trace: Path | str, **more: Any) -> CaseSpec:
    """The case of `paceline run replay`."""
    settings = RunSettings(
        strategies=("unbounded",), scenario="replay", simulated=True, trace=TraceSettings(trace=str(trace), **more)
    )
    return cases(settings, describe("replay"))[0]


# Reading.


def test_the_traces_that_are_shipped_are_made_by_their_program(tmp_path: Path) -> None:
    """None is copied from a published trace."""
    subprocess.run([sys.executable, str(DATA / "make_traces.py"), str(tmp_path)], check=True)
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


@pytest.mark.parametrize("name", MADE)
def test_a_form_is_recognised_by_its_columns(name: str) -> None:
    """All rows with tokens are read, in order, from zero."""
    rows = read(str(DATA / name))
    assert rows.form == MADE[name]
    assert rows.at_s[0] == 0.0
    assert list(rows.at_s) == sorted(rows.at_s)
    assert (len(rows), rows.left_out) == {"mooncake": (60, 0), "burstgpt": (78, 2), "azure": (50, 0)}[rows.form.name]


def test_mooncake_times_are_milliseconds_and_ids_are_kept() -> None:
    lines = [json.loads(line) for line in (DATA / "mooncake.jsonl").read_text().splitlines()]
    rows = read(str(DATA / "mooncake.jsonl"))
    assert list(rows.at_s) == pytest.approx([(line["timestamp"] - lines[0]["timestamp"]) / 1e3 for line in lines])
    assert [list(rows.blocks(row)) for row in range(len(rows))] == [line["hash_ids"] for line in lines]
    assert list(rows.outputs) == [line["output_length"] for line in lines]


@pytest.mark.parametrize(
    ("name", "text", "options", "at_s"),
    [
        ("a.csv", "ts_ms,a,b\n5,9,1\n25,9,1\n", {}, 0.02),
        ("a.csv", "ts,a,b\n5,9,1\n25,9,1\n", {"time_unit": "us"}, 2e-5),
        ("a.csv", "ts,a,b\n1700000000,9,1\n1700000002,9,1\n", {}, 2.0),
        ("a.csv", "ts,a,b\n1700000000123,9,1\n1700000000623,9,1\n", {}, 0.5),
        ("a.csv", "ts,a,b\n1700000000123456789,9,1\n1700000001123456789,9,1\n", {}, 1.0),
        ("a.csv", "ts,a,b\n2023-11-16 18:17:03.9799600,9,1\n2023-11-16 18:17:04.4799600,9,1\n", {}, 0.5),
        ("a.csv", "ts,a,b\n2024-05-10T00:00:00Z,9,1\n2024-05-10 01:00:00.25+01:00,9,1\n", {}, 0.25),
        ("a.tsv", "ts\ta\tb\n2024-05-10 00:00:00\t9\t1\n2024-05-10 00:00:01\t9\t1\n", {}, 1.0),
        ("a.jsonl", '{"ts": 1.7e9, "a": 9, "b": 1}\n\n{"ts": 1700000003, "a": 9.0, "b": "1"}\n', {}, 3.0),
        ("a.json", '[{"ts": 1.7e9, "a": 9, "b": 1}, {"ts": 1700000003, "a": 9, "b": 1}]', {}, 3.0),
    ],
)
def test_own_columns_and_units_of_time(
    tmp_path: Path, name: str, text: str, options: dict[str, Any], at_s: float
) -> None:
    """Said, or recognised by the column's name, by the size of its values, or as dates; also packed."""
    (tmp_path / name).write_text(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    arrival = "ts_ms" if "ts_ms" in text else "ts"
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        rows = read(str(path), columns=(f"arrival={arrival},input=a,output=b",), **options)
        assert list(rows.at_s) == pytest.approx([0.0, at_s], abs=1e-6)
        assert list(rows.inputs) == [9, 9]


def test_a_parquet_trace(tmp_path: Path) -> None:
    """With times, lists of ids and sessions as they are there."""
    arrow = pytest.importorskip("pyarrow")
    import datetime as dt

    import pyarrow.parquet

    begin = dt.datetime(2024, 5, 10, tzinfo=dt.UTC)
    made = [
        {"ts": begin + dt.timedelta(seconds=n), "a": 600, "b": 4, "user": f"u{n % 2}", "ids": [0, n]} for n in range(4)
    ]
    pyarrow.parquet.write_table(arrow.Table.from_pylist(made), tmp_path / "t.parquet")
    rows = read(str(tmp_path / "t.parquet"), columns=("arrival=ts,input=a,output=b,session=user,hashes=ids",))
    assert list(rows.at_s) == pytest.approx([0, 1, 2, 3])
    assert list(rows.sessions) == [0, 1, 0, 1]
    assert [list(rows.blocks(row)) for row in range(4)] == [[0, 0], [0, 1], [0, 2], [0, 3]]


def test_columns_that_only_some_rows_have(tmp_path: Path) -> None:
    """A row without a session or without ids stands alone; ids may be texts."""
    lines = ['{"timestamp": 1, "input_length": 9, "output_length": 1}']
    lines += ['{"timestamp": 2, "input_length": 9, "output_length": 1, "hash_ids": ["ab", 7], "session_id": "s"}']
    lines += ['{"timestamp": 3, "input_length": 9, "output_length": 1, "hash_ids": ["ab"], "session_id": null}']
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, lines[0].replace("1,", "4,", 1)]))
    rows = read(str(tmp_path / "t.jsonl"))
    assert list(rows.sessions) == [-1, 0, -1, -1]
    assert [len(rows.blocks(row)) for row in range(4)] == [0, 2, 1, 0]
    assert rows.blocks(1)[0] == rows.blocks(2)[0]


def test_sorting_moves_whole_rows(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(
            f'{{"timestamp": {at}, "input_length": {at}, "output_length": 1, "hash_ids": [{at}]}}\n'
            for at in (30, 10, 20)
        )
    )
    rows = read(str(tmp_path / "t.jsonl"), sort=True)
    assert list(rows.at_s) == pytest.approx([0.0, 0.01, 0.02])
    assert list(rows.inputs) == [10, 20, 30]
    assert [list(rows.blocks(row)) for row in range(3)] == [[10], [20], [30]]


def test_where_chooses_rows() -> None:
    every = read(str(DATA / "burstgpt.csv"))
    some = read(str(DATA / "burstgpt.csv"), reading=InputSettings(where="Model == 'GPT-4'"))
    assert 0 < len(some) < len(every)


# Playing.


def test_a_trace_is_played_from_its_first_arrival_and_faster() -> None:
    made = played(rows_at(0, 1, 4), Changes(speed=2), Random(1), "t")
    assert list(made.due_s) == [0.0, 0.5, 2.0]
    assert made.length_s == pytest.approx(3.0)


def test_a_cut_is_in_the_traces_time() -> None:
    """From 1 s until before 4 s; what is left begins at its cut."""
    made = played(rows_at(0, 1.5, 2, 4), Changes(speed=2, from_s=1, until_s=4), Random(1), "t")
    assert list(made.due_s) == [0.25, 0.5]
    assert list(made.row) == [1, 2]
    assert made.length_s == 1.5


def test_repeats_follow_after_one_mean_gap() -> None:
    made = played(rows_at(0, 1, 2), Changes(repeat=2), Random(1), "t")
    assert list(made.due_s) == [0, 1, 2, 3, 4, 5]
    assert [made.copy_of(position) for position in range(6)] == [0, 0, 0, 1, 1, 1]


@given(seed=st.integers(0, 1000), block_s=st.floats(0.5, 30), length_s=st.floats(1, 300))
def test_a_bootstrapped_trace_has_the_wanted_length_and_counts_its_copies(
    seed: int, block_s: float, length_s: float
) -> None:
    """In order, within its length; the n-th time that a row is drawn is its copy n."""
    rows = rows_at(*(n * 0.5 for n in range(50)))
    made = played(rows, Changes(bootstrap_s=length_s, block_s=block_s), Random(seed), "t")
    assert list(made.due_s) == sorted(made.due_s)
    assert 0 <= made.due_s[0] <= made.due_s[-1] < length_s
    assert len(made) == pytest.approx(length_s / 0.5, rel=0.02, abs=length_s / block_s + 2)
    seen: dict[int, int] = {}
    for position, row in enumerate(made.row):
        assert made.copy_of(position) == seen.get(row, 0)
        seen[row] = made.copy_of(position) + 1


def test_a_bootstrap_keeps_the_burstiness_of_the_arrivals() -> None:
    """Blocks of a bursty trace stay bursty; drawn arrival by arrival it would be a Poisson process."""
    rng, at_s, times = Random(5), 0.0, []
    for _ in range(4000):
        at_s += rng.gammavariate(0.1, 1.0)
        times.append(at_s)

    def burstiness(due_s: Any) -> float:
        counts = np.histogram(due_s, bins=np.arange(0, max(due_s), 1.0))[0]
        return float(counts.var() / counts.mean())

    rows = rows_at(*(one - times[0] for one in times))
    drawn = burstiness(played(rows, Changes(bootstrap_s=2000, block_s=20), Random(1), "t").due_s)
    assert drawn == pytest.approx(burstiness(list(rows.at_s)), rel=0.25)
    assert drawn > 3


def test_seeds_give_other_bootstraps_and_the_same_one_the_same() -> None:
    case, again = (case_of(DATA / "azure.csv", trace_bootstrap_s=30.0) for _ in range(2))
    other = cases(
        RunSettings(
            strategies=("unbounded",),
            scenario="replay",
            seed=7,
            trace=TraceSettings(trace=str(DATA / "azure.csv"), trace_bootstrap_s=30.0),
        ),
        describe("replay"),
    )[0]
    assert case.schedule_sha256 == again.schedule_sha256 != other.schedule_sha256
    assert case.build_schedule().sha256 == case.schedule_sha256


def test_the_hash_of_a_schedule_covers_lengths_and_ids(tmp_path: Path) -> None:
    """A trace with the same arrivals and another length is another load."""
    text = (DATA / "mooncake.jsonl").read_text()
    found = set()
    for changed in (text, text.replace('"output_length": 11,', '"output_length": 12,', 1), text.replace("[1]", "[9]")):
        (tmp_path / "t.jsonl").write_text(changed)
        found.add(compute("replay", {"path": str(tmp_path / "t.jsonl"), "format": "mooncake"}, 100.0, None, 1).sha256)
    assert len(found) == 3


def test_ids_of_blocks_are_bounded_over_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of few rows may hold very many of them."""
    monkeypatch.setattr("harness.load.traces.reading.IDS_OF_ALL_MAX", 3)
    row = '{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": [1, 2]}\n'
    (tmp_path / "ids.jsonl").write_text(row * 2)
    with pytest.raises(UsageError, match=r"ids.jsonl: has more than 3 ids of blocks; split the file"):
        read(str(tmp_path / "ids.jsonl"))
