"""The gate's check of capacity: it may not fall by more than a limit. Pure.

Rules of this file
  1. A capacity is an interval: the highest load that held the SLO, and the lowest that failed it. The ratio of two
     such intervals is an interval, too: the check passes or fails only if the whole of it does.
  2. A failure rests on the load that the baseline held, so the baseline's long run must have confirmed it.
  3. A capacity that one side lacks, or that could not be measured, fails.
"""

from __future__ import annotations

import math

import msgspec

from harness.base import units
from harness.measure.capacity_result import Capacity
from harness.measure.comparison_result import FigureComparison
from harness.measure.gate_result import GATE_VERSION, CheckStatus, Gate, GateCheck
from harness.measure.judge.capacity.answers import load_words
from harness.measure.judge.conditions import Finished
from harness.measure.judge.gate import concluded

CAPACITY_LIMIT = 0.2
"""A fall of the capacity by up to 20 % does not count, unless the user sets another limit."""


def with_capacity(gate: Gate | None, baseline: Finished, candidate: Finished, limit: float = CAPACITY_LIMIT) -> Gate:
    """The gate with a check for each capacity that one of the two runs searched; a gate of its own without one."""
    if gate is None:
        names = (baseline.result.id, candidate.result.id)
        gate = Gate(GATE_VERSION, "inconclusive", "", [], *names, paired=False, pairs=0, confirmation=0, limit=limit,
                    noise_floor=None, started_at=candidate.result.started_at)  # fmt: skip
    checks = [*gate.checks, *capacity_checks(baseline, candidate, limit)]
    return concluded(
        msgspec.structs.replace(gate, checks=checks, reasons=[*gate.reasons, *_faults(baseline, candidate)])
    )


def capacity_checks(baseline: Finished, candidate: Finished, limit: float) -> list[GateCheck]:
    """One check for each quantity and SLO."""
    before, after = _answers(baseline), _answers(candidate)
    return [_check(by, slo, before.get((by, slo)), after.get((by, slo)), limit) for by, slo in {**before, **after}]


def _answers(run: Finished) -> dict[tuple[str, str], Capacity]:
    found = run.result.capacity.answers if run.result.capacity is not None else []
    return {(answer.by, answer.slo): answer for answer in found}


def _faults(baseline: Finished, candidate: Finished) -> list[str]:
    """Why nothing can be concluded from the two searches."""
    found = [
        f"{which}: {run.result.id} is no capacity search. Make one with `paceline capacity`."
        for which, run in (("baseline", baseline), ("candidate", candidate))
        if run.result.capacity is None
    ]
    if baseline.result.simulated != candidate.result.simulated:
        found.append("capacity: one of the searches was simulated, and the other one was not.")
    tasks = [{case.task for case in run.result.cases} for run in (baseline, candidate)]
    if not found and tasks[0] != tasks[1]:
        found.append(f"capacity: the searches had different tasks, {_names(tasks[0])} and {_names(tasks[1])}.")
    return found


def _names(tasks: set[str]) -> str:
    return units.listing(sorted(tasks)) or "none"


def _check(by: str, slo: str, before: Capacity | None, after: Capacity | None, limit: float) -> GateCheck:
    name = f"capacity by {by} against the baseline"
    missing = [which for which, one in (("baseline", before), ("candidate", after)) if not _measured(one)]
    if before is None or after is None or missing:
        text = f"capacity by {by}: no such figure of the {units.listing(missing)}"
        return GateCheck(name, "capacity", slo, "failed", text)
    figure = _compared(by, before, after, limit)
    status = _status(figure, before)
    return GateCheck(name, "capacity", slo, status, _text(by, figure, before, after, status), figure=figure)


def _measured(answer: Capacity | None) -> bool:
    """Whether the search found a bound. A search that failed at its lowest load has an upper one."""
    return answer is not None and answer.ended != "invalid" and (answer.low, answer.high) != (None, None)


def _compared(by: str, before: Capacity, after: Capacity, limit: float) -> FigureComparison:
    low = None if after.low is None or before.high is None else after.low / before.high
    high = None if after.high is None or not before.low else after.high / before.low
    middles = [_middle(one) for one in (before, after)]
    effect = middles[1] / middles[0] if middles[0] else None
    return FigureComparison(
        f"capacity by {by}", "higher", "ratio", "no difference found", middles[0], middles[1], effect, low, high,
        limit=limit, n=1, n_reference=1,
    )  # fmt: skip


def _middle(answer: Capacity) -> float:
    """The middle of the interval on a logarithmic scale; a bound alone stands for itself."""
    ends = [end for end in (answer.low, answer.high) if end]
    return math.exp(sum(math.log(end) for end in ends) / len(ends)) if ends else 0.0


def _status(figure: FigureComparison, before: Capacity) -> CheckStatus:
    least = 1 - figure.limit
    if figure.low is not None and figure.low >= least:
        return "passed"
    fell = figure.high is not None and figure.high < least
    return "failed" if fell and before.confirmed else "inconclusive"


def _text(by: str, figure: FigureComparison, before: Capacity, after: Capacity, status: CheckStatus) -> str:
    unit = "/s" if by == "rate" else " in flight"
    ends = [_end(figure.low, "0"), _end(figure.high, "no upper bound")]
    said = f"capacity by {by} {_span(after)}{unit}, baseline {_span(before)}{unit}: x[{', '.join(ends)}]"
    limit = f"limit -{units.share(figure.limit)}"
    why = ""
    if status == "inconclusive" and figure.high is not None and figure.high < 1 - figure.limit:
        why = "; not confirmed: the baseline has no long run (--confirm)"
    elif status == "inconclusive" and None in (before.high, after.high):
        why = "; a search ended at its highest load (--highest)"
    elif status == "inconclusive":
        why = "; search with a smaller --width, or raise the limit"
    return f"{said}, {limit}{why}"


def _end(ratio: float | None, none: str) -> str:
    return none if ratio is None else f"{ratio:.2f}"


def _span(answer: Capacity) -> str:
    if answer.high is None:
        return f"at least {load_words(answer.low or 0.0)}"
    high = load_words(answer.high)
    return f"below {high}" if answer.low is None else f"{load_words(answer.low)} to {high}"
