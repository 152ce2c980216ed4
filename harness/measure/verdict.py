"""May this result be trusted? Pure: evidence in, verdict out.

Rules of this file
  1. Every check that fails becomes a reason with a stable code and a sentence with figures.
  2. Nothing passes on zero data; what was not measured is never taken for good.
  3. Invalid outweighs inconclusive: an interrupted run that also lost count is invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.measure.result import OUTCOME_NAMES, Case, Distribution, Reason, RunResult, Verdict

CEILING_SHARE_MAX = 0.70
FAILED_SHARE_MAX = 0.01
LAG_MIN_S = 0.001
LAG_SHARE_OF_P50 = 0.05

INVALID = {
    "no_data": "no request succeeded, or nothing was recorded",
    "conservation": "scheduled items do not equal the sum of all outcomes, or rows are missing or double",
    "server_count": "the server counted other exchanges than the client",
    "client_ceiling": "the client used more than 70 % of the rate it reaches against a null server",
    "lag": "arrivals were given out late by the generator itself (p99 above 1 ms and above 5 % of the median latency)",
    "errors": "more than 1 % of the items failed, and no SLO says how many may",
    "write_error": "records could not be written",
    "engine_error": "the client itself failed",
}
INCONCLUSIVE = {
    "interrupted": "the run was stopped before its end",
    "partial": "a process ended without its last word, or a planned case or repeat is missing",
}
CODES = INVALID | INCONCLUSIVE
"""Every reason code and what it means; docs/measuring.md lists the same."""

EXIT_PASS, EXIT_SLO_FAILED, EXIT_INVALID, EXIT_INCONCLUSIVE = 0, 1, 4, 5


@dataclass(frozen=True)
class Evidence:
    """A case, and what is known of how it was recorded."""

    case: Case
    missing_rows: int = 0  # rows that were made and are not in the files
    double_rows: int = 0  # items recorded more than once in one repeat
    write_errors: tuple[str, ...] = ()
    engine_errors: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()  # why, in words
    maybe_unseen: int = 0  # exchanges that may not have reached the server (connecting failed, given up)
    maybe_untold: int = 0  # exchanges the client may have made without a record (cancelled between attempts)


def judge(evidence: Sequence[Evidence], *, errors_bounded: bool = False, never_started: Sequence[str] = ()) -> Verdict:
    """The verdict on a run; `errors_bounded`: the user's SLO says how many failures are acceptable."""
    reasons: list[Reason] = []
    if not evidence:
        reasons.append(Reason("no_data", "nothing was recorded"))
    for one in evidence:
        reasons += _reasons(one, errors_bounded)
    reasons += [Reason("partial", "planned, but never started", name) for name in never_started]
    if any(reason.code in INVALID for reason in reasons):
        return Verdict("invalid", reasons)
    return Verdict("inconclusive" if reasons else "valid", reasons)


def _reasons(evidence: Evidence, errors_bounded: bool) -> Iterator[Reason]:
    case = evidence.case
    for text in evidence.write_errors:
        yield Reason("write_error", text, case.name)
    for text in evidence.engine_errors:
        yield Reason("engine_error", f"the client failed: {text}", case.name)
    texts = {
        "no_data": _no_data(case),
        "conservation": _conservation(evidence),
        "server_count": _server_count(evidence),
        "client_ceiling": _client_ceiling(case),
        "lag": _lag(case),
        "errors": None if errors_bounded else _errors(evidence),
        "interrupted": "; ".join(evidence.interrupted) or None,
        "partial": _partial(evidence),
    }
    for code, found in texts.items():
        if found is not None:
            yield Reason(code, found, case.name)


def _no_data(case: Case) -> str | None:
    if case.counts.ok:
        return None
    if not case.counts.scheduled:
        return "nothing was recorded"
    return f"none of {case.counts.scheduled} items succeeded"


