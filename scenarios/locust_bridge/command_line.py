"""From Locust's command line to the settings of a run."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from harness import plugins
from harness.base.options import add_options, filled
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.layer_settings import LayerSettings
from harness.client.prompt_settings import PromptSettings
from harness.client.trace_settings import TraceSettings
from harness.client.transport.choice import LEAN, chosen
from harness.client.transport.connection_settings import ConnectionSettings
from harness.experiment.scenario import Description
from harness.experiment.settings import RunSettings
from harness.load.sessions.session_settings import SessionSettings

FIELDS = ("task", "http", "rate", "items", "duration", "input", "columns", "server", "seed", "drain_s", "transport")
"""Settings of a run that plain Locust has options for."""


def add_arguments(parser: Any, **_: Any) -> None:
    """paceline's own options on Locust's command line; Locust hands them on to its workers."""
    group = parser.add_argument_group("paceline")
    group.add_argument(
        "--strategy", default="queue-stream:concurrency=20", help="Client strategy, NAME[:key=value,...][+LAYER...]."
    )
    add_options(group, RunSettings, only=FIELDS)
    add_options(group, SessionSettings)
    add_options(group, LayerSettings, only=("retries", "timeout_s"), flags={"timeout_s": "--request-timeout"})
    # Not in the web UI: how a file is read belongs to the command line, as the file does, and a header may hold a
    # secret. `--header` and TLS are the same for all workers.
    add_options(_Hidden(group), InputSettings, PromptSettings, TraceSettings, ConnectionSettings)
    # A text: Locust hands the options on to its workers as plain values.
    group.add_argument("--out", default=None, help="Run directory [default: runs/<time>-<scenario>].")


class _Hidden:
    """A group of options that the web UI does not show."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def add_argument(self, *flags: str, **more: Any) -> None:
        """Add the option. Locust reads the mark from it."""
        self._group.add_argument(*flags, **more).include_in_web_ui = False


def export_connection(options: Namespace) -> None:
    """Give headers, TLS and proxy to the transports of this process. Raises UsageError."""
    os.environ.update(filled(ConnectionSettings, vars(options)).for_child())


def take_run_time(options: Namespace, scenario: type[Description]) -> None:
    """Locust's -t is the duration of arrivals, unless --duration is given: they end, and are drained, by themselves.

    As a limit it would cut the last of them, because the load begins only when all users are there.
    """
    if options.run_time and _has_arrivals(options, scenario) and not options.duration:
        options.duration, options.run_time = float(options.run_time), None


def take_users(options: Namespace) -> None:
    """Without -u each process has a user, as in our command: Locust would start one in all, and the others are idle."""
    if options.processes and options.num_users is None:
        options.num_users = options.processes


def _has_arrivals(options: Namespace, scenario: type[Description]) -> bool:
    """Whether items have due times; else all of them are due at once."""
    return scenario.load is not None or scenario.sessions or scenario.needs_trace or options.trace is not None


def settings_from(options: Namespace, scenario: type[Description], target: str | None = None) -> RunSettings:
    """The settings of a run that plain Locust's options describe; raises UsageError."""
    if not _has_arrivals(options, scenario):
        for name in ("rate", "duration"):
            if getattr(options, name):
                raise UsageError(f"--{name}: every item of a backlog is due at once; choose a scenario with arrivals")
    elif options.rate and scenario.load is not None:
        values = {**plugins.settings_of(scenario.load), "rate_per_s": options.rate}
        plugins.build("load", plugins.name_of(type(scenario.load)), values)
    values = vars(options)
    values["transport"] = chosen(values.get("transport"), LEAN, has_proxy=bool(values.get("proxy")))
    return filled(
        RunSettings,
        {**values, "out": Path(options.out) if options.out else None, "processes": options.processes or 1},
        strategies=(options.strategy,),
        scenario=scenario.__name__.lower(),
        target=target,
        users=options.num_users or 1,
        calibrate=False,
        command="locust " + " ".join(sys.argv[1:]),
        notes=("played by plain Locust: the client's ceiling was not calibrated",),
    )
