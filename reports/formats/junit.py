"""report.junit.xml: a suite for each case, a test case for its measurement and for each condition of the SLO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.judge import slo
from harness.measure.judge.codes import CODES
from harness.measure.judge.verdict import exit_code
from harness.measure.result import Case, Reason, RunResult, SloCheck
from reports import labels
from reports.export_figures import names
from reports.junit import Check, Status, Suite, document
from reports.wording import target_words

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "junit.xml"
CHARTS = False
MEASUREMENT = "measurement is valid"
OF_STATUS: dict[str, Status] = {"valid": "passed", "invalid": "error", "inconclusive": "skipped"}
OF_EXIT_CODE: dict[int, Status] = {0: "passed", 1: "failure", 4: "error", 5: "skipped"}


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """An invalid measurement is an error, a failed condition a failure, an inconclusive one is skipped."""
    judged = "capacity" if result.capacity is not None else "sweep" if result.sweep is not None else ""
    if judged:
        # Probes above the capacity fail their SLO by design, so only the search or sweep as a whole is judged.
        found = Check(judged, OF_EXIT_CODE[exit_code(result)], _whole(result), judged)
        return document([Suite(judged, [found], _run_facts(result))], result.started_at)
    suites = [*_run_suite(result)]
    suites += [_suite(name, case, result) for name, case in zip(names(result.cases), result.cases, strict=True)]
    return document(suites, result.started_at)


def _run_suite(result: RunResult) -> list[Suite]:
    """A suite for what concerns the run as a whole; none if every reason belongs to a case."""
    known = {case.name for case in result.cases}
    reasons = [reason for reason in result.verdict.reasons if reason.case not in known]
    status = OF_STATUS[result.verdict.status]
    explained = any(reason.case in known and _severity(reason, result) == status for reason in result.verdict.reasons)
    if not reasons and (status == "passed" or explained):
        return []
    worst = _worst(reasons, result) if explained else status
    text = " ".join(reason.text for reason in reasons) or _whole(result)
    check = Check(MEASUREMENT, worst, text, reasons[0].code if reasons else result.verdict.status)
    return [Suite("run", [check], _run_facts(result))]


def _whole(result: RunResult) -> str:
    return " ".join([result.headline, *(reason.text for reason in result.verdict.reasons)]).strip()


def _severity(reason: Reason, result: RunResult) -> Status:
    """A code of another version counts as the verdict of the whole run."""
    return OF_STATUS[CODES[reason.code][0] if reason.code in CODES else result.verdict.status]


def _worst(reasons: Sequence[Reason], result: RunResult) -> Status:
    found = {_severity(reason, result) for reason in reasons}
    return "error" if "error" in found else "skipped" if "skipped" in found else "passed"


def _suite(name: str, case: Case, result: RunResult) -> Suite:
    reasons = [reason for reason in result.verdict.reasons if reason.case in {case.name, None}]
    status = _worst(reasons, result) if case.counts.ok else "error"
    why = " ".join(reason.text for reason in reasons) or ("" if case.counts.ok else "No success: nothing to measure.")
    measured = Check(MEASUREMENT, status, why, reasons[0].code if reasons else "", case.makespan_s)
    checks = [measured, *(_condition(check, status, why) for check in case.slo)]
    output = "\n".join([text for text in (case.diagnosis.text, *case.warnings) if text])
    return Suite(name, checks, _facts(case, result), output, case.makespan_s)


def _condition(check: SloCheck, measured: Status, why: str) -> Check:
    """The order of the exit codes: invalid first, then a failed condition, then inconclusive."""
    said, code = slo.describe(check), "slo"
    if measured == "error":
        return Check(check.condition, "error", f"The measurement is invalid: {why} ({said})", code)
    if not check.passed:
        return Check(check.condition, "failure", said, code)
    if measured == "skipped":
        return Check(check.condition, "skipped", f"Inconclusive: {why} ({said})", code)
    return Check(check.condition, "passed", said)


def _run_facts(result: RunResult) -> dict[str, str]:
    facts = {"run": result.id, "verdict": result.verdict.status, "seed": str(result.seed)}
    return facts | ({"schedule_sha256": result.schedule_sha256} if result.schedule_sha256 else {})


def _facts(case: Case, result: RunResult) -> dict[str, str]:
    """The measured figures, and the health of the client that measured them."""
    own = case.resources
    health = {
        "client_cpu_share_of_a_core": units.share(own.client_cpu_share),
        "client_ceiling_share": units.share(own.ceiling_share),
        "client_loop_lag_p99": units.seconds(own.loop_lag_p99_s),
        "client_lag_p99": labels.percentile(case.lag_s, "p99"),
        "host_steal_share": units.share(own.host_steal_share),
        "client_memory_max": units.megabytes(own.client_rss_max_mb),
    }
    return {
        **_run_facts(result),
        "strategy": labels.named_words(case.strategy),
        "load": labels.load_words(case.load),
        "target": target_words(case),
        "limited_by": case.diagnosis.limited_by,
        "repeats": str(case.repeats),
        "requests": str(case.latency_s.n),
        **{name: value for name, value in health.items() if value != units.NONE},
    }
