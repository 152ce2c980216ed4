"""The load of the scenario sessions, from the settings of a run. Raises UsageError for settings that do not fit."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from harness import plugins
from harness.client.errors import UsageError
from harness.client.protocols import CollectingStrategy, provides
from harness.client.types import Item
from harness.experiment.loads import with_rate
from harness.experiment.scenario import Description
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec
from harness.load.pacers.poisson import Poisson
from harness.load.schedule import SESSIONS, check
from harness.load.sessions.load import Sessions
from harness.load.sessions.session_plan import SessionLoad
from harness.load.sessions.session_settings import SessionSettings
from harness.measure.result import Named


def session_load(settings: RunSettings, scenario: type[Description]) -> Named | None:
    """The load of sessions; None if the scenario has none. Its name is `sessions`."""
    wanted = settings.sessions
    if not scenario.sessions:
        if wanted != SessionSettings():
            raise UsageError(f"{wanted.first_flag}: belongs to the scenario sessions (paceline run sessions)")
        return None
    if settings.trace.trace is not None:
        raise UsageError("--trace: its sessions are its own; use `paceline run replay`, with --trace-sessions")
    if settings.items is not None:
        raise UsageError("--items: sessions are counted by --sessions, and their turns by --turns")
    if settings.rate is not None:
        raise UsageError("--rate: turns follow answers; --session-rate sets how many sessions arrive per second")
    arrivals = _arrivals(settings, wanted)
    load = SessionLoad(
        turns=wanted.turns,
        think=wanted.think or "none",
        new_sessions=wanted.new_sessions,
        cancel=wanted.cancel,
        history=wanted.history,
        users=users(settings) if arrivals is None else None,
        sessions=_sessions(settings, wanted, arrivals),
        arrivals=None if arrivals is None else msgspec.to_builtins(arrivals),
    )
    return Named(SESSIONS, dict(vars(load)))


def _arrivals(settings: RunSettings, wanted: SessionSettings) -> Named | None:
    """The load that the arrivals of sessions follow; None if users play them."""
    usual = Poisson() if wanted.session_rate is not None else None
    pacer = usual if settings.load is None else check(*plugins.split_spec(settings.load))
    if pacer is None:
        if wanted.session_rate is not None:
            raise UsageError("--session-rate: a backlog of sessions has no rate; choose another --load, or none")
        return None
    return with_rate(pacer, wanted.session_rate, "--session-rate")


def _sessions(settings: RunSettings, wanted: SessionSettings, arrivals: Named | None) -> int | None:
    """Sessions in all; None: as many as arrive, or begin, in the duration."""
    if wanted.sessions is not None or arrivals is not None or settings.duration is not None:
        return wanted.sessions
    return users(settings)


def processes(settings: RunSettings) -> int:
    """Client processes."""
    return 1 if settings.simulated else settings.processes


def users(settings: RunSettings) -> int:
    """Users of all processes."""
    return processes(settings) if settings.users is None else settings.users


def with_one_user(settings: RunSettings) -> RunSettings:
    """The settings for levels of concurrency: a level is the number in flight, and each further user adds as many."""
    if settings.users is not None:
        return settings
    if (number := processes(settings)) > 1:
        raise UsageError(
            f"--processes {number}: a level of concurrency has one user, so one process; with --users {number} each "
            "process keeps a level in flight of its own"
        )
    return replace(settings, users=1)


def applications(settings: RunSettings, sessions: Named | None) -> int:
    """Client applications. Users who play sessions share one in each process, so that its strategy sees them all."""
    played_by_users = sessions is not None and sessions.settings["users"] is not None
    return processes(settings) if played_by_users else users(settings)


def with_sessions(settings: RunSettings, cases: list[CaseSpec]) -> list[CaseSpec]:
    """The cases with the hash and the number of their turns, which are the same for all; raises UsageError."""
    if len(cases[0].tasks) > 1:
        raise UsageError("sessions have one task: a conversation goes on with the same one")
    for case in cases:
        _check_strategy(case)
    sessions = cases[0].build_sessions()
    assert sessions is not None  # noqa: S101 - the cases have a load of sessions
    _check_stream(settings, sessions)
    found = {"schedule_sha256": sessions.plan.schedule().sha256, "scheduled": sessions.plan.total}
    return [msgspec.structs.replace(case, **found) for case in cases]


def _check_strategy(case: CaseSpec) -> None:
    strategy = case.build_strategy()
    if provides(strategy, CollectingStrategy) and strategy.collects:
        raise UsageError(
            f"strategy {case.strategy.name}: collects items before it sends them, but the next turn of a session comes "
            "only after an answer; use queue-stream or adaptive"
        )


def _check_stream(settings: RunSettings, sessions: Sessions) -> None:
    """Only a stream can be cancelled in the middle."""
    if not settings.sessions.cancel:
        return
    length, task = sessions.plan.length(0), sessions.task
    script, exchange = sessions.content.asked(0, length, length.earlier + 1)
    if not task.request([Item(0, task.turn(script, [], exchange.asked), task)]).stream:
        raise UsageError(f"--cancel: only a stream is cancelled in the middle; use --task {task.name}:stream=true")
