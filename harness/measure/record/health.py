"""CPU time and memory of the client process, and CPU time taken by the host of a virtual machine.

Sampling is cheap enough for 20 samples a second.
"""

from __future__ import annotations

import time

import psutil

MB = 1e6


class ProcessSampler:
    """CPU and memory of this process since `start()`, with its threads but without its child processes."""

    def __init__(self) -> None:
        self.cpu_s = 0.0  # since start, as of the last sample
        self.rss_start_mb = 0.0
        self.rss_max_mb = 0.0
        self._process = psutil.Process()
        self._cpu_start_s = 0.0
        self._machine_start = (0.0, 0.0)

    def start(self) -> None:
        """Set the reference point for CPU and memory."""
        self._cpu_start_s = self._cpu_now_s()
        self._machine_start = _machine()
        self.cpu_s = 0.0
        self.rss_start_mb = self.rss_max_mb = self._rss_bytes() / MB

    def sample(self) -> tuple[float, int]:
        """(CPU seconds since `start()`, resident bytes now)."""
        self.cpu_s = self._cpu_now_s() - self._cpu_start_s
        rss = self._rss_bytes()
        self.rss_max_mb = max(self.rss_max_mb, rss / MB)
        return self.cpu_s, rss

    def host_steal_share(self) -> float | None:
        """Share of the CPU time requested since `start()` that the host gave to other machines (steal).

        None if the system does not report it, or if no CPU time was requested.
        """
        (busy, stolen), (busy_start, stolen_start) = _machine(), self._machine_start
        asked_s = busy - busy_start + stolen - stolen_start
        return (stolen - stolen_start) / asked_s if asked_s > 0 and stolen else None

    @staticmethod
    def _cpu_now_s() -> float:
        # This clock has nanosecond resolution; psutil counts ticks of ten milliseconds.
        return time.process_time()

    def _rss_bytes(self) -> int:
        return int(self._process.memory_info().rss)


def _machine() -> tuple[float, float]:
    """(busy, stolen) CPU seconds of the machine since it started."""
    times = psutil.cpu_times()
    return times.user + times.system, float(getattr(times, "steal", 0.0))
