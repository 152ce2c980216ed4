"""Options that several commands share, with completion of names; and what a finished run looks like at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli.command import duration, rate
from harness.client.errors import UsageError

Execute = Callable[..., tuple[Any, bool]]
"""Plays a prepared run, told whom to tell of its progress: the result, and whether it was interrupted."""


class PluginName(click.ParamType[str]):
    """NAME[:key=value,...] of a kind of plug-in; completes names and, after the colon, settings."""

    name = "text"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that start so; the setting names of a complete one."""
        from dataclasses import fields

        from harness import plugins

        before, plus, layer = incomplete.rpartition("+")
        if plus and self._kind == "strategy":
            from harness.client.stack import names

            return [CompletionItem(f"{before}+{n}") for n in names() if n.startswith(layer)]
        name, colon, given = incomplete.partition(":")
        if not colon:
            return [CompletionItem(n) for n in plugins.names(self._kind) if n.startswith(incomplete)]
        before, _, last = given.rpartition(",")
        prefix = f"{name}:{before + ',' if before else ''}"
        try:
            settings = [field.name for field in fields(plugins.load(self._kind, name)) if field.init]
        except UsageError:
            return []
        return [CompletionItem(f"{prefix}{field}=") for field in settings if field.startswith(last)]


class ProfileName(click.ParamType[str]):
    """A profile of the mock server, built in or a TOML file."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The built-in ones."""
        from mock_server import profiles

        return [CompletionItem(name) for name in profiles.names() if name.startswith(incomplete)]


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that plays a load."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


_SHARED = [
    click.option(
        "-s",
        "--strategy",
        "strategy",
        multiple=True,
        type=PluginName("strategy"),
        metavar="NAME[:key=value,...][+LAYER...]",
        help="A client strategy, with layers around it if you like; repeat to compare several.",
    ),
    click.option("--target", metavar="URL", help="Server to measure [default: an embedded mock, on a free port]."),
    click.option(
        "--server", type=ProfileName(), default="demo", show_default=True, help="Profile of the embedded mock, or TOML."
    ),
    click.option("--speed", type=float, help="So many times as fast as the profile of the embedded mock says."),
    click.option("--task", type=PluginName("task"), metavar="NAME[:...]", help="What each item asks for."),
    click.option("--load", type=PluginName("load"), metavar="NAME[:...]", help="How items become due."),
    click.option("--input", metavar="FILE.jsonl", help="Items, one JSON object a line."),
    click.option("--synthetic", metavar="DIST[:mean=,sigma=]", help="Made-up texts: constant, uniform or lognormal."),
    click.option("--items", type=int, help="How many items."),
    click.option("--rate", type=rate(), help="Arrivals per second; also 100/s, 6000/min."),
    click.option("--duration", type=duration(), help="Seconds of arrivals; also 500ms, 30s, 10min."),
    click.option(
        "--seed", type=int, help="Seed of schedule, texts and mock [default: 1; the mock's profile has its own]."
    ),
    click.option("--repeats", type=int, default=1, show_default=True, help="Repeats, interleaved over the strategies."),
    click.option("--users", type=int, default=1, show_default=True, help="Client applications that share the load."),
    click.option("--processes", type=int, default=1, show_default=True, help="Locust processes that share the users."),
    click.option("--retries", type=int, default=0, show_default=True, help="Further attempts, full jitter."),
    click.option("--timeout", type=duration(), default=60.0, show_default=True, help="Seconds one attempt may take."),
    click.option("--rate-limit", type=rate(), help="At most so many requests a second from each client application."),
    click.option("--deadline", type=duration(), help="Seconds from due time to answer, over all attempts."),
    click.option("--retry-budget", is_flag=True, help="Retries and hedges spend from a purse that successes fill."),
    click.option(
        "--layer",
        multiple=True,
        metavar="NAME[:...]",
        help="A layer around every strategy (paceline list layers).",
    ),
    click.option(
        "--variant",
        multiple=True,
        metavar="LAYER[+LAYER]",
        help="Each strategy once more, with these layers.",
    ),
    click.option(
        "--drain", type=duration(), default=30.0, show_default=True, help="Seconds for what is in flight at the end."
    ),
    click.option("--slo", metavar="CONDITIONS", help='For example "p99<500ms,errors<1%"; exit code 1 if one fails.'),
    click.option("--out", type=click.Path(path_type=Path), help="Run directory [default: runs/<time>-<scenario>]."),
    click.option("--overwrite", is_flag=True, help="Replace a run that lies there already."),
    click.option("--calibrate/--no-calibrate", default=True, help="Measure the client's own ceiling first."),
    click.option("--report/--no-report", default=True, help="Write report.html, report.md and charts."),
    click.option("--json", "as_json", is_flag=True, help="result.json on stdout, all else on stderr."),
    click.option("--quiet", is_flag=True, help="Nothing but the verdict (or the JSON)."),
]


def play(
    options: dict[str, Any], scenario: str, default_strategies: tuple[str, ...], execute: Execute | None = None
) -> int:
    """Run what the options describe (`execute` says how, if not for real), report it, and return the exit code."""
    from harness.cli.progress import Progress
    from harness.cli.show import show
    from harness.cli.signals import reader_may_leave, stopped_as_by_ctrl_c
    from harness.client import stack
    from harness.client.layer_settings import LayerSettings
    from harness.experiment import run as real
    from harness.experiment.prepare import Settings, prepare
    from harness.measure.judge.verdict import exit_code
    from harness.measure.result import encode

    settings = Settings(
        strategies=options["strategy"] or default_strategies,
        scenario=scenario,
        layers=LayerSettings(
            options["timeout"],
            options["retries"],
            options["rate_limit"],
            options["deadline"],
            options["retry_budget"],
            stack.parse(options["layer"]),
        ),
        variants=options["variant"],
        drain_s=options["drain"],
        simulated=options.get("simulated", False),
        command="paceline " + _quoted(sys.argv[1:]),
        **{key: options[key] for key in _STRAIGHT},
    )
    run = prepare(settings)
    with stopped_as_by_ctrl_c(), Progress(quiet=options["quiet"] or None) as progress:
        result, interrupted = (execute or real.execute)(run, progress)
        written = []
        if options["report"]:
            progress("reporting", {})
            written = _report(result, run.directory)
    with reader_may_leave():
        if options["as_json"]:
            sys.stdout.buffer.write(encode(result))
            sys.stdout.flush()
        where = {"to_stderr": options["as_json"], "brief": options["quiet"], "interrupted": interrupted}
        show(result, run.directory, written, **where)
    return exit_code(result)


def _report(result: Any, directory: Path) -> list[Path]:
    """Write the reports; a disk that takes no more is said in one line, and the result stands."""
    from harness.measure.record.files import disk_failed
    from reports.page import write

    try:
        return write(result, directory)
    except OSError as error:
        if not disk_failed(error):
            raise
        click.echo(f"paceline: {directory}: the reports could not be written: {error.strerror}", err=True)
        return []


_STRAIGHT = [
    *("target", "server", "speed", "task", "load", "rate", "duration", "items", "input", "synthetic", "seed"),
    *("repeats", "users", "processes", "slo", "out", "overwrite", "calibrate"),
]


def _quoted(arguments: list[str]) -> str:
    import shlex

    from harness.client.redaction import redact

    return shlex.join(map(redact, arguments))
