"""The cases that the settings of a run describe. Pure, except that it reads the input file."""

from __future__ import annotations

import os
from typing import Any

from harness import plugins
from harness.base import units
from harness.base.quantity import AUTO, NONE
from harness.client import stack
from harness.client.checks import flags_between
from harness.client.errors import UsageError
from harness.client.gate.memory import LimitMemory
from harness.client.layer_settings import NamedLayers
from harness.client.protocols import RealTimeOnly, provides, uses_priorities
from harness.client.tasks.http import Http
from harness.client.transport.choice import LEAN
from harness.client.transport.endpoint import check_headers
from harness.client.types import Item, Task
from harness.experiment import replayed
from harness.experiment.loads import with_rate
from harness.experiment.prompts import check_no_length, planned
from harness.experiment.scenario import Description
from harness.experiment.session_cases import applications, processes, session_load, users, with_sessions
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec, default_workload
from harness.experiment.streaming import streamed
from harness.load.mapped_fields import columns_of
from harness.load.pacers.replay import Replay
from harness.load.schedule import BACKLOG, check, compute
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic
from harness.measure.prompt_result import PromptPlan
from harness.measure.record.plan import TaskShare, Transport
from harness.measure.result import Named

ITEMS = 1000
"""Items of a backlog, if neither the user nor the scenario sets a number."""


def cases(settings: RunSettings, scenario: type[Description], name: str | None = None) -> list[CaseSpec]:
    """The cases that the settings describe, under one schedule; raises UsageError."""
    sessions = session_load(settings, scenario)
    tasks, seed = _tasks(settings, scenario), settings.effective_seed
    replay = _replay(settings, scenario, tasks)
    load = sessions or _load(settings, scenario, replay)
    prompts, source, synthetic = _workload(settings, tasks) if replay is None else (None, None, None)
    strategies = _strategies(settings)
    duration_s = _duration_s(settings, scenario, replay)
    items = None if sessions else _items(settings, scenario, load)
    schedule = None if sessions else compute(load.name, load.settings, duration_s, items, seed)
    trace = None if replay is None or schedule is None else replayed.facts(replay, settings.trace, seed, len(schedule))
    prompts = prompts if trace is None else replayed.prompt_plan(settings.prompts, trace)
    found = [
        CaseSpec(
            name=name or label,
            strategy=strategy,
            tasks=tasks,
            load=load,
            duration_s=duration_s,
            items=items,
            input=source,
            synthetic=synthetic,
            prompts=prompts,
            trace=trace,
            layers=settings.layers.around(layers),
            **_as_set(settings),
            users=applications(settings, sessions),
            processes=processes(settings),
            warmup_s=_warmup_s(settings, load, duration_s),
            transport=_transport(strategy, settings),
            schedule_sha256=None if schedule is None else schedule.sha256,
            scheduled=None if schedule is None else len(schedule) or None,
            span_s=None if schedule is None else schedule.span_s,
            stop_s=settings.duration if sessions is not None and sessions.settings["users"] is not None else None,
        )
        for label, strategy, layers in strategies
    ]
    if sessions is not None:
        return with_sessions(settings, found)
    _check_workload(settings, found[0], [case.strategy for case in found])
    return found


def _as_set(settings: RunSettings) -> dict[str, Any]:
    """Fields of a case that the settings have as they are."""
    return {
        "seed": settings.effective_seed,
        "columns": columns_of(settings.columns),
        "reading": settings.reading,
        "drain_s": settings.drain_s,
        "scenario": settings.scenario,
        "repeats": 1 if settings.repeats == AUTO else settings.repeats,
        "repeats_auto": settings.repeats == AUTO,
    }


def _replay(settings: RunSettings, scenario: type[Description], tasks: list[TaskShare]) -> Replay | None:
    """The trace that is replayed, if there is one."""
    if settings.trace.trace is None:
        if scenario.needs_trace:
            raise UsageError("the scenario replay needs --trace FILE: the recorded arrivals and lengths")
        return None
    if len(tasks) > 1:
        raise UsageError("--trace has prompts for one task; choose it with --task")
    others = {"--input": settings.input, "--synthetic": settings.synthetic, "--load": settings.load}
    for flag, value in others.items():
        if value is not None:
            raise UsageError(f"{flag} and --trace exclude each other: the trace has the arrivals and the lengths")
    if settings.columns:
        raise UsageError("--map needs --input; the columns of a trace are named with --columns")
    for flag, value in {"--template": settings.reading.template, "--system": settings.reading.system}.items():
        if value is not None:
            raise UsageError(f"{flag} needs --input; the prompts of a trace are made up by their lengths")
    settings.reading.check_tasks(plugins.build("task", share.task.name, share.task.settings) for share in tasks)
    check_no_length(settings.reading, "--trace")
    if settings.rate is not None:
        raise UsageError("--rate: a trace has its own rate; --speed scales it")
    if settings.trace.trace_sessions == "closed" and users(settings) > 1:
        raise UsageError(
            f"--users {users(settings)}: --trace-sessions closed needs 1 user, so 1 of --processes: the application "
            "that knows which turns are answered"
        )
    return replayed.replay_of(settings.trace, settings.reading)


