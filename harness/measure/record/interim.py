"""The interim state of a process, beside its rows: its failures and the figures of its layers, until its end file.

Rules of this file
  1. The file is for a process that gets killed: its end file would hold the same. Where that exists, this one is gone.
  2. It is written by the ticks, never for a request: at once for a new kind of failure, else rarely (`RARELY_S`, and
     `COST_SHARE` of the time at most), and only if something has changed.
  3. An error ends the writing and nothing else: the rows and the end file report a disk that fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.client.figures import LayerCounts
from harness.measure.record.sealed_json import read_if_whole, write_sealed
from harness.measure.result import FailureSample

RARELY_S = 0.25
COST_SHARE = 0.01


class Interim(msgspec.Struct, frozen=True):
    """The content of `*.interim.json`."""

    failure_samples: dict[str, FailureSample] = {}  # outcome -> its first failure with a text
    layers: list[LayerCounts] = []


class InterimFile:
    """Keeps the file of one process up to date; `now` is a clock in seconds."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._next_s = 0.0
        self._written = Interim()
        self._usable = True

    def update(self, samples: dict[str, FailureSample], layers: Callable[[], list[LayerCounts]]) -> None:
        """Write the changes, if they are due. `layers` is called only then. Never raises OSError."""
        began = self._now()
        new_failure = len(samples) > len(self._written.failure_samples)
        if not self._usable or not (new_failure or began >= self._next_s):
            return
        found = Interim(dict(samples), layers())
        if found != self._written:
            self._written = found
            try:
                write_sealed(self._path, found)
            except OSError:
                self._usable = False
        ended = self._now()
        self._next_s = ended + max(RARELY_S, (ended - began) / COST_SHARE)


def read_interim(path: Path, damaged: list[str]) -> Interim:
    """The interim state of a killed process; empty if there is no file. A defect is added to `damaged`."""
    return read_if_whole(path, Interim, damaged) or Interim()
