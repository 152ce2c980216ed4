"""Time for which the threads of this process were ready to run and had no processor (Linux; elsewhere unknown).

The kernel counts it for each thread in /proc/self/task/TID/schedstat: nanoseconds on a processor, nanoseconds on a run
queue, number of time slices.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

TASKS = Path("/proc/self/task")


class RunQueue(NamedTuple):
    """The thread that waited longest for a processor."""

    wait_s: float
    slices: int  # times that it was given a processor


class RunQueueSampler:
    """Run-queue waits of the threads since `start()`. A thread that ended keeps the values of its last sample."""

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._start: dict[str, tuple[int, int]] = {}
        self._now: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Set the reference point."""
        self._now = {}
        self.sample()
        self._start = dict(self._now)

    def sample(self) -> None:
        """Read the counters of every thread."""
        try:
            threads = list(self._tasks.iterdir())
        except OSError:
            return
        for thread in threads:
            try:
                _, waited_ns, slices = (thread / "schedstat").read_bytes().split()
            # The thread has ended, or this system does not count.
            except (OSError, ValueError):
                continue
            self._now[thread.name] = int(waited_ns), int(slices)

    def longest(self) -> RunQueue | None:
        """The thread that waited longest since `start()`; None if the system does not count."""
        found = [
            RunQueue((waited - before) / 1e9, slices - slices_before)
            for name, (waited, slices) in self._now.items()
            for before, slices_before in [self._start.get(name, (0, 0))]
        ]
        return max(found, default=None)
