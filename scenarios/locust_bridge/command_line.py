"""From Locust's command line to the settings of a run; and the case that `paceline` wrote for this process."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from harness import plugins
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from harness.client.quantity import duration_s, rate_per_s
from harness.experiment.prepare import Settings
from harness.experiment.scenario import Description
from harness.experiment.spec import Trial

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


def parents_trial() -> Trial | None:
    """The repeat of a case that the parent wrote for this process, if there is one."""
    path = os.environ.get(CASE_VARIABLE)
    return msgspec.json.decode(Path(path).read_bytes(), type=Trial) if path else None


def take_run_time(options: Namespace, scenario: type[Description]) -> None:
    """Locust's -t is the duration of arrivals, unless --duration is given: they end, and are drained, by themselves.

    As a limit it would cut the last of them, because the load begins only when all users are there.
    """
    if options.run_time and scenario.load is not None and not options.duration:
        options.duration, options.run_time = float(options.run_time), None


def settings_from(options: Namespace, scenario: type[Description], target: str | None = None) -> Settings:
    """The settings of a run that plain Locust's options describe; raises UsageError."""
    if scenario.load is None:
        for name in ("rate", "duration"):
            if getattr(options, name):
                raise UsageError(f"--{name}: every item of a backlog is due at once; choose a scenario with arrivals")
    elif options.rate:
        values = {**plugins.settings_of(scenario.load), "rate_per_s": options.rate}
        plugins.build("load", plugins.name_of(type(scenario.load)), values)
    return Settings(
        strategies=(options.strategy,),
        scenario=scenario.__name__.lower(),
        target=target,
        server=options.server,
        task=options.task or None,
        rate=options.rate or None,
        duration=options.duration or None,
        items=options.items or None,
        input=options.input or None,
        seed=options.seed,
        users=options.num_users or 1,
        processes=options.processes or 1,
        layers=LayerSettings(timeout_s=options.request_timeout, retries=options.retries),
        drain_s=options.drain,
        out=Path(options.out) if options.out else None,
        calibrate=False,
        command="locust " + " ".join(sys.argv[1:]),
        notes=("played by plain Locust: the client's ceiling was not calibrated",),
    )
