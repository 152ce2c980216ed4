"""Counts items by outcome and exchanges, with the evidence that none was lost or counted twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from harness.client.types import Outcome
from harness.measure.record.plan import CaseFacts, PlanCase, at_once
from harness.measure.record.rows_file import FLAG_CACHED, FLAG_SKIPPED, FLAG_STOPPED, End
from harness.measure.reduce.column_rows import distinct
from harness.measure.reduce.columns import ProcessColumns, Repeat, lag, sent_itself
from harness.measure.reduce.losses import losses, unrecorded
from harness.measure.reduce.silence import Silence, silence
from harness.measure.reduce.statistics import percentile_of
from harness.measure.result import OUTCOME_NAMES, Counts
from harness.measure.self_test_result import KnownMachine


class Evidence(msgspec.Struct, frozen=True):
    """Facts about a case for the verdict, in addition to the case itself."""

    case: str
    rows: int = 0  # rows in the files
    recorded: int | None = None  # rows written according to the processes; None if one of them did not end
    lost_rows: int = 0
    damaged: list[str] = []  # defects, each with its file
    repeated: int = 0  # items recorded more than once within a repeat
    on_wire: int = 0  # rows of requests that were sent, as Locust counts them
    answered: int = 0  # exchanges with a status, which the server has certainly counted
    cut: int = 0  # cancelled or unfinished requests that may or may not have been sent
    killed: int = 0  # processes that wrote no end file
    missing_repeats: int = 0
    unattended: int = 0  # repeats with rows but without facts, because the run was killed
    other_schedules: list[str] = []  # hashes of unplanned schedules that were used
    interrupted: list[str] = []
    errors: list[str] = []  # of the case runners
    write_errors: list[str] = []  # record files that could not be written
    exit_codes: list[int] = []  # nonzero exit codes
    lag: tuple[str, float] | None = None  # name and seconds of the highest percentile that n allows, over all rows
    send_share: float | None = None  # actual rate of emitted items / offered rate
    transport: str = "asyncio"
    processes: int = 1
    cores: float | None = None  # of their machine; None: unknown
    burst_waits_s: dict[str, float] = {}  # percentile -> wait of an answer for those that came with it, at most
    machine: KnownMachine | None = None  # the stored self-test of this machine, if there was one
    silence: Silence | None = None  # of the first repeat in which the server stopped answering

    def at_once(self, beside_server: bool = False) -> float:
        """Processes of the client that could work at the same time, without or with an embedded server beside them."""
        return at_once(self.processes, self.cores, beside_server)

    def has_core_left(self, beside_server: bool = False) -> bool:
        """Whether a further process could work beside these."""
        return at_once(self.processes + 1, self.cores, beside_server) > self.at_once(beside_server)


@dataclass(frozen=True)
class Expected:
    """The scheduled items of a repeat, and those without a row."""

    scheduled: int
    not_sent: int
    unfinished: int


def expected(repeat: Repeat, plan: PlanCase, fact: CaseFacts | None = None) -> Expected:
    """The expected items: for arrivals the whole schedule, for a backlog the sum over the processes' end files.

    Items that a killed process had emitted but not recorded are unfinished, and at least those that the server saw.
    Items that no process emitted are not sent.
    """
    ends, rows, planned = repeat.ends, len(repeat.rows), plan.scheduled_in(repeat.number)
    items = plan.items or (fact.workload if fact is not None else None) or 0
    killed = len(ends) < len(repeat.processes)
    if planned is None and not killed and len(repeat.processes) >= plan.processes:
        return Expected(sum(end.scheduled for end in ends), sum(end.not_sent for end in ends), 0)
    recorded = sum(end.recorded for end in ends)
    unfinished = max(sum(_pulled(p) for p in repeat.processes if p.end is None) - (rows - recorded), 0)
    if planned is not None:
        scheduled = planned
    elif killed:
        scheduled = max(items, rows + unfinished)
    else:
        scheduled = max(sum(end.scheduled for end in ends), items - sum(end.bad_lines for end in ends))
    without_row = max(scheduled - rows, 0)
    if killed and (seen := unrecorded(repeat, fact)) is not None and not _sent_again(repeat):
        unfinished = max(unfinished, min(seen, without_row))
    return Expected(scheduled, max(without_row - unfinished, 0), unfinished)


def _sent_again(repeat: Repeat) -> bool:
    """Whether an item had more than one exchange: then those that only the server knows are no number of items."""
    return bool(len(repeat.attempts)) or bool((repeat.rows["attempts"] > 1).any())


def _pulled(process: ProcessColumns) -> int:
    if process.end is not None:
        return process.end.pulled
    return int(process.timeline["pulled"][-1]) if len(process.timeline) else 0


def counts(plan: PlanCase, repeats: Sequence[Repeat], facts: Sequence[CaseFacts | None]) -> Counts:
    """Items over all repeats. Every scheduled item has exactly one outcome. `facts` has one entry for each repeat."""
    goals = [expected(repeat, plan, fact) for repeat, fact in zip(repeats, facts, strict=False)]
    tally = sum(
        (np.bincount(repeat.rows["outcome"], minlength=len(Outcome)) for repeat in repeats),
        start=np.zeros(len(Outcome), np.int64),
    )
    by_outcome = dict(zip(OUTCOME_NAMES, tally.tolist(), strict=True))
    by_outcome["not_sent"] += sum(goal.not_sent for goal in goals)
    by_outcome["unfinished"] += sum(goal.unfinished for goal in goals)
    ends = [end for repeat in repeats for end in repeat.ends]
    locust = [end.locust_requests for end in ends if end.locust_requests is not None]
    seen = [None if fact is None else fact.server_seen for fact in facts]
    known = [number for number in seen if number is not None]
    return Counts(
        scheduled=sum(goal.scheduled for goal in goals),
        sent=sum(int((repeat.rows["sent"] >= 0).sum()) for repeat in repeats),
        attempts=sum(int(repeat.rows["attempts"].sum(dtype=np.int64)) for repeat in repeats),
        own_calls=sum(int(repeat.attempts["own"].astype(bool).sum()) for repeat in repeats),
        side_attempts=sum(_side_attempts(repeat) for repeat in repeats),
        cache_hits=sum(int(((repeat.rows["flags"] & FLAG_CACHED) > 0).sum()) for repeat in repeats),
        stopped=sum(int(((repeat.rows["flags"] & FLAG_STOPPED) > 0).sum()) for repeat in repeats),
        skipped=sum(int(((repeat.rows["flags"] & FLAG_SKIPPED) > 0).sum()) for repeat in repeats),
        server_seen=sum(known) if seen and len(known) == len(seen) else None,
        locust_seen=sum(locust) if locust else None,
        bad_lines=max((sum(end.bad_lines for end in repeat.ends) for repeat in repeats), default=0),
        **by_outcome,
    )


def evidence(
    plan: PlanCase,
    repeats: Sequence[Repeat],
    facts: Sequence[CaseFacts | None],
    damaged: Sequence[str] = (),
    torn: int = 0,
) -> Evidence:
    """The evidence from record files, end files and facts.

    `damaged` lists defects found before a repeat could be read. `torn` counts processes that were killed before their
    header was complete.
    """
    ends = [end for repeat in repeats for end in repeat.ends]
    known = [fact for fact in facts if fact is not None]
    lost = losses(plan, repeats, facts)
    # The number of a process with a torn header is missing, too.
    killed = max(len(lost.processes) if lost is not None else 0, torn)
    reasons = [end.interrupted for end in ends] + [fact.interrupted for fact in known]
    lags = [lag(repeat.rows) for repeat in repeats]
    return Evidence(
        case=plan.name,
        transport=plan.transport,
        processes=plan.processes,
        rows=sum(len(repeat.rows) for repeat in repeats),
        recorded=None if killed or not repeats else sum(end.recorded for end in ends),
        lost_rows=sum(end.lost_rows for end in ends),
        damaged=[*damaged, *(text for repeat in repeats for text in repeat.damaged)],
        repeated=sum(len(repeat.rows) - distinct(repeat.rows["index"]) for repeat in repeats),
        on_wire=sum(int((repeat.rows["first_sent"] >= 0).sum()) for repeat in repeats),
        answered=sum(_answered(repeat) for repeat in repeats),
        cut=sum(_cut(repeat) for repeat in repeats),
        killed=killed,
        missing_repeats=max(plan.repeats - len(repeats), 0),
        unattended=len(repeats) - len(known) if repeats else 0,
        other_schedules=_other_schedules(plan, repeats),
        interrupted=list(dict.fromkeys(reason for reason in reasons if reason)),
        errors=_errors(end for end in ends if not end.write_failed),
        write_errors=_errors(end for end in ends if end.write_failed),
        exit_codes=[fact.exit_code for fact in known if fact.exit_code],
        lag=percentile_of(lags[0] if len(lags) == 1 else np.concatenate(lags)) if lags else None,
        send_share=min((share for repeat in repeats if (share := _send_share(repeat)) is not None), default=None),
        silence=next((found for repeat in repeats if (found := silence(repeat)) is not None), None),
    )


def _other_schedules(plan: PlanCase, repeats: Sequence[Repeat]) -> list[str]:
    """Hashes of schedules that were played and are not those of the plan."""
    played = {(end.schedule_sha256, plan.schedule_of(repeat.number)) for repeat in repeats for end in repeat.ends}
    return sorted({found for found, planned in played if found is not None and found != planned})


def _side_attempts(repeat: Repeat) -> int:
    """Attempts that did not fail, but whose answer was not used."""
    of_items = repeat.attempts[repeat.attempts["own"] == 0]
    return int(np.isin(of_items["outcome"], (Outcome.ok, Outcome.cancelled)).sum())


def is_partial(proof: Evidence) -> bool:
    """Whether a case did not run to its end."""
    return bool(
        proof.killed or proof.missing_repeats or proof.unattended or proof.interrupted or proof.recorded is None
    )


def _answered(repeat: Repeat) -> int:
    last = sent_itself(repeat.rows) & (repeat.rows["status"] > 0)
    return int(last.sum()) + int((repeat.attempts["status"] > 0).sum())


def _cut(repeat: Repeat) -> int:
    given_up = np.isin(repeat.rows["outcome"], (Outcome.cancelled, Outcome.unfinished))
    return int((given_up & (repeat.rows["attempts"] == 0)).sum())


def _send_share(repeat: Repeat) -> float | None:
    """Length of the planned arrivals / length of the actual arrivals; None for a backlog."""
    if not len(repeat.rows) or (last_due := int(repeat.rows["due"].max())) <= 0:
        return None
    return min(1.0, last_due / max(int(repeat.rows["fired"].max()), 1))


def _errors(ends: Iterable[End]) -> list[str]:
    """The errors of processes, each once."""
    return list(dict.fromkeys(end.error for end in ends if end.error))
