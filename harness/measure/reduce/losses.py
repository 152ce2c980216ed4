"""Finds client processes that were killed, and the exchanges that only the server knows of."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.lost_result import Lost, LostProcess
from harness.measure.record.plan import CaseFacts, PlanCase
from harness.measure.reduce.columns import ProcessColumns, Repeat


def losses(plan: PlanCase, repeats: Sequence[Repeat], facts: Sequence[CaseFacts | None]) -> Lost | None:
    """The lost processes of a case; None if every process wrote its final record. One fact for each repeat."""
    found = [process for repeat in repeats for process in _lost(plan, repeat)]
    if not found:
        return None
    pairs = zip(repeats, facts, strict=False)
    known = [unrecorded(repeat, fact) for repeat, fact in pairs if _lost(plan, repeat)]
    counted = [number for number in known if number is not None]
    most = max([plan.processes, *(len(repeat.processes) for repeat in repeats)])
    return Lost(found, most, sum(counted) if len(counted) == len(known) else None)


def unrecorded(repeat: Repeat, fact: CaseFacts | None) -> int | None:
    """Exchanges of a repeat that the server counted and no record holds; None if the server does not count."""
    if fact is None or fact.server_seen is None:
        return None
    return max(0, fact.server_seen - int(repeat.rows["attempts"].sum()))


def _lost(plan: PlanCase, repeat: Repeat) -> list[LostProcess]:
    """The processes without a final record, and those without any record."""
    there = {process.number for process in repeat.processes}
    absent = [LostProcess(repeat.number, number) for number in range(plan.processes) if number not in there]
    killed = [_killed(repeat.number, process) for process in repeat.processes if process.end is None]
    return sorted(killed + absent, key=lambda process: process.process)


def _killed(repeat: int, process: ProcessColumns) -> LostProcess:
    ticks = process.timeline
    return LostProcess(
        repeat=repeat,
        process=process.number,
        last_seen_s=float(ticks["t"][-1]) if len(ticks) else None,
        recorded=process.recorded,
        in_flight=int(ticks["in_flight"][-1]) if len(ticks) else 0,
        users=list(process.users),
    )
