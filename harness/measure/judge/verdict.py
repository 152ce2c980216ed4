"""The verdict: whether a result can be trusted. A pure function of the cases and their evidence.

A reason states the finding, the limit and the remedy. `invalid` takes precedence over `inconclusive`, and reasons that
decide come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base import units
from harness.measure.judge import bursts, client_time, known_machine
from harness.measure.judge.codes import CEILING_SHARE_MAX, CPU_SHARE_MAX, rank, status_of
from harness.measure.judge.conserved import conservation, other_schedule, server_count
from harness.measure.judge.failing import (
    before_the_first_answer,
    is_gone,
    mostly_refused,
    no_success,
    server_gone,
    stopped_unanswered,
    too_many_failed,
)
from harness.measure.judge.held_back import own_bound_reason
from harness.measure.judge.lost import killed
from harness.measure.judge.steadiness import drifted, unsettled
from harness.measure.judge.trace_words import off_instants
from harness.measure.reduce.counting import Evidence
from harness.measure.result import Case, Reason, RunResult, Verdict

SEND_SHARE_MIN = 0.99
STEAL_SHARE_REPORTED = 0.02
UNFINISHED_SHARE_MAX = 0.01


def verdict(
    cases: Sequence[Case],
    evidence: Sequence[Evidence],
    not_run: Sequence[str] = (),
    slo_sets_errors: bool = False,
    lag_tolerance_s: float | None = None,
    insecure: bool = False,
) -> Verdict:
    """The verdict on a run.

    `not_run` lists planned cases that were not started. `lag_tolerance_s` is the lag that does not matter to the
    question; None: derived from the latency measured. `insecure`: no certificate was checked.
    """
    reasons: list[Reason] = []
    if not cases:
        text = "It was stopped before the first answer" if not_run else "Nothing was recorded"
        code = "interrupted" if not_run else "no_data"
        reasons.append(Reason(code, f"{text}: there is no result to trust. Run it again."))
    for case, proof in zip(cases, evidence, strict=True):
        for code, text in _of_case(case, proof, slo_sets_errors, lag_tolerance_s):
            reasons.append(Reason(code, text, case.name))
    if not_run:
        text = f"{len(not_run)} of {len(not_run) + len(cases)} planned cases were not run: {', '.join(not_run)}."
        reasons.append(Reason("interrupted", text))
    if insecure:
        text = "The certificate of the server was not checked (--insecure): another server may have answered."
        reasons.append(Reason("insecure", text))
    reasons.sort(key=rank)
    return Verdict(status_of(reasons), reasons)


def so_far(case: Case, proof: Evidence, slo_sets_errors: bool, lag_tolerance_s: float | None) -> Verdict:
    """The verdict on a case that is being played: too many failures, and a client that does not keep up."""
    found = [] if slo_sets_errors else list(too_many_failed(case, proof))
    found += _client(case, proof)
    if case.load.kind != "backlog":
        found += _lag(case, proof, lag_tolerance_s)
    reasons = [Reason(code, text, case.name) for code, text in found]
    return Verdict(status_of(reasons), reasons)


def exit_code(result: RunResult) -> int:
    """0 pass, 1 an SLO failed, 4 invalid, 5 inconclusive; a failed SLO ranks below invalid and above inconclusive.

    Without a single answer no SLO is judged.
    """
    if result.sweep is not None:
        from harness.measure.judge.sweep.verdict import sweep_exit_code

        return sweep_exit_code(result)
    if result.capacity is not None:
        from harness.measure.judge.capacity.verdict import capacity_exit_code

        return capacity_exit_code(result)
    if not any(case.counts.ok for case in result.cases):
        return 5 if result.verdict.status == "inconclusive" else 4
    if result.verdict.status == "invalid":
        return 4
    if any(not check.passed for case in result.cases for check in case.slo):
        return 1
    return 5 if result.verdict.status == "inconclusive" else 0


def _of_case(
    case: Case, proof: Evidence, slo_sets_errors: bool, lag_tolerance_s: float | None
) -> Iterator[tuple[str, str]]:
    unanswered = case.counts.ok == 0 and stopped_unanswered(case, proof)
    if case.counts.ok == 0 and not unanswered:
        yield "no_data", no_success(case, proof)
    yield from _recording(proof)
    if proof.other_schedules:
        yield "schedule", other_schedule(proof)
    yield from conservation(case, proof)
    yield from server_count(case, proof)
    yield from server_gone(proof)
    # The requests after the server was gone are reported once.
    if not slo_sets_errors and not is_gone(proof):
        yield from too_many_failed(case, proof)
    yield from _client(case, proof)
    yield from client_time.starved(case, lag_tolerance_s)
    if (case.resources.ceiling_share or 0.0) <= CEILING_SHARE_MAX:
        yield from bursts.bursts(case, proof.burst_waits_s)
    if proof.machine is not None and case.counts.ok:
        at_once = proof.at_once(case.target.server is not None)
        yield from known_machine.known_limits(case, proof.machine, proof.transport, at_once)
    if case.load.kind != "backlog":
        yield from _lag(case, proof, lag_tolerance_s)
    yield from off_instants(case)
    if unanswered:
        yield "interrupted", before_the_first_answer(case, proof)
    else:
        yield from _early_end(case, proof)
    yield from _layer_faults(case)
    yield from unsettled(case)
    yield from drifted(case)
    yield from own_bound_reason(case)


def _recording(proof: Evidence) -> Iterator[tuple[str, str]]:
    for error in proof.write_errors:
        yield "write_error", f"Records are incomplete: {error}. Free some space and run it again."
    for error in proof.errors:
        yield "engine_error", f"The client itself failed: {error}."
    if proof.damaged:
        more = f" and {len(proof.damaged) - 1} more" if len(proof.damaged) > 1 else ""
        yield "damaged", f"Recorded data is damaged: {proof.damaged[0]}{more}. Copy the run again, or run it again."


def _client(case: Case, proof: Evidence) -> Iterator[tuple[str, str]]:
    use = case.resources
    at_ceiling = use.ceiling_share is not None and use.ceiling_share > CEILING_SHARE_MAX
    of = f" of {units.rate(use.ceiling_per_s)}" if use.ceiling_per_s else ""
    if at_ceiling and mostly_refused(case):
        yield (
            "refusals",
            (
                f"The server refused {case.counts.rejected:,} of {case.counts.scheduled:,} items, and the client "
                f"ran at {units.share(use.ceiling_share)} of its ceiling{of}: how fast the server refuses is the "
                "client's figure. The share that failed and the successes are the server's."
            ),
        )
    elif at_ceiling:
        yield (
            "client_ceiling",
            (
                f"The client ran at {units.share(use.ceiling_share)} of its ceiling{of} "
                f"(limit {units.share(CEILING_SHARE_MAX)}): the result shows the client and not the server. "
                f"Use {_more(case, proof)}, or a lower rate."
            ),
        )
        return
    # Processes that share a core use a part of it each.
    at_once = proof.at_once()
    used = (use.client_cpu_share or 0.0) * proof.processes / at_once
    if case.load.kind != "backlog" and used > CPU_SHARE_MAX:
        is_alone = proof.processes <= at_once
        cores = "a core" if is_alone else f"the {at_once:g} cores of its machine"
        more = "more --processes" if is_alone else "a machine with more cores"
        yield (
            "client_ceiling",
            (
                f"The client used {units.share(used)} of {cores} (limit {units.share(CPU_SHARE_MAX)}): "
                f"it may have delayed requests. Use {more} or a lower rate."
            ),
        )


def _more(case: Case, proof: Evidence) -> str:
    """What lets a client at its ceiling send more."""
    has_core = proof.has_core_left(case.target.server is not None)
    return "more --processes, a faster machine" if has_core else "a machine with more cores"


def _lag(case: Case, proof: Evidence, tolerance_s: float | None) -> Iterator[tuple[str, str]]:
    limit_s = client_time.lag_limit_s(case, proof.lag[0] if proof.lag else "p50", tolerance_s)
    stolen = _stolen(case.resources.host_steal_share)
    if proof.lag is not None and proof.lag[1] > limit_s:
        name, value = proof.lag
        yield (
            "lag",
            (
                f"The load generator fell behind schedule: {name} of the lag is {units.seconds(value)} "
                f"(limit {units.seconds(limit_s)}). {stolen}Use more --processes, a quieter machine, or a lower rate."
            ),
        )
    elif proof.send_share is not None and proof.send_share < SEND_SHARE_MIN:
        yield (
            "lag",
            (
                f"The load generator emitted items at {units.share(proof.send_share)} of the offered rate (limit "
                f"{units.share(SEND_SHARE_MIN)}). {stolen}Use more --processes, a quieter machine, or a lower rate."
            ),
        )
    elif proof.lag is not None:
        yield from client_time.lag_bound(case, proof.lag)


def _early_end(case: Case, proof: Evidence) -> Iterator[tuple[str, str]]:
    counts = case.counts
    left = counts.unfinished + counts.not_sent - counts.skipped
    if proof.interrupted:
        text = f"It was stopped before its end ({proof.interrupted[0]}): {left} of {counts.scheduled} items were left."
        yield "interrupted", text
    if proof.killed or (not proof.rows and not proof.interrupted):
        yield "partial", killed(case, proof)
    elif proof.unattended and not proof.interrupted:
        yield "partial", "The run was killed during this case; the client's records are used."
    elif proof.missing_repeats and not proof.interrupted:
        yield "partial", f"It lacks {proof.missing_repeats} of its planned repeats."
    if not case.partial and counts.skipped > UNFINISHED_SHARE_MAX * counts.scheduled:
        text = (
            f"{counts.skipped} of {counts.scheduled} turns were not sent, because an earlier turn of their session "
            "failed: late turns, which carry the longest histories, are missing from the percentiles."
        )
        yield "abandoned", text
    if case.partial or not counts.ok or left <= UNFINISHED_SHARE_MAX * counts.scheduled:
        return
    yield (
        "unfinished",
        (
            f"{left} of {counts.scheduled} items had no answer when the run ended "
            f"({counts.not_sent - counts.skipped} never sent): the "
            "longest latencies are missing from the percentiles. Use a longer --drain or a lower rate."
        ),
    )


def _layer_faults(case: Case) -> Iterator[tuple[str, str]]:
    """The numbers are correct, but they might be better if the layer had worked fully."""
    for layer in case.layer_figures:
        for fault in layer.faults:
            yield "layer_fault", f"The layer {layer.name} did not do all of its work: {fault}."


def _stolen(share: float | None) -> str:
    """The CPU time taken by the host, as a possible cause of a late client."""
    if share is None or share < STEAL_SHARE_REPORTED:
        return ""
    return f"The host gave {units.share(share)} of the requested CPU time to other machines (steal). "
