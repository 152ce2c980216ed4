"""Merges batches of our rows into Locust's statistics: one histogram merge per batch, no event per request.

Locust's numbers are a view. A request counts once, whatever its attempts; its time is from due to done; an item that
was never sent is not a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from locust.stats import RequestStats, StatsEntry, StatsError, bucket_response_time

from harness.client.types import Outcome
from harness.measure.record.files import find
from harness.measure.record.rows_file import FLAG_STOPPED, End
from harness.measure.record.sealed_json import DamagedError, read_sealed, write_sealed

METHOD = "POST"
Names = str | Callable[[int], str]
"""The name of every request, or of the one with this index."""


def note_totals(stats: RequestStats, records: Path, case: str, repeat: int) -> None:
    """Write Locust's totals to the end record of the case's first process, so that the verdict can compare them."""
    parts = find(records).get(case, {}).get(repeat, [])
    if parts and parts[0].end.exists():
        total = stats.total
        try:
            end = read_sealed(parts[0].end, End)
        except DamagedError:
            # The verdict reports the damaged file.
            return
        end = msgspec.structs.replace(end, locust_requests=total.num_requests, locust_failures=total.num_failures)
        write_sealed(parts[0].end, end)


def merge(stats: RequestStats, rows: np.ndarray[Any, Any], now: float, names: Names) -> None:
    """Add rows of the requests file (see record.rows_file) to Locust's totals; `now` is wall-clock seconds."""
    rows = rows[rows["first_sent"] >= 0]
    if not len(rows):
        return
    if isinstance(names, str):
        _merge_one(stats, names, rows, now)
        return
    of = np.array([names(int(index)) for index in rows["index"]])
    for name in np.unique(of):
        _merge_one(stats, str(name), rows[of == name], now)


def _merge_one(stats: RequestStats, name: str, rows: np.ndarray[Any, Any], now: float) -> None:
    ms = (rows["done"] - rows["due"]) / 1e6
    second = int(now)
    entry = StatsEntry(stats, name, METHOD)
    entry.num_requests = len(rows)
    entry.total_response_time = float(ms.sum())
    entry.min_response_time = float(ms.min())
    entry.max_response_time = float(ms.max())
    entry.last_request_timestamp = now
    entry.num_reqs_per_sec[second] = len(rows)
    for bucket, count in Counter(map(bucket_response_time, ms.tolist())).items():
        entry.response_times[bucket] += count
    # A stream that the load cancels on purpose is no failure.
    bad = (rows["outcome"] != Outcome.ok) & ((rows["flags"] & FLAG_STOPPED) == 0)
    failed = Counter(Outcome(code).name for code in rows["outcome"][bad].tolist())
    for outcome, count in failed.items():
        entry.num_failures += count
        entry.num_fail_per_sec[second] += count
        key = StatsError.create_key(METHOD, name, outcome)
        error = stats.errors.setdefault(key, StatsError(METHOD, name, outcome))
        error.occurrences += count
        error.first_seen = error.first_seen or now
        error.last_seen = now
    stats.get(name, METHOD).extend(entry)
    stats.total.extend(entry)
