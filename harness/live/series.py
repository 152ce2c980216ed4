"""What happened in each second of a trial, for the last five minutes of it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.measure.reduce import columns
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, rank

Array = np.ndarray[Any, np.dtype[Any]]

SHOWN_S = 300
WINDOW_S = 10
"""Percentiles of a second are of the requests that ended in the ten seconds before its end."""
SETTLED_S = 1.5
"""A second is complete when the records have come this far beyond its start."""


@dataclass(frozen=True)
class Point:
    """One second of the trial."""

    t_s: int
    ok: int = 0
    failed: int = 0
    tokens: int = 0  # output of what ended
    in_flight: float | None = None
    limit: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None
    cpu_share: float | None = None  # of one core, of the busiest process


@dataclass
class _Second:
    ok: int = 0
    failed: int = 0
    tokens: int = 0
    latencies: list[Array] = field(default_factory=list)
    # By process: number of ticks, sum of in flight, sum of limits.
    ticks: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)


class Series:
    """The points of one trial. `backlog`: the latency of a second is the service time."""

    def __init__(self, backlog: bool) -> None:
        self.points: deque[Point] = deque(maxlen=SHOWN_S)
        self._measure = columns.service_time if backlog else columns.latency
        self._open: dict[int, _Second] = {}
        # Ended requests of the last WINDOW_S complete seconds.
        self._window: deque[list[Array]] = deque(maxlen=WINDOW_S)
        self._next = 0
        self._reached_s = 0.0
        # By process: time and CPU seconds of its last tick.
        self._last: dict[int, tuple[float, float]] = {}

    def add_rows(self, rows: Array, tokens: Array, shift_s: float) -> None:
        """Requests that have ended, and the output tokens of each."""
        if not len(rows):
            return
        seconds = ((rows["done"] + round(shift_s * 1e9)) // 1_000_000_000).clip(0)
        for second in np.unique(seconds).tolist():
            if second < self._next:
                continue
            here = seconds == second
            part = rows[here]
            ok = part[part["outcome"] == Outcome.ok]
            into = self._open.setdefault(second, _Second())
            into.ok += len(ok)
            into.failed += len(part) - len(ok)
            into.tokens += int(tokens[here].sum())
            into.latencies.append(self._measure(ok))

    def add_ticks(self, process: int, ticks: Array, shift_s: float) -> None:
        """Ticks of one process."""
        if not len(ticks):
            return
        times = ticks["t"] + shift_s
        seconds = np.floor(times).clip(0).astype(np.int64)
        for second in np.unique(seconds).tolist():
            part, into = ticks[seconds == second], self._open.setdefault(second, _Second())
            number, flight, limit = into.ticks.get(process, (0, 0.0, 0.0))
            into.ticks[process] = (
                number + len(part),
                flight + float(part["in_flight"].sum()),
                limit + float(part["limit"].sum()),
            )
            self._cpu(process, part, shift_s, into)
        self._reached_s = max(self._reached_s, float(times[-1]))

    def _cpu(self, process: int, part: Array, shift_s: float, into: _Second) -> None:
        then, used = self._last.get(process, (shift_s, 0.0))
        now, uses = float(part["t"][-1]) + shift_s, float(part["cpu"][-1])
        if now > then:
            into.cpu[process] = (uses - used) / (now - then)
        self._last[process] = now, uses

    def settle(self) -> None:
        """Make points of the seconds that are complete."""
        while self._reached_s >= self._next + SETTLED_S:
            second = self._open.pop(self._next, _Second())
            self._window.append(second.latencies)
            self.points.append(self._point(second))
            self._next += 1
        for late in [one for one in self._open if one < self._next]:
            del self._open[late]

    def _point(self, second: _Second) -> Point:
        recent = [part for latencies in self._window for part in latencies if len(part)]
        pooled = np.sort(np.concatenate(recent)) if recent else np.empty(0, np.int64)
        limits = [limit / number for number, _, limit in second.ticks.values() if not math.isnan(limit)]
        return Point(
            t_s=self._next,
            ok=second.ok,
            failed=second.failed,
            tokens=second.tokens,
            in_flight=sum(flight / number for number, flight, _ in second.ticks.values()) if second.ticks else None,
            limit=sum(limits) if limits else None,
            p50_s=_percentile(pooled, "p50"),
            p99_s=_percentile(pooled, "p99"),
            max_s=float(pooled[-1]) / 1e9 if len(pooled) else None,
            cpu_share=max(second.cpu.values(), default=None),
        )


def _percentile(pooled: Array, name: str) -> float | None:
    n = len(pooled)
    return float(pooled[rank(n, PERCENTILES[name])]) / 1e9 if n >= LEAST_N[name] else None
