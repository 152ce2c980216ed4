"""Memory of the latencies of a long repeat, and that they do not depend on where its rows are."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harness.base.turn_index import index_of
from harness.client.types import Outcome
from harness.measure.record.rows_file import ATTEMPT_DTYPE, REQUEST_DTYPE
from harness.measure.reduce import column_rows
from harness.measure.reduce.column_rows import ColumnRows, RowsBuilder
from harness.measure.reduce.columns import Repeat
from harness.measure.reduce.latencies import _OF_STREAMS, _Parts
from harness.measure.reduce.sessions import sessions
from harness.measure.reduce.streams import total
from harness.measure.reduce.token_columns import NO_TOKENS, TokenColumns
from harness.measure.result import Named
from tests.measure_samples import plan_case

ROWS = 50_000


def repeat(folder: Path, in_order: bool) -> Repeat:
    """Of streams, each with a count of tokens; one in ten has failed, and one in fifty was not sent."""
    draw, every = np.random.default_rng(11), np.arange(ROWS)
    rows = np.zeros(ROWS, REQUEST_DTYPE)
    rows["index"] = index_of(every // 30, every % 30 + 1)
    rows["due"] = every * 1_000
    rows["sent"] = rows["due"] + (0 if in_order else draw.integers(0, 50_000, ROWS))
    rows["first_byte"] = rows["sent"] + draw.integers(1, 10_000, ROWS)
    rows["last_chunk"] = np.where(every % 7 == 0, -1, rows["first_byte"] + draw.integers(1, 90_000, ROWS))
    rows["done"] = rows["first_byte"] + 100_000
    rows["chunks"] = every % 9
    rows["outcome"] = np.where(every % 10 == 3, Outcome.rejected, Outcome.ok)
    rows["sent"][every % 50 == 7] = -1
    counts = np.zeros(ROWS, NO_TOKENS.counts.dtype)
    counts["row"], counts["output"] = every, draw.integers(-1, 200, ROWS)
    counts["prompt"] = draw.integers(-1, 900, ROWS)
    builder = RowsBuilder(REQUEST_DTYPE, folder)
    builder.add(rows)
    return Repeat(0, builder.rows(), np.empty(0, ATTEMPT_DTYPE), [], (), TokenColumns(counts, NO_TOKENS.gaps))


@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "mixed"])
def test_times_of_streams_are_the_same_from_files_and_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    held = repeat(tmp_path, in_order)
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 100)
    filed = repeat(tmp_path, in_order)
    assert isinstance(filed.rows, ColumnRows)
    for name in ("latency_s", "service_time_s", *_OF_STREAMS):
        assert np.array_equal(_Parts(held).of(name), _Parts(filed).of(name)), name
    rows, output = held.rows, held.tokens.counts["output"]
    ok = np.flatnonzero((rows["outcome"] == Outcome.ok) & (rows["sent"] >= 0))
    ok = ok[np.argsort(rows["sent"][ok], kind="stable")]
    ends = np.where(rows["last_chunk"][ok] >= 0, rows["last_chunk"][ok], rows["done"][ok])
    assert np.array_equal(_Parts(filed).of("e2e_s"), ends - rows["sent"][ok])
    assert total(filed, "output") == output[ok][output[ok] >= 0].sum()


@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "mixed"])
def test_a_long_repeat_needs_a_few_columns_and_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 100)
    long = repeat(tmp_path, in_order)
    tracemalloc.start()
    try:
        parts = _Parts(long)
        for name in ("latency_s", "service_time_s", *_OF_STREAMS):
            tracemalloc.reset_peak()
            parts.of(name)
            held, peak = tracemalloc.get_traced_memory()
            # Seven columns of eight bytes; a record has eighty. What is kept are masks.
            assert peak / ROWS < 60, name
            assert held / ROWS < 6, name
    finally:
        tracemalloc.stop()


def test_the_turns_of_a_long_repeat_are_the_same_from_files_and_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one repeat is long and the other is not."""
    plan, held = plan_case(load=Named("sessions")), repeat(tmp_path, in_order=False)
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 100)
    filed = repeat(tmp_path, in_order=False)
    assert isinstance(filed.rows, ColumnRows)
    expected = sessions(plan, [held, held], [held, held])
    assert expected is not None
    assert [turn.turn for turn in expected.by_turn] == list(range(1, 22))
    assert sum(turn.requests for turn in expected.by_turn) == 2 * ROWS
    assert sessions(plan, [filed, held], [filed, held]) == expected
