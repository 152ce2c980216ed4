"""From Locust's command line, or from the case that `paceline` wrote, to what each process must know."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from harness import plugins
from harness.client.errors import UsageError
from harness.client.quantity import duration_s, rate_per_s
from harness.experiment import layering
from harness.experiment.scenario import Description
from harness.experiment.spec import DEFAULT_SEED, SAMPLE_PAIRS, CaseSpec, LayerSettings, TaskShare
from harness.load.schedule import BACKLOG
from harness.measure.result import Named

CASE_VARIABLE = "PACELINE_CASE"


def add_arguments(parser: Any, **_: Any) -> None:
    """paceline's own options on Locust's command line; Locust hands them on to its workers."""
    group = parser.add_argument_group("paceline")
    add = group.add_argument
    add("--strategy", default="queue-stream:concurrency=20", help="client strategy, NAME[:key=value,...]")
    add("--task", default="", help="what each item asks for, NAME[:key=value,...] (default: the scenario's own)")
    add("--rate", type=rate_per_s, default=0.0, help="arrivals per second (default: the scenario's own)")
    add("--items", type=int, default=0, help="number of items (default: all of --input, else the scenario's own)")
    add("--duration", type=duration_s, default=0.0, help="seconds of arrivals (default: the scenario's own)")
    add("--input", default="", help="JSONL file with the items (default: the pairs that come with paceline)")
    add("--server", default="demo", help="profile of the mock server that is started when there is no --host")
    add(
        "--seed",
        type=int,
        default=None,
        help="seed of schedule, texts and mock (default: 1; the mock has its profile's)",
    )
    add("--retries", type=int, default=0, help="attempts after the first one")
    add("--request-timeout", type=duration_s, default=60.0, help="seconds that one attempt may take")
    add("--drain", type=duration_s, default=30.0, help="seconds that requests in flight may take after the stop")
    add("--out", default="", help="run directory (default: runs/<time>-<scenario>)")


def case_file() -> CaseSpec | None:
    """The case that the parent wrote for this process, if there is one."""
    path = os.environ.get(CASE_VARIABLE)
    return msgspec.json.decode(Path(path).read_bytes(), type=CaseSpec) if path else None


def take_run_time(options: Namespace, scenario: type[Description]) -> None:
    """Locust's -t is the duration of arrivals, unless --duration is given: they end, and are drained, by themselves.

    As a limit it would cut the last of them, because the load begins only when all users are there.
    """
    if options.run_time and scenario.load is not None and not options.duration:
        options.duration, options.run_time = float(options.run_time), None


def spec_from(options: Namespace, scenario: type[Description], name: str, target: str, records: Path) -> CaseSpec:
    """The case that plain Locust's options and the scenario describe; raises UsageError."""
    load = Named(BACKLOG)
    if scenario.load is None and options.rate:
        raise UsageError("--rate: every item of a backlog is due at once; choose a scenario with arrivals")
    if scenario.load is not None:
        settings = plugins.settings_of(scenario.load)
        if options.rate:
            settings["rate_per_s"] = options.rate
        load = Named(plugins.name_of(type(scenario.load)), settings)
        plugins.build("load", load.name, load.settings)
    elif options.duration:
        raise UsageError("--duration: every item of a backlog is due at once; choose a scenario with arrivals")
    tasks = [task_share(options.task)] if options.task else [task_share(t, w) for t, w in scenario.mix.items()]
    if options.input and len(tasks) > 1:
        raise UsageError("--input has lines for one task; a mix of tasks has made-up texts")
    shipped = [share.task.name for share in tasks] == ["similarity"]
    strategy, own = layering.split(options.strategy)
    return CaseSpec(
        name=name,
        target=target,
        strategy=named("strategy", strategy),
        tasks=tasks,
        records=str(records),
        load=load,
        duration_s=options.duration or scenario.duration_s,
        items=options.items or _items(options, scenario),
        input=options.input or (str(SAMPLE_PAIRS) if shipped else None),
        layers=LayerSettings(timeout_s=options.request_timeout, retries=options.retries).around(layering.parse(own)),
        seed=DEFAULT_SEED if options.seed is None else options.seed,
        users=options.num_users or 1,
        drain_s=options.drain,
    )


def _items(options: Namespace, scenario: type[Description]) -> int | None:
    """As many as the input file has, or the arrivals; else the scenario's own number, or a thousand."""
    if options.input or scenario.load is not None:
        return None if options.input else scenario.items
    return scenario.items or 1000


def named(kind: str, text: str) -> Named:
    """A plug-in by its full settings; raises UsageError."""
    plugin = plugins.make(kind, text)
    return Named(plugins.name_of(type(plugin)), plugins.settings_of(plugin))


def task_share(text: str, weight: float = 1.0) -> TaskShare:
    """A task with its settings, and its weight in the mix."""
    if weight <= 0:
        raise UsageError(f"task {text}: weight={weight} must be above 0")
    return TaskShare(named("task", text), weight)
