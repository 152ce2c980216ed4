"""Figures of a result for machines: names, values by repeat, and values rounded to what the measurement can tell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Case, Quantile
from reports import labels

NO_INTERVAL_DIGITS = 2


@dataclass(frozen=True)
class Figure:
    """A time of a case, in seconds; smaller is better."""

    name: str
    of_repeat: Callable[[RepeatFigures], float | None]
    of_case: Callable[[Case], Quantile]


def _per_success(makespan_s: float | None, ok: int) -> float | None:
    return makespan_s / ok if makespan_s and ok else None


FIGURES = (
    Figure(
        "time per success",
        lambda repeat: _per_success(repeat.makespan_s, repeat.ok),
        lambda case: Quantile(_inverse(case.rates_per_s.completed)),
    ),
    Figure("latency p50", lambda repeat: repeat.latency_s.p50, lambda case: case.latency_s.p50),
    Figure("latency p99", lambda repeat: repeat.latency_s.p99, lambda case: case.latency_s.p99),
    Figure("service time p50", lambda repeat: repeat.service_time_s.p50, lambda case: case.service_time_s.p50),
    Figure("service time p99", lambda repeat: repeat.service_time_s.p99, lambda case: case.service_time_s.p99),
)
"""The figures that trackers of benchmarks follow."""


def values(figure: Figure, case: Case) -> list[float]:
    """One value for each repeat that has one. A case without repeats in its result gives its own value."""
    found = [figure.of_repeat(repeat) for repeat in case.by_repeat] or [figure.of_case(case).value]
    return [value for value in found if value is not None and math.isfinite(value)]


def names(cases: Sequence[Case]) -> list[str]:
    """The full name of each case, printable; equal names are numbered, so that each one is unique."""
    found: list[str] = []
    for case in cases:
        plain = labels.printable(case.name) or "unnamed"
        numbered = (f"{plain} #{number}" for number in itertools.count(2))
        found.append(next(name for name in itertools.chain([plain], numbered) if name not in found))
    return found


def rounded(value: float, low: float | None = None, high: float | None = None) -> float:
    """The value to the decimal place that its interval supports; without an interval, to two figures.

    Digits below the noise change from run to run, and programs that compare texts would report each of them.
    """
    if value == 0 or not math.isfinite(value):
        return value
    noise = (high - low) / 2 if low is not None and high is not None else 0.0
    if noise > 0:
        places = -math.floor(math.log10(noise))
    else:
        places = NO_INTERVAL_DIGITS - 1 - math.floor(math.log10(abs(value)))
    # A value that is smaller than its noise keeps one figure.
    return round(value, max(places, -math.floor(math.log10(abs(value)))))


def number(value: float) -> str:
    """The shortest text of a number, without an exponent."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return text if text not in {"", "-0"} else "0"


def _inverse(rate: float | None) -> float | None:
    return 1 / rate if rate else None