def _duration_s(settings: RunSettings, scenario: type[Description], replay: Replay | None) -> float:
    """Seconds of arrivals: as asked for, else as long as the trace, else the scenario's own."""
    if replay is None:
        return settings.duration or scenario.duration_s
    whole_s = replayed.duration_s(replay, settings.effective_seed)
    return min(settings.duration or whole_s, whole_s)


def _warmup_s(settings: RunSettings, load: Named, duration_s: float) -> float | None:
    """The part of the arrivals that never counts; None if everything does."""
    if settings.warmup == NONE or (load.name == BACKLOG and not settings.warmup):
        return None
    if load.name == BACKLOG:
        raise UsageError(f"--warmup {settings.warmup:g}: a backlog is one job, and all of it counts; choose a --load")
    if not 0 <= settings.warmup <= duration_s / 2:
        most = units.seconds(duration_s / 2)
        raise UsageError(f"--warmup {settings.warmup:g}: must be between 0 and half of the arrivals ({most})")
    return settings.warmup


def check_simulated(cases: list[CaseSpec]) -> None:
    """Refuse strategies and layers that work in real time only; raises UsageError."""
    for case in cases:
        parts: list[tuple[str, object]] = [(f"strategy {case.strategy.name}", case.build_strategy())]
        parts += [(f"layer {name}", stack.trial(name, values)) for name, values in case.layers.all().items()]
        for name, part in parts:
            if provides(part, RealTimeOnly) and (reason := part.needs_real_time):
                raise UsageError(f"{name}: {reason}")


def _transport(strategy: Named, settings: RunSettings) -> Transport:
    if settings.simulated:
        return "simulated"
    if plugins.build("strategy", strategy.name, strategy.settings).blocking:
        return "blocking"
    return "lean" if settings.transport == LEAN else "asyncio"


def _items(settings: RunSettings, scenario: type[Description], load: Named) -> int | None:
    """As many as the user says or the input file has; else, for a backlog, the scenario's own number."""
    if settings.items is not None or settings.input is not None or load.name != BACKLOG:
        return settings.items
    return scenario.items or ITEMS


def describe(name: str) -> type[Description]:
    """A scenario as plain data; raises UsageError with the near names."""
    before = os.environ.get("LOCUST_SKIP_MONKEY_PATCH")
    os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # a module of the user's may import Locust, which patches this process
    try:
        scenario = plugins.load("scenario", name)
    finally:
        del os.environ["LOCUST_SKIP_MONKEY_PATCH"]
        if before is not None:
            os.environ["LOCUST_SKIP_MONKEY_PATCH"] = before
    if not issubclass(scenario, Description):
        raise UsageError(
            f"scenario {name!r}: the class is not a subclass of scenarios.users.Application; "
            "an ordinary locustfile is played by Locust itself: locust -f FILE"
        )
    return scenario


def check_numbers(settings: RunSettings) -> None:
    flags_between(
        ("--rate", settings.rate, 1e-3, 1e6),
        ("--duration", settings.duration, 0.1, 864_000),
        ("--lag-tolerance", settings.lag_tolerance, 1e-5, 3_600),
        ("--items", settings.items, 1, 10**12),
        ("--repeats", None if settings.repeats == AUTO else settings.repeats, 1, 1000),
        ("--repeats-width", settings.repeats_width, 0.001, 1),
        ("--repeats-max", settings.repeats_max, 8, 1000),
        ("--repeats-budget", settings.repeats_budget_s, 1, 864_000),
        ("--users", settings.users, 1, 10_000),
        ("--processes", settings.processes, 1, 64),
        ("--server-speed", settings.speed, 1e-3, 1e6),
    )
    if users(settings) < processes(settings):
        raise UsageError(
            f"--processes {settings.processes} with --users {users(settings)}: a process without a user sends nothing; "
            f"give --users {settings.processes} or more, each with a strategy of its own"
        )
    if settings.layers.remember is not None:
        # A file that cannot be read is a mistake before the run, and not in the process of a case.
        LimitMemory(settings.layers.remember)
    if not settings.strategies:
        raise UsageError("no strategy: name at least one with -s (`paceline list strategies`)")


