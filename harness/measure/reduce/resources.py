"""Resources used by the client, from its end files, or from the last ticks of killed processes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.measure.reduce.columns import ProcessColumns, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, rank
from harness.measure.result import Counts, Resources


def resources(repeats: Sequence[Repeat], counts: Counts, makespans_s: float, ceiling_per_s: float | None) -> Resources:
    """CPU and memory are summed over processes. The CPU share is the mean share of one core per process."""
    processes = [process for repeat in repeats for process in repeat.processes]
    used = [pair for process in processes if (pair := _cpu(process)) is not None]
    cpu_s = sum(cpu for cpu, _ in used)
    wall_s = sum(wall for _, wall in used)
    rows = sum(len(repeat.rows) for repeat in repeats)
    rate = counts.attempts / makespans_s if makespans_s > 0 else None
    share = rate / ceiling_per_s if rate is not None and ceiling_per_s else None
    memory = [pair for repeat in repeats if (pair := _memory(repeat)) is not None]
    waited = _run_queue(processes)
    return Resources(
        client_cpu_s=cpu_s if used else None,
        client_cpu_us_per_request=cpu_s / rows * 1e6 if used and rows else None,
        client_cpu_share=cpu_s / wall_s if wall_s > 0 else None,
        client_rss_max_mb=max((most for most, _ in memory), default=None),
        client_rss_growth_mb=max((most - start for most, start in memory), default=None),
        loop_lag_p50_s=_loop_lag(processes, "p50"),
        loop_lag_p99_s=_loop_lag(processes, "p99"),
        run_queue_share=waited[0],
        run_queue_wait_s=waited[1],
        ceiling_per_s=ceiling_per_s,
        ceiling_share=share,
        host_steal_share=max(
            (p.end.host_steal_share for p in processes if p.end is not None and p.end.host_steal_share is not None),
            default=None,
        ),
    )


def _cpu(process: ProcessColumns) -> tuple[float, float] | None:
    """CPU and wall seconds of a process since the load's zero."""
    if process.end is not None:
        return process.end.cpu_s, process.end.duration_s
    if not len(process.timeline):
        return None
    last = process.timeline[-1]
    return float(last["cpu"]), float(last["t"])


def _memory(repeat: Repeat) -> tuple[float, float] | None:
    """Maximum and initial resident MB of a repeat, summed over processes; None without ticks."""
    most = start = 0.0
    for process in repeat.processes:
        if process.end is not None:
            most, start = most + process.end.rss_max_mb, start + process.end.rss_start_mb
        elif len(process.timeline):
            rss = process.timeline["rss"] / 1e6
            most, start = most + float(rss.max()), start + float(rss[0])
    return (most, start) if most else None


def _run_queue(processes: Sequence[ProcessColumns]) -> tuple[float | None, float | None]:
    """(share of the time spent waiting for a processor, mean wait before a time slice), of the worst process."""
    ends = [(end.run_queue_s, end) for p in processes if (end := p.end) is not None and end.run_queue_s is not None]
    shares = [waited / end.duration_s for waited, end in ends if end.duration_s > 0]
    waits = [waited / end.run_queue_slices for waited, end in ends if end.run_queue_slices > 0]
    return max(shares, default=None), max(waits, default=None)


def _loop_lag(processes: Sequence[ProcessColumns], percentile: str) -> float | None:
    lags = [process.timeline["loop_lag"] for process in processes]
    pooled = np.sort(np.concatenate(lags)) if lags else np.empty(0)
    if len(pooled) < LEAST_N[percentile]:
        return None
    return float(pooled[rank(len(pooled), PERCENTILES[percentile])])
