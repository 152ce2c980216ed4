"""The diagnosis of an invalid case: what its times say is no finding. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.measure.judge.codes import CODES
from harness.measure.judge.diagnosis import refused_share
from harness.measure.result import Case, Diagnosis, Verdict

WITHHELD = Diagnosis("unknown", "The measurement is invalid, so its figures show no limiting factor: see the verdict.")


def without_findings_of_invalid(cases: Sequence[Case], verdict: Verdict) -> list[Case]:
    """The cases; the factor of an invalid one is unknown, unless it was counted: the client's own use, or refusals."""
    invalid = {reason.case for reason in verdict.reasons if CODES[reason.code][0] == "invalid"}
    return [
        msgspec.structs.replace(case, diagnosis=WITHHELD)
        if invalid & {case.name, None} and _rests_on_times(case)
        else case
        for case in cases
    ]


def _rests_on_times(case: Case) -> bool:
    return case.diagnosis.limited_by in ("strategy", "load") or (
        case.diagnosis.limited_by == "server" and not refused_share(case)
    )
