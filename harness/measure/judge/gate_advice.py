"""What to do about a gate that did not decide. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.base import units
from harness.measure.gate_result import Gate, GateCheck
from harness.measure.judge.comparison import repeats_to_decide
from harness.measure.judge.gate_checks import PAIRS_SENSIBLE
from harness.measure.judge.rank_tests import LEVEL


def advice(gate: Gate) -> str:
    """What would decide an inconclusive gate, in sentences; empty for every other one."""
    if gate.status != "inconclusive":
        return ""
    if gate.stopped:
        return "What to do: run the gate again and let it end."
    found = list(dict.fromkeys(_steps(gate)))
    return f"What to do: {'; '.join(found)}." if found else ""


def _steps(gate: Gate) -> Iterator[str]:
    """The least costly step for each cause."""
    open_checks = [check for check in gate.checks if check.status == "inconclusive"]
    if any(check.kind == "slo" for check in open_checks):
        yield "for an SLO whose interval contains its bound, play longer trials (--items, --duration) or more --pairs"
    yield from _against_baseline(gate, [check for check in open_checks if check.kind == "regression"])
    if any(check.kind == "capacity" for check in open_checks):
        yield "for the capacity, search both servers again with more --repeats"
    if gate.notes and not open_checks:
        yield "remove the cause named above and run the gate again"


def _against_baseline(gate: Gate, checks: list[GateCheck]) -> Iterator[str]:
    figures = [check.figure for check in checks if check.figure is not None]
    few = [figure.needed for figure in figures if figure.decision == "not enough repeats"]
    if few:
        yield f"use at least --pairs {max(few)}"
    if not figures or few:
        return
    if gate.noise_floor is not None and gate.noise_floor > gate.limit:
        yield (
            f"trials are too noisy for a limit of {units.share(gate.limit)}: make them longer (--items, --duration), "
            f"use a quieter machine, or accept a larger --limit"
        )
    needed = [repeats_to_decide(figure, 2 * LEVEL) for figure in figures]
    enough = [number for number in needed if number is not None and number <= PAIRS_SENSIBLE]
    if enough and len(enough) == len(needed):
        option = "--pairs-max" if gate.paired else "--pairs"
        yield f"about {option} {max(*enough, gate.pairs + 1)} would decide"
    elif enough or needed:
        yield "a change that is about as large as the limit stays undecided: choose another --limit"
