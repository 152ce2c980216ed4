"""Options of the commands that play a load, and how they play it and show its result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import options_of

Execute = Callable[..., tuple[Any, bool]]
"""Plays a prepared run, told whom to tell of its progress: the result, and whether it was interrupted."""


_LAYER = click.option(
    "--layer", multiple=True, metavar="NAME[:...]", help="Layer around every strategy (paceline list layers)."
)
_OUTPUT = (
    click.option("--report/--no-report", default=True, help="Write report.html, report.md and charts."),
    click.option("--json", "as_json", is_flag=True, help="Write result.json to stdout, and all else to stderr."),
    click.option("--quiet", is_flag=True, help="Print only the verdict (or the JSON)."),
)


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that plays a load its options."""
    from harness.client.layer_settings import LayerSettings
    from harness.experiment.settings import RunSettings

    for option in reversed(_OUTPUT):
        function = option(function)
    return options_of(RunSettings)(layer_options(function, LayerSettings))


def layer_options(function: Callable[..., Any], settings: type[Any], **defaults: Any) -> Callable[..., Any]:
    """Give a command the options of layers."""
    return options_of(settings, defaults=defaults)(_LAYER(function))


def play(
    options: dict[str, Any],
    scenario: str,
    default_strategies: tuple[str, ...],
    execute: Execute | None = None,
    prepared: Callable[[Any], Any] | None = None,
) -> int:
    """Run what the options describe, report it, and return the exit code.

    `prepared` and `execute` lay out and play the run [default: the cases of the settings, for real].
    """
    from harness.cli.progress import Progress
    from harness.cli.show import show
    from harness.cli.signals import reader_may_leave, stopped_as_by_ctrl_c
    from harness.client import stack
    from harness.client.layer_settings import LayerSettings
    from harness.experiment import run as real
    from harness.experiment.prepare import prepare
    from harness.experiment.settings import RunSettings
    from harness.measure.judge.verdict import exit_code
    from harness.measure.result import encode

    settings = filled(
        RunSettings,
        {**options, "strategies": options["strategies"] or default_strategies},
        scenario=scenario,
        layers=filled(LayerSettings, options, named=stack.parse(options["layer"])),
        simulated=options.get("simulated", False),
        command="paceline " + _quoted(sys.argv[1:]),
    )
    run = (prepared or prepare)(settings)
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


def _quoted(arguments: list[str]) -> str:
    import shlex

    from harness.client.redaction import redact

    return shlex.join(map(redact, arguments))
