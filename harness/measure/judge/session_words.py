"""Tables and sentences about sessions, shared by the terminal and the reports. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.repeat_figures import Points
from harness.measure.result import Case
from harness.measure.session_result import SessionFigures, TurnFigures

HEADS = ("turn", "requests", "failed", "prompt tokens", "latency p50", "p95", "p99", "first token p50", "p95")


def turn_rows(case: Case) -> list[list[str]]:
    """A row for each turn of a case; none if its load has no sessions."""
    return [] if case.sessions is None else [_row(one) for one in case.sessions.by_turn]


def _row(one: TurnFigures) -> list[str]:
    first = one.ttft_s or Points()
    return [
        f"{one.turn}{' and later' if one.and_later else ''}",
        units.count(one.requests),
        units.count(one.failed) if one.failed else "0",
        units.NONE if one.prompt_tokens is None else units.count(round(one.prompt_tokens)),
        *(units.seconds(value) for value in (one.latency_s.p50, one.latency_s.p95, one.latency_s.p99)),
        *(units.seconds(value) for value in (first.p50, first.p95)),
    ]


def session_words(case: Case) -> str:
    """`50 sessions of 5 turns on average, none failed; a session took 14 s (p50)`; empty without sessions."""
    found = case.sessions
    return "" if found is None or not found.sessions else _words(found, case.counts.stopped)


def _words(found: SessionFigures, stopped: int) -> str:
    said = [f"{units.count(found.sessions)} sessions of {found.turns / found.sessions:.2g} turns on average"]
    said.append(f"{units.count(found.failed)} failed" if found.failed else "none failed")
    if stopped:
        said.append(f"{units.count(stopped)} streams cancelled on purpose")
    took = "" if found.duration_s is None or found.duration_s.p50 is None else units.seconds(found.duration_s.p50)
    return ", ".join(said) + (f"; half of them took at most {took}" if took else "")


def has_sessions(cases: Sequence[Case]) -> bool:
    """Whether any case has figures by turn."""
    return any(turn_rows(case) for case in cases)
