"""The answers of a capacity search from its probes, in numbers and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.capacity_result import ENDED, By, Capacity, CapacityPlan, CapacityResult, Probe
from harness.measure.judge.capacity.bounds import Bounds, ProbeEvidence, bounds, is_confirmed
from harness.measure.judge.capacity.probes import conditions, figure_words
from harness.measure.judge.capacity.search import Rules, ended

QUANTITY: dict[By, str] = {"concurrency": "calls in flight", "rate": "requests/s"}


def rules_of(plan: CapacityPlan, by: By, start: float | None = None) -> Rules:
    """The rules of the search by rate or by concurrency."""
    whole = by == "concurrency"
    lowest, highest = (1.0, float(plan.highest_concurrency)) if whole else (plan.lowest_rate, plan.highest_rate)
    begin = start if start is not None else float(plan.start_concurrency) if whole else plan.start_rate
    return Rules(
        start=min(max(begin, lowest), highest),
        lowest=lowest,
        highest=highest,
        tiers=len(plan.tiers),
        whole=whole,
        width=plan.width,
        trials=plan.trials,
        trials_max=plan.trials_max,
        probes_max=plan.probes_max,
        budget_s=plan.budget_s / len(plan.by),
        confirm=plan.confirm_s > 0,
    )


def seen_of(probes: Sequence[Probe], by: By) -> list[ProbeEvidence]:
    """The evidence of the search: the probes along one quantity."""
    return [
        ProbeEvidence(one.load, tuple(one.states), one.trials + one.trials_invalid, one.seconds, one.confirmation)
        for one in probes
        if one.by == by
    ]


def capacity_result(plan: CapacityPlan, probes: Sequence[Probe]) -> CapacityResult:
    """The answers for all tiers."""
    found = [_answer(plan, probes, by, tier) for by in plan.by for tier in range(len(plan.tiers))]
    return CapacityResult(found, list(probes), sum(one.seconds for one in probes), plan)


def _answer(plan: CapacityPlan, probes: Sequence[Probe], by: By, tier: int) -> Capacity:
    seen, own = seen_of(probes, by), [one for one in probes if one.by == by]
    limits = bounds(seen, tier)
    low, high = limits.low, limits.high
    answer = Capacity(
        by=by,
        slo=", ".join(one.text for one in conditions(plan.tiers[tier], by)),
        ended=ended(rules_of(plan, by, own[0].load), seen, tier) if own else "stopped",
        low=low,
        high=high,
        confirmed=is_confirmed(seen, tier, low),
        notes=_notes(own, limits, tier, plan),
    )
    return _with_text(answer, own, tier)


def _with_text(answer: Capacity, own: Sequence[Probe], tier: int) -> Capacity:
    from msgspec.structs import replace

    return replace(answer, text=_text(answer, own, tier))


def _text(answer: Capacity, own: Sequence[Probe], tier: int) -> str:
    unit, low, high = QUANTITY[answer.by], answer.low, answer.high
    above = f"; at {load_words(high)} {_breach(own, high, tier)}" if high is not None else ""
    if low is not None and high is not None:
        said = f"holds {answer.slo} up to {load_words(low)}–{load_words(high)} {unit}{above}"
    elif low is not None:
        said = f"holds {answer.slo} at {load_words(low)} {unit}; no upper bound was found"
    elif high is not None:
        lowest = "the lowest load tried" if answer.ended == "fails" else "and no lower load passed"
        said = f"does not hold {answer.slo}: at {load_words(high)} {unit}, {lowest}, {_breach(own, high, tier)}"
    else:
        said = f"no load was decided for {answer.slo}"
    tail = "" if answer.ended in {"answered", "fails"} else f" ({ENDED[answer.ended]})"
    return f"{said}{tail}"


def brief(answer: Capacity) -> str:
    """The answer without the figure that broke the SLO."""
    if answer.low is None or answer.high is None or answer.ended != "answered":
        return answer.text
    loads = f"{load_words(answer.low)}–{load_words(answer.high)} {QUANTITY[answer.by]}"
    return f"holds {answer.slo} up to {loads}"


def to_set(answer: Capacity) -> str:
    """What to set, without a full stop; empty without both bounds."""
    if answer.low is None or answer.high is None:
        return ""
    load = load_words(answer.low)
    return f"Set the concurrency to at most {load}" if answer.by == "concurrency" else f"Plan for at most {load}/s"


def breaches(found: CapacityResult) -> list[str]:
    """For each answer, the figure that broke the SLO above it; empty without one."""
    said = []
    for answer in found.answers:
        own = [one for one in found.probes if one.by == answer.by]
        tier = [one for one in found.answers if one.by == answer.by].index(answer)
        said.append("" if answer.high is None else f"at {load_words(answer.high)} {_breach(own, answer.high, tier)}")
    return said


def load_words(load: float | None) -> str:
    """A load as a number."""
    return units.NONE if load is None else units.significant(load)


def _breach(own: Sequence[Probe], load: float | None, tier: int) -> str:
    """The figure that broke the SLO at a load."""
    probes = [one for one in own if one.load == load and one.states[tier] == "failed"]
    figures = [figure for one in probes for figure in one.figures]
    broken = [figure for figure in figures if figure.state == "failed"]
    # A saturated probe was cut short, so its figures have no intervals.
    broken = broken or [figure for figure in figures if figure.value is not None and figure.value > figure.limit]
    if not broken:
        return "arrivals pile up" if any(one.saturated for one in probes) else "it fails"
    return figure_words(broken[0]).replace(" ", " is ", 1)


def _trials(own: Sequence[Probe], loads: Sequence[float]) -> str:
    """The numbers of trials of these loads."""
    numbers = [one.trials for one in own if one.load in loads and not one.confirmation]
    return f"{min(numbers)}" if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)}"


def _notes(own: Sequence[Probe], limits: Bounds, tier: int, plan: CapacityPlan) -> list[str]:
    found = []
    if limits.odd and limits.high is not None:
        loads = units.listing([load_words(load) for load in limits.odd])
        found.append(f"not monotonic: {loads} passed although {load_words(limits.high)} failed; the answer stays below")
    undecided = [load for load in limits.undecided if limits.states[load] == "unresolved"]
    if undecided:
        loads = units.listing([load_words(load) for load in undecided])
        found.append(
            f"undecided after {_trials(own, undecided)} trials or a long run, so part of the interval: {loads} "
            f"{QUANTITY[own[0].by]}"
        )
    invalid = [one for one in own if one.states and one.states[tier] == "invalid"]
    found += [f"{one.case} is no bound: {one.reason}" for one in invalid]
    if (
        plan.confirm_s
        and limits.low is not None
        and not any(one.confirmation and one.load == limits.low and one.states[tier] == "passed" for one in own)
    ):
        found.append("the lower bound was not confirmed by a long run")
    return found
