"""The quick version of the benchmark of ten million requests: memory does not grow, and the summary reads segments."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure.record import segments
from harness.measure.reduce import column_rows
from harness.measure.reduce.summary import summarize_run
from tests.bench.ten_million import packed, rss_mb, size_mb, written

REQUESTS = 60_000


def test_memory_does_not_grow_with_the_requests_and_their_summary_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1_000_000)
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 10_000)
    seen: dict[int, float] = {}
    run = tmp_path / "run"
    written(run, REQUESTS, lambda rows: seen.update({rows: rss_mb()}))
    early = max(rss for rows, rss in seen.items() if rows <= REQUESTS // 3)
    assert max(seen.values()) - early < 10.0
    packed(run)
    assert size_mb(run) < 0.6 * REQUESTS * 80 / 1e6
    (case,) = summarize_run(run).cases
    assert (case.counts.scheduled, case.counts.ok, case.counts.rejected) == (REQUESTS, REQUESTS - 12, 12)
    assert case.timeline[0].ok