def _load(settings: RunSettings, scenario: type[Description], replay: Replay | None) -> Named:
    if replay is not None:
        return Named("replay", replayed.changed_settings(replay))
    pacer = scenario.load if settings.load is None else check(*plugins.split_spec(settings.load))
    if pacer is None:
        if settings.rate is not None or (settings.duration is not None):
            raise UsageError("a backlog has no --rate or --duration: every item is due at once; choose a --load")
        return Named(BACKLOG)
    return with_rate(pacer, settings.rate, "--rate")


def _tasks(settings: RunSettings, scenario: type[Description]) -> list[TaskShare]:
    if settings.http is not None:
        return [_described(settings.http, settings.task)]
    mix = {settings.task: 1.0} if settings.task else scenario.mix
    shares = []
    for text, weight in mix.items():
        task = streamed(plugins.make("task", text), text, settings.slo)
        shares.append(TaskShare(Named(plugins.name_of(type(task)), plugins.settings_of(task)), weight))
    return shares


def _described(file: str, task: str | None) -> TaskShare:
    """The task that a TOML file describes; its text becomes part of the plan."""
    if task is not None:
        raise UsageError("--http and --task exclude each other: the file describes the task")
    made = Http(file)
    return TaskShare(Named("http", plugins.settings_of(made)), label=made.name)


Workload = tuple[PromptPlan | None, str | None, dict[str, Any] | None]
"""Prompts with lengths in tokens, an input file, or settings of synthetic texts."""


def _workload(settings: RunSettings, tasks: list[TaskShare]) -> Workload:
    built = [plugins.build("task", share.task.name, share.task.settings) for share in tasks]
    if (prompts := planned(settings, built)) is not None:
        return prompts, None, None
    if settings.input is not None and settings.synthetic is not None:
        raise UsageError("--input and --synthetic exclude each other")
    if settings.columns and settings.input is None:
        raise UsageError("--map needs --input: it names columns of that file")
    if settings.input is None:
        settings.reading.check_unused()
    if settings.synthetic is not None:
        distribution, given = plugins.split_spec(settings.synthetic)
        values = {"distribution": distribution, **given} if distribution else given
        return None, None, plugins.settings_of(plugins.fill(Synthetic, "--synthetic", values))
    if settings.input is not None:
        settings.reading.check_tasks(plugins.build("task", share.task.name, share.task.settings) for share in tasks)
        if len(tasks) > 1:
            raise UsageError("--input has lines for one task; a mix of tasks has made-up texts")
        return None, settings.input, None
    default = default_workload([share.task.name for share in tasks])
    return None, default.get("input"), default.get("synthetic")


def _check_workload(settings: RunSettings, case: CaseSpec, strategies: list[Named]) -> None:
    """One good item at least, and one that can be sent, before anything is started."""
    made = case.build_prompts() or Synthetic(**(case.synthetic or {}))
    for task in case.build_mix().tasks:
        if case.input is None:
            data = made.data(task, 0, settings.effective_seed)
        else:
            priorities = any(uses_priorities(plugins.build("strategy", one.name, one.settings)) for one in strategies)
            rows = Jsonl(case.input, settings.items, priorities, case.columns, settings.reading).rows(task)
            _, data, _ = next(iter(rows))
        _check_request(task, data)


def _check_request(task: Task, data: Any) -> None:
    """A request of this task can be sent; a header that cannot would fail every one of them."""
    check_headers(task.request([Item(0, data, task)]).headers or {}, f"task {task.name}")


def _strategies(settings: RunSettings) -> list[tuple[str, Named, NamedLayers]]:
    """A case for each strategy, and one more for each variant of it: name, strategy, the layers of its own."""
    found: list[tuple[str, Named, NamedLayers]] = []
    for text in settings.strategies:
        plain, own = stack.split(text)
        strategy = plugins.make("strategy", plain)
        named = Named(plugins.name_of(type(strategy)), plugins.settings_of(strategy))
        for variant in ("", *settings.variants):
            layers = [*own, *(part.strip() for part in stack.split("+" + variant)[1])]
            name = "+".join(map(_label, [plain, *layers]))
            if any(name == other for other, _, _ in found):
                raise UsageError(f"strategy {name} is named twice")
            found.append((name, named, stack.parse(layers)))
    return found


def _label(text: str) -> str:
    """A text of the user, as it is shown."""
    if ":" not in text:
        return text.strip().replace("_", "-")
    name, given = plugins.split_spec(text)
    return ":".join(filter(None, [name, ",".join(f"{key}={value}" for key, value in given.items())]))
