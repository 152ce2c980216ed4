"""Service level objectives: parses "p99<500ms,errors<1%,goodput>20" and checks cases against it.

Rules of this file
  1. A condition fails if its figure is missing (no data, n too small).
  2. A time needs a unit and an upper bound, a rate needs a lower bound. Anything else is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.base import quantity, units
from harness.client.errors import UsageError
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES
from harness.measure.result import Case, Distribution, Quantile, SloCheck

# A tail of hours is a typing error.
TIME_UNITS = {unit: size for unit, size in quantity.TIME_UNITS.items() if unit != "h"}
_SHAPE = re.compile(
    r"^\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*([0-9.]+(?:e[+-]?\d+)?)\s*([a-z\u00b5\u03bc%/]*)\s*$", re.IGNORECASE
)

# As in every other figure that is shown; a condition itself stays as it was written.
_MICROSECONDS = re.compile(r"(?<=[0-9. ])us$")

_FAMILIES: dict[str, Callable[[Case], Distribution | None]] = {
    "": lambda case: case.latency_s,
    "service_": lambda case: case.service_time_s,
    "queue_wait_": lambda case: case.queue_wait_s,
    "ttft_": lambda case: case.ttft_s,
    "itl_": lambda case: case.itl_s,
    "tpot_": lambda case: case.tpot_s,
    # An answer that came whole ends with its last byte.
    "e2e_": lambda case: case.e2e_s or case.service_time_s,
}
_OF_STREAMS = ("ttft_", "itl_", "tpot_")
_STATISTICS = [*(name.replace("p99_9", "p99.9") for name in PERCENTILES), "mean", "max"]
_TIMES = [f"{family}{statistic}" for family in _FAMILIES for statistic in _STATISTICS] + ["makespan"]
_RATES: dict[str, Callable[[Case], float | None]] = {
    "rate": lambda case: case.rates_per_s.completed,
    "goodput": lambda case: case.rates_per_s.goodput,
}
ALLOWED = (
    "p50 p90 p95 p99 p99.9 mean max (also with service_, queue_wait_, ttft_, itl_, tpot_ or e2e_), makespan, errors, "
    "rate, goodput"
)


@dataclass(frozen=True)
class Condition:
    """One condition, its limit in seconds, per second, or as a share."""

    text: str
    metric: str
    operator: str
    limit: float

    def holds(self, value: float | None) -> bool:
        """Whether the value meets the limit. A missing value never does."""
        if value is None or math.isnan(value):
            return False
        return {
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            ">=": value >= self.limit,
        }[self.operator]


def parse(text: str) -> list[Condition]:
    """The conditions of a comma-separated text. Raises UsageError with the invalid part and the allowed syntax."""
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise UsageError(f'--slo {text!r}: no condition; for example "p99<500ms,errors<1%"')
    return [_condition(part) for part in parts if part]


def check(conditions: Sequence[Condition], case: Case) -> list[SloCheck]:
    """Check each condition on a case."""
    checks = []
    for condition in conditions:
        value = value_of(condition.metric, case)
        checks.append(SloCheck(condition.text, value, condition.limit, condition.holds(value)))
    return checks


MORE_N = "use a longer load (--duration, --items) or more --repeats"


def describe(checked: SloCheck) -> str:
    """A condition and its outcome: value, unit, bound and margin."""
    # The condition comes from a result file, so it may be any text.
    match = _SHAPE.match(checked.condition)
    metric = match.group(1).lower() if match else ""
    state = "holds" if checked.passed else "FAILS"
    condition = _MICROSECONDS.sub("µs", checked.condition)
    if checked.value is None:
        family, statistic = split_metric(metric)
        lacking = "streams with it" if family in _OF_STREAMS else "successes"
        why = f"there were too few {lacking}"
        if statistic in LEAST_N:
            why = f"{statistic} needs {LEAST_N[statistic]} {lacking} and there were fewer: {MORE_N}"
        return f"{condition} {state}: no figure, because {why}"
    figure = units.percent if metric == "errors" else units.rate if metric in {*_RATES, "completed"} else units.seconds
    side = "below" if checked.value < checked.limit else "above"
    margin = figure(abs(checked.value - checked.limit))
    return f"{condition} {state}: {figure(checked.value)}, {margin} {side} the bound of {figure(checked.limit)}"


def backlog_warning(conditions: Sequence[Condition], case: Case) -> str:
    """A warning if a condition bounds the latency from due time of a backlog; empty if none does."""
    found = [one for one in conditions if one.metric in _STATISTICS] if case.load.kind == "backlog" else []
    if not found:
        return ""
    texts = ", ".join(one.text for one in found)
    better = ",".join(f"service_{one.text}" for one in found)
    return (
        f"SLO {texts}: every item of a backlog is due at once, so its latency includes the wait for all items before "
        f"it and depends on the number of items (makespan {units.seconds(case.makespan_s)}); "
        f'to judge the server use --slo "{better}"'
    )


def outcome(cases: Sequence[Case]) -> str:
    """`SLO failed: 1 of 4 conditions` or `SLO holds: all 4 conditions`; empty without an SLO."""
    checks = [checked for case in cases for checked in case.slo]
    failed = sum(not checked.passed for checked in checks)
    if not checks:
        return ""
    return f"SLO failed: {failed} of {len(checks)} conditions" if failed else f"SLO holds: all {len(checks)} conditions"


def failed(cases: Sequence[Case]) -> list[str]:
    """Every condition that failed, with its case."""
    return [f"{case.name}: {describe(checked)}" for case in cases for checked in case.slo if not checked.passed]


def value_of(metric: str, case: Case) -> float | None:
    """The figure of a condition; None if the case does not have it."""
    if metric == "errors":
        return case.counts.failed_share
    if metric == "makespan":
        return case.makespan_s if case.counts.ok else None
    if metric in _RATES:
        return _RATES[metric](case)
    quantile = quantile_of(metric, case)
    if quantile is not None:
        return quantile.value
    family, statistic = split_metric(metric)
    value: float | None = getattr(_FAMILIES[family](case), statistic, None)
    return value


def quantile_of(metric: str, case: Case) -> Quantile | None:
    """The percentile of a condition, with its interval; None if it has another figure, or the case no data."""
    family, statistic = split_metric(metric)
    if family == "other" or statistic in {"mean", "max"}:
        return None
    found: Quantile | None = getattr(_FAMILIES[family](case), statistic.replace(".", "_"), None)
    return found


def sets_errors(conditions: Sequence[Condition]) -> bool:
    """Whether the SLO sets a limit for failures."""
    return any(condition.metric == "errors" for condition in conditions)


class RequestBounds(NamedTuple):
    """Bounds for one request to be within the SLO, in seconds; None for no bound."""

    latency: float | None = None
    ttft: float | None = None
    itl: float | None = None  # mean gap of one stream
    tpot: float | None = None
    e2e: float | None = None


def bounds_s(conditions: Sequence[Condition]) -> RequestBounds:
    """The bounds on latency and on the times of language models, which a request must meet all together.

    The strictest of several bounds applies: with "p50<100ms,p99<500ms" an answer after 300 ms is not within it.
    """
    split = [(split_metric(condition.metric), condition.limit) for condition in conditions]

    def strictest(family: str) -> float | None:
        limits = [limit for (of, statistic), limit in split if of == family and statistic != "mean"]
        return min(limits, default=None)

    return RequestBounds(*(strictest(family) for family in ("", "ttft_", "itl_", "tpot_", "e2e_")))


def of_streams(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions on figures that only a streamed answer has."""
    return [condition for condition in conditions if split_metric(condition.metric)[0] in _OF_STREAMS]


