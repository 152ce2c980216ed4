"""Recorded runs for the tests of measuring: made by the real recorder from exchanges with given stamps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.client.answers import Answers, Usage
from harness.client.types import Attempt, Item, Outcome, Request, Response
from harness.measure.record.plan import (
    PLAN_VERSION,
    CaseFacts,
    Measured,
    Plan,
    PlanCase,
    TaskShare,
    write_facts,
    write_measured,
    write_plan,
)
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End
from harness.measure.result import Named, Target

T0 = 1000.0
"""The load's zero on the clock of the stamps below."""


@dataclass(frozen=True)
class Exchange:
    """What became of one item; instants in seconds since the load's zero."""

    due: float
    sent: float
    done: float
    outcome: Outcome = Outcome.ok
    status: int = 200
    fired: float | None = None
    previous: tuple[tuple[float, float, int], ...] = ()  # (sent, done, status) of earlier attempts
    chunks: tuple[float, ...] = ()
    cached: bool = False
    error: str | None = None
    usage: Usage | None = None
    first_tokens: int | None = None

    def response(self) -> Response:
        """As a transport and its layers hand it out."""
        previous = tuple(
            Attempt(T0 + sent, T0 + done, T0 + done, Outcome.rejected, status) for sent, done, status in self.previous
        )
        return Response(
            self.outcome,
            self.status,
            sent=T0 + self.sent,
            first_byte=T0 + (self.chunks[0] if self.chunks else self.done),
            done=T0 + self.done,
            previous=previous,
            chunks=tuple(T0 + chunk for chunk in self.chunks),
            from_cache=self.cached,
            error=self.error,
            answers=() if self.usage is None else Answers(("x",), usage=self.usage, first_tokens=self.first_tokens),
        )


def recorder(directory: Path, case: str = "sync", repeat: int = 0, process: int = 0, **more: Any) -> Recorder:
    """A recorder whose load began at T0."""
    records = directory / "records"
    records.mkdir(exist_ok=True)
    return Recorder(records, case=case, repeat=repeat, process=process, t0=T0, **{"t0_unix_s": 5e8, **more})


def request(index: int = 0, due: float = 0.0, fired: float | None = None, items: int = 1) -> Request:
    """A request for `items` items due at the same instant."""
    task: Any = None
    at = T0 + (due if fired is None else fired)
    return Request(tuple(Item(index + k, None, task, 0, T0 + due, at) for k in range(items)), task, "/", b"")


def record(into: Recorder, exchanges: Sequence[Exchange], first_index: int = 0) -> None:
    """Send each exchange through the recorder's layer."""

    async def play() -> None:
        waiting: list[Response] = []

        async def send(_: Request, /) -> Response:
            return waiting.pop()

        send_recorded = into.layer(send, 0)
        for index, exchange in enumerate(exchanges, first_index):
            waiting.append(exchange.response())
            await send_recorded(request(index, exchange.due, exchange.fired))

    asyncio.run(play())


def end(into: Recorder, **more: Any) -> End:
    """Close a recorder the way the engine does when everything went well."""
    count = into.recorded
    defaults = {"scheduled": count, "pulled": count, "recorded": count, "not_sent": 0, "duration_s": 10.0, "cpu_s": 1.0}
    return into.end(End(**{**defaults, "rss_start_mb": 50.0, "rss_max_mb": 60.0, **more}))


def write_case(
    directory: Path,
    case: str,
    exchanges: Sequence[Exchange],
    repeat: int = 0,
    facts: dict[str, Any] | None = None,
    ticks: int = 0,
    **more: Any,
) -> None:
    """One repeat of a case, whole, with as many ticks 50 ms apart as wanted."""
    into = recorder(directory, case, repeat)
    record(into, exchanges)
    for number in range(ticks):
        into.tick(t=number * 0.05, limit=8.0, pulled=number, loop_lag=0.001, cpu=number * 0.01, rss=7e7)
    end(into, **more)
    write_facts(CaseFacts(case, repeat, **{"exit_code": 0, **(facts or {})}), directory)


def plan_case(name: str = "sync", kind: str = "backlog", **more: Any) -> PlanCase:
    """A planned case against a server that does not exist."""
    load = more.pop("load", None) or Named(kind)
    return PlanCase(name, Named(name), [TaskShare(Named("similarity"))], load, schedule_sha256="ab", **more)


def plan(directory: Path, *cases: PlanCase, ceilings: dict[str, float] | None = None, **more: Any) -> Plan:
    """Write the plan of a run, and what was measured beside it."""
    write_measured(Measured(Target("http://127.0.0.1:1"), ceilings or {}), directory)
    made = Plan(
        PLAN_VERSION, "run", "2026-01-01T00:00:00+00:00", {"name": "paceline"}, {"os": "x"}, 7, list(cases), **more
    )
    write_plan(made, directory)
    return made


def steady(count: int, gap_s: float = 0.01, service_s: float = 0.1, **more: Any) -> list[Exchange]:
    """`count` exchanges `gap_s` apart, each due when it is sent."""
    return [Exchange(k * gap_s, k * gap_s, k * gap_s + service_s, **more) for k in range(count)]


def one_by_one(count: int, service_s: float = 0.1, **more: Any) -> list[Exchange]:
    """A backlog worked through one at a time."""
    return [Exchange(0.0, k * service_s, (k + 1) * service_s, **more) for k in range(count)]


NEVER = math.nan
