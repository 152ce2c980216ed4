"""The verdict and the exit code of a sweep. Pure.

Failures at high levels are findings about the server. A level at which the client was the limit is left out.
"""

from __future__ import annotations

from typing import Literal

from harness.base import units
from harness.measure.judge.codes import CODES
from harness.measure.judge.sweep.points import FINDINGS, LEAVES_OUT
from harness.measure.judge.sweep.wording import level_words
from harness.measure.result import Reason, RunResult, Verdict
from harness.measure.sweep_result import SweepResult

LEVELS_MIN = 3
GROWING = ("drift", "unsettled")
"""The sign of a growing queue; the table says of such a rate that the server fell behind."""


def sweep_verdict(found: SweepResult, judged: Verdict) -> Verdict:
    """Invalid with fewer than three levels left; inconclusive if the knee is the highest level that is left."""
    behind = {point.case for point in found.points if point.kept_up is False}
    reasons = [
        one
        for one in judged.reasons
        if _is_of_lowest(found, one)
        or (one.code not in _findings(found) and not (one.code in GROWING and one.case in behind))
    ]
    if found.not_played and found.stopped is None:
        missing = units.listing([level_words(found, level) for level in found.not_played])
        reasons.append(Reason("interrupted", f"The sweep was stopped before its end: {missing} not played."))
    if _is_unclear(found):
        reasons.append(Reason("slo_unclear", f"No level holds the SLO {found.slo} for certain, and the lowest may do."))
    return Verdict(_status(found, reasons), reasons)


def _is_unclear(found: SweepResult) -> bool:
    lowest = next((point for point in found.points if point.left_out is None), None)
    return lowest is not None and lowest.slo == "unclear" and found.capacity is None


def _is_of_lowest(found: SweepResult, reason: Reason) -> bool:
    """Whether too many requests fail at the lowest level: then load is not their cause, and no level can be advised."""
    lowest = next((point for point in found.points if point.left_out is None), None)
    return reason.code == "errors" and lowest is not None and reason.case == lowest.case


def _findings(found: SweepResult) -> tuple[str, ...]:
    """Codes that are no reason against the sweep. If no request ever succeeded, that is one."""
    some = any(point.completed_per_s.value for point in found.points)
    return FINDINGS if some else tuple(code for code in FINDINGS if code != "no_data")


def _status(found: SweepResult, reasons: list[Reason]) -> Literal["valid", "invalid", "inconclusive"]:
    statuses = {CODES[one.code][0] for one in reasons if one.code not in LEAVES_OUT}
    kept = [point for point in found.points if point.left_out is None]
    if len(kept) < len(found.points):
        statuses |= {"invalid"} if len(kept) < LEVELS_MIN else {"inconclusive"} if found.edge == "highest" else set()
    return "invalid" if "invalid" in statuses else "inconclusive" if "inconclusive" in statuses else "valid"


def sweep_exit_code(result: RunResult) -> int:
    """0 answered, 1 the SLO fails at the lowest level, 4 invalid, 5 inconclusive."""
    assert result.sweep is not None  # noqa: S101 - the caller looked
    if result.verdict.status == "invalid":
        return 4
    judged = [point for point in result.sweep.points if point.left_out is None]
    if judged and judged[0].slo == "fails":
        return 1
    return 5 if result.verdict.status == "inconclusive" else 0
