"""The most that was in flight at one time, over all processes of a trial."""

from __future__ import annotations

from typing import Any

import numpy as np

WINDOW_S = 0.1
"""Processes are added up in windows of two ticks, because they do not tick at the same instant."""
_KEPT = 20_000
"""Windows that are kept for processes that are read later."""

Array = np.ndarray[Any, np.dtype[Any]]


class Peak:
    """Ticks come process by process, each in order."""

    def __init__(self) -> None:
        self.most = 0.0
        self._sums: dict[int, float] = {}
        # Process -> its last window, and what it has added to it.
        self._last: dict[int, tuple[int, float]] = {}

    def begin(self) -> None:
        """Another repeat begins; its time begins at zero again."""
        self._sums, self._last = {}, {}

    def add(self, process: int, ticks: Array, shift_s: float) -> None:
        """Count the ticks of a process."""
        windows = np.floor((ticks["t"].astype(float) + shift_s) / WINDOW_S).astype(np.int64)
        begins = np.flatnonzero(np.diff(windows, prepend=windows[:1] - 1))
        most = np.maximum.reduceat(ticks["in_flight"].astype(float), begins)
        for window, value in zip(windows[begins].tolist(), most.tolist(), strict=True):
            self._add(process, window, value)
        if len(self._sums) > _KEPT:
            self._sums = {window: self._sums[window] for window in sorted(self._sums)[_KEPT // 2 :]}

    def _add(self, process: int, window: int, value: float) -> None:
        last, added = self._last.get(process, (window, 0.0))
        already = added if last == window else 0.0
        self._last[process] = window, max(value, already)
        self._sums[window] = self._sums.get(window, 0.0) + max(0.0, value - already)
        self.most = max(self.most, self._sums[window])
