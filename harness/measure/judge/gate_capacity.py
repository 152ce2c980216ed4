"""The gate's check of capacity: it may not fall by more than a limit. Pure.

Rules of this file
  1. A capacity is an interval: of a search, the highest load that held the SLO and the lowest that failed it. The ratio
     of two such intervals is an interval, too: the check passes or fails only if the whole of it does.
  2. A failure rests on the load that the baseline held, so it must have been confirmed: by the long run of a search, or
     by the repeats of a sweep.
  3. A capacity that one side lacks, or that could not be measured, fails.
"""

from __future__ import annotations

import math

import msgspec

from harness.base import units
from harness.measure.comparison_result import FigureComparison
from harness.measure.gate_result import GATE_VERSION, CheckStatus, Gate, GateCheck
from harness.measure.judge.capacity.answers import load_words
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.gate import concluded
from harness.measure.judge.gate_bounds import CapacityInterval, Key, bounds_of

CAPACITY_LIMIT = 0.2
"""A fall of the capacity by up to 20 % does not count, unless the user sets another limit."""


def with_capacity(
    gate: Gate | None, baseline: FinishedRun, candidate: FinishedRun, limit: float = CAPACITY_LIMIT
) -> Gate:
    """The gate with a check for each capacity that one of the two runs searched; a gate of its own without one."""
    if gate is None:
        names = (baseline.result.id, candidate.result.id)
        gate = Gate(GATE_VERSION, "inconclusive", "", [], *names, paired=False, pairs=0, confirmation=0, limit=limit,
                    noise_floor=None, started_at=candidate.result.started_at)  # fmt: skip
    checks = [*gate.checks, *capacity_checks(baseline, candidate, limit)]
    return concluded(
        msgspec.structs.replace(gate, checks=checks, reasons=[*gate.reasons, *_faults(baseline, candidate)])
    )


def capacity_checks(baseline: FinishedRun, candidate: FinishedRun, limit: float) -> list[GateCheck]:
    """One check for each quantity and SLO."""
    before, after = bounds_of(baseline.result), bounds_of(candidate.result)
    return [_check(key, before.get(key), after.get(key), limit) for key in {**before, **after}]


def _faults(baseline: FinishedRun, candidate: FinishedRun) -> list[str]:
    """Why nothing can be concluded from the two runs."""
    found: list[str] = []
    for which, run in (("baseline", baseline.result), ("candidate", candidate.result)):
        if run.capacity is None and run.sweep is None:
            found.append(f"{which}: {run.id} has no capacity. Make one with `paceline capacity` or `paceline sweep`.")
        elif run.verdict.status == "invalid":
            found.append(f"{which}: {run.verdict.reasons[0].text if run.verdict.reasons else f'{run.id} is invalid.'}")
    if baseline.result.simulated != candidate.result.simulated:
        found.append("capacity: one of the runs was simulated, and the other one was not.")
    for of in ("task", "transport"):
        names = [{getattr(case, of) for case in run.result.cases} - {None} for run in (baseline, candidate)]
        if not found and all(names) and names[0] != names[1]:
            found.append(f"capacity: the runs had different {of}s, {_names(names[0])} and {_names(names[1])}.")
    return found


def _names(tasks: set[str]) -> str:
    return units.listing(sorted(tasks)) or "none"


def _check(key: Key, before: CapacityInterval | None, after: CapacityInterval | None, limit: float) -> GateCheck:
    quantity, of = key
    name = f"{quantity} against the baseline"
    sides = (("baseline", before), ("candidate", after))
    missing = [which for which, one in sides if one is None or not one.measured]
    if before is None or after is None or missing:
        text = f"{quantity}: no such figure of the {units.listing(missing)}"
        return GateCheck(name, "capacity", of, "failed", text)
    figure = _compared(quantity, before, after, limit)
    status = _status(figure, before)
    remark = _remark(figure, before, after) if status == "inconclusive" else ""
    text = "; ".join(filter(None, [_text(figure, before, after), remark]))
    return GateCheck(name, "capacity", of, status, text, remark, figure)


def _compared(quantity: str, before: CapacityInterval, after: CapacityInterval, limit: float) -> FigureComparison:
    low = None if after.low is None or before.high is None else after.low / before.high
    high = None if after.high is None or not before.low else after.high / before.low
    middles = [_middle(one) for one in (before, after)]
    effect = middles[1] / middles[0] if middles[0] and middles[1] else None
    return FigureComparison(
        quantity, "higher", "ratio", "no difference found", middles[0], middles[1], effect, low, high,
        limit=limit, n=1, n_reference=1,
    )  # fmt: skip


def _middle(bound: CapacityInterval) -> float | None:
    """The middle of the interval on a logarithmic scale; a bound alone stands for itself."""
    ends = [end for end in (bound.low, bound.high) if end]
    return math.exp(sum(math.log(end) for end in ends) / len(ends)) if ends else None


def _status(figure: FigureComparison, before: CapacityInterval) -> CheckStatus:
    least = 1 - figure.limit
    if figure.low is not None and figure.low >= least:
        return "passed"
    return "failed" if _fell(figure) and before.confirmed else "inconclusive"


def _fell(figure: FigureComparison) -> bool:
    return figure.high is not None and figure.high < 1 - figure.limit


def _remark(figure: FigureComparison, before: CapacityInterval, after: CapacityInterval) -> str:
    """Why it is inconclusive, and what to do."""
    if _fell(figure):
        return f"not confirmed: {before.unconfirmed}"
    if (None, None) in ((before.low, before.high), (after.low, after.high)):
        return "no interval (--repeats)"
    return before.advice if before.high is None else after.advice


def _text(figure: FigureComparison, before: CapacityInterval, after: CapacityInterval) -> str:
    ends = [_end(figure.low, "0"), _end(figure.high, "no upper bound")]
    said = f"{figure.figure} {_span(after)}{after.unit}, baseline {_span(before)}{before.unit}"
    return f"{said}: x[{', '.join(ends)}], limit -{units.share(figure.limit)}"


def _end(ratio: float | None, none: str) -> str:
    return none if ratio is None else f"{ratio:.2f}"


def _span(bound: CapacityInterval) -> str:
    if bound.high is None:
        return f"at least {load_words(bound.low or 0.0)}"
    high = load_words(bound.high)
    return f"below {high}" if bound.low is None else f"{load_words(bound.low)} to {high}"
