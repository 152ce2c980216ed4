"""The state of a probe: each condition of the SLO against the interval of its figure over the trials. Pure.

Rules of this file
  1. A tier passes if the interval of every condition lies within its limit, and fails if that of one lies outside.
     Otherwise it is unresolved. A point estimate decides nothing.
  2. A backlog that grows by more than 3 % of the arrivals fails every tier: the server is saturated.
  3. An SLO without a condition on errors gets `errors<1%`: a server that refuses is quick.
  4. A confirmation run is one trial. It passes if every figure is within its limit: the short trials at that load have
     given the interval already. It fails only if its parts, taken as trials, say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from harness.base import units
from harness.client.errors import UsageError
from harness.measure.capacity_result import By, Figure, Probe, State
from harness.measure.judge.slo import Condition, parse, sets_errors, split_metric
from harness.measure.reduce.share_intervals import mean_interval, quantile_interval, share_interval
from harness.measure.reduce.statistics import PERCENTILES, t975
from harness.measure.reduce.trial_samples import TrialSample

GROWTH = "backlog growth"
GROWTH_MAX = 0.03
ERRORS = "errors<1%"
ERRORS_LEAST = 1e-4
"""A smaller limit for errors needs more than 100,000 requests in each probe."""
FAR = 2.0
"""A figure of this many times its limit is far outside."""
CUT_SHORT = 2
"""Saturated trials in a row that fail a probe before its other trials."""
SURE = 1.1
"""Trials have this many times the requests that an interval needs at least."""
REQUESTS_MIN = 30


def tiers_of(texts: Sequence[str], by: Sequence[By]) -> list[str]:
    """The tiers of `--slo`, split at semicolons and checked. Raises UsageError."""
    tiers = [part.strip() for text in texts for part in text.split(";") if part.strip()]
    if not tiers:
        raise UsageError('capacity needs --slo, for example --slo "p99<500ms,errors<1%"')
    for tier in tiers:
        for condition in conditions(tier, "rate"):
            _check(condition, by)
    return list(dict.fromkeys(tiers))


def _check(condition: Condition, by: Sequence[By]) -> None:
    family, statistic = split_metric(condition.metric)
    if condition.metric != "errors" and (family == "other" or statistic == "max"):
        raise UsageError(
            f"--slo {condition.text!r}: {condition.metric} cannot bound a capacity: it depends on the load or on the "
            "number of requests. Use percentiles or means of times, or errors"
        )
    if condition.metric == "errors" and condition.limit < ERRORS_LEAST:
        raise UsageError(
            f"--slo {condition.text!r}: no probe can show so few failures; give a limit of at least "
            f"{units.share(ERRORS_LEAST)}"
        )
    if family == "queue_wait_" and "concurrency" in by:
        raise UsageError(f"--slo {condition.text!r}: in a backlog every item waits. Use --by rate, or service_p99")


def conditions(tier: str, by: By) -> list[Condition]:
    """The conditions of a tier as they are judged under this load.

    Under concurrency the load is a backlog, in which the latency from due time is the makespan. So `p99` is judged as
    `service_p99`.
    """
    parsed = parse(tier)
    found = parsed if sets_errors(parsed) else [*parsed, *parse(ERRORS)]
    return [_served(one) for one in found] if by == "concurrency" else found


def _served(condition: Condition) -> Condition:
    family, statistic = split_metric(condition.metric)
    if family or condition.metric == "errors":
        return condition
    text = condition.text.replace(condition.text.split("<")[0].strip(), f"service_{statistic}", 1)
    return Condition(text, f"service_{statistic}", condition.operator, condition.limit)


def requests_needed(tiers: Sequence[str], trials: int) -> int:
    """Requests over this many trials without which no probe could pass, whatever the server does."""
    shares = [0.0]
    for one in (condition for tier in tiers for condition in conditions(tier, "rate")):
        p = (
            one.limit
            if one.metric == "errors"
            else 1 - PERCENTILES.get(split_metric(one.metric)[1].replace(".", "_"), 0.5)
        )
        shares.append((1 - p) / max(p, 1e-6))
    return max(REQUESTS_MIN, round(t975(trials - 1) ** 2 * SURE * max(shares)))


def longest_bound_s(tiers: Sequence[str]) -> float:
    """The longest time that any tier allows."""
    return max((one.limit for tier in tiers for one in parse(tier) if one.metric != "errors"), default=0.0)


def shortest_bound_s(tiers: Sequence[str]) -> float:
    """The shortest time that any tier allows; infinite without one."""
    return min((one.limit for tier in tiers for one in parse(tier) if one.metric != "errors"), default=math.inf)


def judge(probe: Probe, tiers: Sequence[str], samples: Sequence[TrialSample]) -> Probe:
    """The probe with its figures and states from the trials that are valid."""
    figures = _figures(probe, tiers, samples)
    by_text = {figure.condition: figure for figure in figures}
    growing = by_text.get(GROWTH)
    saturated = _saturated(samples) or _far_outside(probe, tiers, samples)
    states: list[State] = []
    for tier in tiers:
        of_tier = [by_text[one.text] for one in conditions(tier, probe.by)]
        state = _worst([figure.state for figure in of_tier]) if samples else "invalid"
        if samples and ((growing and growing.state == "failed") or (saturated and _outside(of_tier))):
            state = "failed"
        states.append(state)
    rates = [sample.completed_per_s for sample in samples if sample.completed_per_s is not None]
    judged = msgspec.structs.replace(
        probe,
        figures=figures,
        states=states,
        trials=len(samples),
        requests=sum(sample.scheduled for sample in samples),
        completed_per_s=sum(rates) / len(rates) if rates else None,
        saturated=saturated,
    )
    return judged if judged.reason else msgspec.structs.replace(judged, reason=_reason(judged))


def _saturated(samples: Sequence[TrialSample]) -> bool:
    return len(samples) >= CUT_SHORT and all((one.growth or 0.0) > 4 * GROWTH_MAX for one in samples)


def _far_outside(probe: Probe, tiers: Sequence[str], samples: Sequence[TrialSample]) -> bool:
    """Whether each trial alone is beyond a limit of every tier, by far."""

    def beyond(condition: Condition, one: TrialSample) -> bool:
        value = _interval(condition, [one])[0]
        return value is not None and value > FAR * condition.limit

    return len(samples) >= CUT_SHORT and all(
        any(all(beyond(condition, one) for one in samples) for condition in conditions(tier, probe.by))
        for tier in tiers
    )


def _outside(figures: Sequence[Figure]) -> bool:
    """Whether the point estimate of a figure is beyond its limit."""
    return any(figure.value is None or figure.value > figure.limit for figure in figures)


def _worst(states: Sequence[State]) -> State:
    return "failed" if "failed" in states else "unresolved" if "unresolved" in states else "passed"


def _figures(probe: Probe, tiers: Sequence[str], samples: Sequence[TrialSample]) -> list[Figure]:
    wanted = {one.text: one for tier in tiers for one in conditions(tier, probe.by)}
    found = [_figure(condition, samples, probe.confirmation) for condition in wanted.values()]
    if probe.by == "rate":
        value, low, high = mean_interval([one.growth for one in samples if one.growth is not None])
        state: State = "failed" if low is not None and low > GROWTH_MAX else "passed"
        found.append(Figure(GROWTH, value, low, high, GROWTH_MAX, state))
    return found


def _figure(condition: Condition, samples: Sequence[TrialSample], single: bool) -> Figure:
    value, low, high = _interval(condition, samples)
    passes = (value is not None and condition.holds(value)) if single else (high is not None and condition.holds(high))
    fails = low is not None and not condition.holds(low)
    state: State = "passed" if passes else "failed" if fails else "unresolved"
    if not passes and samples and not any(len(one.values.get("", ())) for one in samples):
        # Nothing succeeded in any trial.
        state = "failed"
    return Figure(condition.text, value, low, high, condition.limit, state)


def _interval(condition: Condition, samples: Sequence[TrialSample]) -> tuple[float | None, ...]:
    if condition.metric == "errors":
        return share_interval([one.failed for one in samples], [one.scheduled for one in samples], condition.limit)
    family, statistic = split_metric(condition.metric)
    trials = [one.values[family] for one in samples if len(one.values.get(family, ()))]
    if statistic == "mean":
        return mean_interval([float(np.mean(values)) for values in trials])
    return quantile_interval(trials, PERCENTILES[statistic.replace(".", "_")])


def figure_words(figure: Figure) -> str:
    """`p99 1.2 s (0.9 s to 1.4 s)`."""
    name = figure.condition.split("<")[0].strip()
    words = _words(figure)
    between = ""
    if figure.low is not None and figure.high is not None and words(figure.low) == words(figure.high):
        # A server without variance: the interval is the value.
        between = ""
    elif figure.low is not None and figure.high is not None:
        between = f" ({words(figure.low)} to {words(figure.high)})"
    elif figure.high is not None:
        between = f" (at most {words(figure.high)})"
    elif figure.low is not None:
        between = f" (at least {words(figure.low)})"
    return f"{name} {'without a value' if figure.value is None else words(figure.value)}{between}"


def limit_words(figure: Figure) -> str:
    """The limit with its unit."""
    return _words(figure)(figure.limit)


def _words(figure: Figure) -> Callable[[float], str]:
    return units.percent if figure.condition.startswith(("errors", GROWTH)) else units.seconds


def _reason(probe: Probe) -> str:
    failed = [figure for figure in probe.figures if figure.state == "failed"]
    open_ = [figure for figure in probe.figures if figure.state == "unresolved"]
    if failed:
        return "; ".join(f"{figure_words(one)} is above {limit_words(one)}" for one in failed)
    if probe.saturated and "failed" in probe.states:
        return "arrivals piled up, or a figure was far above its limit, in every trial"
    if open_ and probe.states and set(probe.states) != {"passed"}:
        return "; ".join(f"{figure_words(one)} is not decided against {limit_words(one)}" for one in open_)
    return ""
