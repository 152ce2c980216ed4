"""The figures of a case on one line, for the terminal's table and the live page."""

from __future__ import annotations

from harness.base import units
from harness.measure.result import Case, Quantile

COLUMNS = ("makespan", "ok/s", "p50", "p95", "p99", "service p99", "in flight", "failed", "cpu/req", "memory")


def figures_row(case: Case) -> list[str]:
    """The name of the case, then a cell for each of COLUMNS."""
    counts, resources, speed = case.counts, case.resources, case.rates_per_s
    share = units.share(counts.failed_share) if counts.failed else "0"
    return [
        case.name + (" (partial)" if case.partial else ""),
        units.seconds(case.makespan_s),
        units.plus_minus(units.level(speed.completed), speed.completed, speed.completed_low, speed.completed_high),
        _percentile(case.latency_s.p50),
        _percentile(case.latency_s.p95),
        _percentile(case.latency_s.p99),
        _percentile(case.service_time_s.p99),
        units.level(case.in_flight.mean),
        share,
        units.microseconds(resources.client_cpu_us_per_request),
        units.megabytes(resources.client_rss_max_mb),
    ]


def _percentile(found: Quantile) -> str:
    """With its interval over repeats, if there is one; `~` marks a rough one."""
    text = ("~" if found.rough else "") + units.seconds(found.value)
    return units.plus_minus(text, found.value, found.low, found.high)
