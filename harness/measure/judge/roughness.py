"""Percentiles that rest on too few independent requests, in words. Pure."""

from __future__ import annotations

from harness.base import units
from harness.measure.reduce.statistics import LEAST_N
from harness.measure.result import Case, Distribution


def rough_percentiles(spread: Distribution) -> list[str]:
    """The names of the percentiles that are rough, the lowest first."""
    return [name for name in LEAST_N if getattr(spread, name).rough]


def rough_warning(case: Case) -> str | None:
    """Which percentiles of the latency or service time are rough, why, and the remedy.

    No table of cases shows p99.9, so nothing is said if it is the only one.
    """
    for words, spread in (("latency", case.latency_s), ("service time", case.service_time_s)):
        names = rough_percentiles(spread)
        if spread.n_effective is None or names in ([], ["p99_9"]):
            continue
        shown = units.listing([name.replace("_", ".") for name in names])
        is_, each = ("is", "it needs") if len(names) == 1 else ("are", f"{names[0].replace('_', '.')} needs")
        return (
            f"{shown} of {words} {is_} rough (~): neighbouring requests are alike, so {units.count(spread.n)} "
            f"are worth {units.count(spread.n_effective)} independent ones; {each} {units.count(LEAST_N[names[0]])}. "
            "Use a longer run or more --repeats"
        )
    return None