def split_metric(metric: str) -> tuple[str, str]:
    """Family and statistic of a time: `ttft_p99` is (`ttft_`, `p99`); the family of anything else is `other`."""
    family = next((family for family in _FAMILIES if family and metric.startswith(family)), "")
    statistic = metric[len(family) :]
    return (family, statistic) if statistic in _STATISTICS else ("other", statistic)


def _condition(part: str) -> Condition:
    def refuse(why: str) -> UsageError:
        return UsageError(f"--slo {part!r}: {why}")

    match = _SHAPE.match(part)
    if match is None:
        raise refuse(f'expected METRIC<VALUE or METRIC>VALUE, such as "p99<500ms"; metrics: {ALLOWED}')
    metric, operator, number, unit = match.groups()
    unit = unit.lower().translate(quantity.MICRO)
    metric = metric.lower().replace("p99_9", "p99.9")
    try:
        value = float(number)
    except ValueError as error:
        raise refuse(f"{number!r} is not a number") from error
    if metric == "completed":
        metric = "rate"
    if metric not in _TIMES and metric not in _RATES and metric != "errors":
        raise refuse(f"unknown metric {metric!r}; metrics: {ALLOWED}")
    wanted = ">" if metric in _RATES else "<"
    if operator[0] != wanted:
        raise refuse(f"{metric} takes {wanted} or {wanted}=")
    return Condition(part, metric, operator, value * _factor(metric, unit, refuse))


def _factor(metric: str, unit: str, refuse: Callable[[str], UsageError]) -> float:
    if metric == "errors":
        if unit != "%":
            raise refuse("errors takes a share in %, such as errors<1%")
        return 0.01
    if metric in _RATES:
        if unit not in {"", "/s"}:
            raise refuse(f"{metric} is per second: a number, or a number and /s")
        return 1.0
    if unit not in TIME_UNITS:
        raise refuse(f"{metric} is a time and takes one of the units {' '.join(TIME_UNITS)}")
    return TIME_UNITS[unit]
