"""Percentiles of a run computed a second way: record files read byte by byte, plain Python, no code of the harness."""

from __future__ import annotations

import math
import struct
from pathlib import Path

ROW = struct.Struct("<Q7q2B3HIi")
HEAD = struct.Struct("<4sIII")
NEVER = -1


def raw_rows(path: Path) -> list[tuple[int, ...]]:
    """(index, due, fired, first sent, sent, first byte, last chunk, done, outcome, ...) of every row of a file."""
    data = path.read_bytes()
    at = data.index(b"\n") + 1
    at = data.index(b"\n", at) + 1
    at = data.index(b"\n", at) + 1
    rows: list[tuple[int, ...]] = []
    while at + ROW.size <= len(data):
        mark, count, _, _ = HEAD.unpack_from(data, at)
        assert mark == b"\x8fPLF"
        if at + ROW.size * (count + 1) > len(data):
            # The last flush of a killed process.
            break
        rows += [ROW.unpack_from(data, at + ROW.size * (place + 1)) for place in range(count)]
        at += ROW.size * (count + 1)
    return rows


def pooled(directory: Path) -> list[tuple[int, ...]]:
    """The rows of every process and repeat below a directory."""
    return [row for path in sorted(directory.rglob("*.requests")) for row in raw_rows(path)]


def nearest_rank(values: list[float], share: float) -> float:
    """The smallest value with at least this share of all at or below it."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def percentiles(rows: list[tuple[int, ...]]) -> dict[str, float]:
    """Of the successes, in seconds: latency from due to done, service time from the last send to done."""
    good = [row for row in rows if row[8] == 0]
    latency = [(row[7] - row[1]) / 1e9 for row in good]
    service = [(row[7] - row[4]) / 1e9 for row in good if row[4] != NEVER]
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    of = {f"latency {name}": nearest_rank(latency, share) for name, share in shares.items()}
    return of | {f"service {name}": nearest_rank(service, share) for name, share in shares.items()}