def _conservation(evidence: Evidence) -> str | None:
    counts = evidence.case.counts
    outcomes = sum(getattr(counts, name) for name in OUTCOME_NAMES)
    if outcomes != counts.scheduled:
        return f"{counts.scheduled} items were scheduled but {outcomes} are accounted for"
    if evidence.missing_rows:
        return f"{evidence.missing_rows} rows that were recorded are not in the files"
    if evidence.double_rows:
        return f"{evidence.double_rows} items were recorded more than once"
    return None


def _server_count(evidence: Evidence) -> str | None:
    """Exact, but for exchanges that nobody can know of: refused while connecting, or cut off with their stamps."""
    counts = evidence.case.counts
    if counts.server_seen is None:
        return None
    low, high = counts.attempts - evidence.maybe_unseen, counts.attempts + evidence.maybe_untold
    if low <= counts.server_seen <= high:
        return None
    spread = "" if low == high else f" (between {low} and {high} would be explained by broken or cancelled ones)"
    return f"the client made {counts.attempts} exchanges but the server counted {counts.server_seen}{spread}"


def _client_ceiling(case: Case) -> str | None:
    share, ceiling = case.resources.ceiling_share, case.resources.ceiling_per_s
    if share is None or share <= CEILING_SHARE_MAX:
        return None
    return (
        f"the client ran at {share:.0%} of the {ceiling or 0:,.0f} requests/s it reaches against a null server "
        f"(limit {CEILING_SHARE_MAX:.0%}): this measures the client"
    )


def _lag(case: Case) -> str | None:
    """Arrivals only: a backlog is due at once, so it has no lateness."""
    if case.load.kind == "backlog":
        return None
    name, lag_s = highest(case.lag_s)
    p50_s = case.latency_s.p50.value or case.latency_s.mean or 0.0
    allowed_s = max(LAG_MIN_S, LAG_SHARE_OF_P50 * p50_s)
    if lag_s is None or lag_s <= allowed_s:
        return None
    return (
        f"the generator gave items out late: lag {name} {lag_s * 1e3:.1f} ms, allowed {allowed_s * 1e3:.1f} ms; "
        "the client's machine is too busy for this load"
    )


def highest(distribution: Distribution) -> tuple[str, float | None]:
    """The highest percentile up to p99 that n carries, else the maximum; with its name."""
    for name in ("p99", "p95", "p90"):
        value = getattr(distribution, name).value
        if value is not None:
            return name, value
    return "max", distribution.max


def failures(case: Case) -> dict[str, int]:
    """Outcomes other than ok that occurred, the most frequent first."""
    found = {name: getattr(case.counts, name) for name in OUTCOME_NAMES if name != "ok"}
    return dict(sorted(((k, v) for k, v in found.items() if v), key=lambda pair: -pair[1]))


def _errors(evidence: Evidence) -> str | None:
    """What the stop of an interrupted run left undone is not the server's failure."""
    case, failed = evidence.case, failures(evidence.case)
    total = case.counts.scheduled
    if evidence.interrupted or case.partial:
        for name in ("not_sent", "unfinished", "cancelled"):
            total -= failed.pop(name, 0)
    count = sum(failed.values())
    if not case.counts.ok or count <= FAILED_SHARE_MAX * total:
        return None
    named = ", ".join(f"{number} {name}" for name, number in failed.items())
    return (
        f"{count} of {total} items failed ({count / total:.1%}: {named}); "
        "rates and latencies count successes only. An SLO such as errors<5% says how many may fail"
    )


def _partial(evidence: Evidence) -> str | None:
    if not evidence.case.partial or evidence.interrupted:
        return None
    return "it did not come to its end; what was recorded until then is shown"


def exit_code(result: RunResult) -> int:
    """DESIGN's contract: 4 invalid, else 1 an SLO failed, else 5 inconclusive, else 0."""
    if result.verdict.status == "invalid" or not result.cases:
        return EXIT_INVALID
    if not all(check.passed for case in result.cases for check in case.slo):
        return EXIT_SLO_FAILED
    return EXIT_INCONCLUSIVE if result.verdict.status == "inconclusive" else EXIT_PASS
