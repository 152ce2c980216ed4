"""Gaps between tokens that are pooled are of equally many streams in every part, so that no part counts more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.client.answers import Usage
from harness.measure.record.files import RecordPaths
from harness.measure.record.rows_file import GAP_DTYPE, TOKEN_DTYPE
from harness.measure.reduce import columns
from harness.measure.reduce.columns import load_repeat, load_repeats
from harness.measure.reduce.token_columns import TokenColumns, joined, thinned
from tests.unit.recorded import end, record, recorder
from tests.unit.test_token_records import stream


def places(streams: int, every: int) -> list[int]:
    """Which of so many streams of a process are kept."""
    gaps = np.zeros(streams, GAP_DTYPE)
    gaps["row"] = np.arange(streams)
    found: list[int] = thinned(gaps, every)["row"].tolist()
    return found


def part(streams: int, every: int) -> tuple[TokenColumns, int]:
    """A process with one row of gaps for each stream."""
    counts, gaps = np.zeros(streams, TOKEN_DTYPE), np.zeros(streams, GAP_DTYPE)
    counts["row"] = gaps["row"] = np.arange(streams)
    return TokenColumns(counts, thinned(gaps, every), every), streams


@pytest.mark.parametrize("of", [(1, 1), (1, 2), (4, 1), (2, 8)])
def test_processes_are_joined_at_the_coarsest_sampling(of: tuple[int, int]) -> None:
    """Whichever it was; all counts stay."""
    found = joined([part(1_000, of[0]), part(2_000, of[1])])
    assert found.every == max(of)
    assert found.gaps["row"].tolist() == places(1_000, max(of)) + [1_000 + n for n in places(2_000, max(of))]
    assert len(found.counts) == 3_000


def written(directory: Path, repeat: int, *streams: int) -> list[RecordPaths]:
    """A repeat whose processes had so many streams."""
    found = []
    for process, count in enumerate(streams):
        into = recorder(directory, repeat=repeat, process=process)
        record(into, [stream([0.01], Usage(1, 2), sent=0.01 * k) for k in range(count)])
        end(into)
        found.append(into.paths)
    return found


def test_repeats_are_pooled_at_the_coarsest_sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has few gaps and holds all of them, the other too many; each has two processes."""
    recorded = {0: written(tmp_path, 0, 20, 30), 1: written(tmp_path, 1, 200, 10)}
    monkeypatch.setattr(columns, "GAP_ROWS_MAX", 4 * 60)
    assert load_repeat(0, recorded[0], 2).tokens.every == 1
    few, many = load_repeats(recorded)
    every = few.tokens.every
    assert every == many.tokens.every == 4
    assert few.tokens.gaps["row"].tolist() == places(20, every) + [20 + n for n in places(30, every)]
    assert many.tokens.gaps["row"].tolist() == places(200, every) + [200 + n for n in places(10, every)]
