"""Options of the commands that play a load; plays it and shows the result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.base.options import filled
from harness.cli.command import options_of
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError

Execute = Callable[..., tuple[Any, bool]]
"""Plays a prepared run and reports to a progress function; returns the result and whether it was interrupted."""
Backend = Callable[[Any], Any]
"""Makes the backend that plays a run."""


_LAYER = click.option(
    "--layer", multiple=True, metavar="NAME[:...]", help="Layer around every strategy (paceline list layers)."
)
_OUTPUT = (
    click.option("--report/--no-report", default=True, help="Write report.html, report.md and charts."),
    click.option("--json", "as_json", is_flag=True, help="Write result.json to stdout, and all else to stderr."),
    click.option("--quiet", is_flag=True, help="Print only the verdict (or the JSON)."),
)


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that play a load."""
    from harness.client.input_settings import InputSettings
    from harness.client.layer_settings import LayerSettings
    from harness.client.prompt_settings import PromptSettings
    from harness.client.transport.connection_settings import ConnectionSettings
    from harness.experiment.settings import RunSettings
    from harness.live.live_settings import LiveSettings

    for option in reversed(_OUTPUT):
        function = option(function)
    classes = (RunSettings, InputSettings, PromptSettings, ConnectionSettings, LiveSettings)
    return options_of(*classes)(layer_options(function, LayerSettings))


def replaying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a recorded trace."""
    from harness.client.trace_settings import TraceSettings

    return options_of(TraceSettings)(function)


SET_BY_RATE = {"trace_speed": None, "trace_repeat": None}
"""Options of a trace that is played at one rate after another; the command sets them itself."""


def replaying_at_rates(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a recorded trace that is played at several rates."""
    from harness.cli.command import left_out

    return left_out(replaying(function), {*SET_BY_RATE, "trace_bootstrap_s"})


def drawn_from_trace(options: dict[str, Any]) -> dict[str, Any]:
    """The options with those of a trace that each rate sets; each rate sets the length of drawn blocks, too."""
    return {**options, **SET_BY_RATE, "trace_bootstrap_s": 1.0 if options["trace"] is not None else None}


def with_sessions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the scenario sessions."""
    from harness.load.sessions.session_settings import SessionSettings

    return options_of(SessionSettings)(function)


def layer_options(function: Callable[..., Any], settings: type[Any], **defaults: Any) -> Callable[..., Any]:
    """Add the options of layers."""
    return options_of(settings, defaults=defaults)(_LAYER(function))


def play(
    options: dict[str, Any],
    scenario: str,
    default_strategies: tuple[str, ...],
    execute: Execute | None = None,
    prepared: Callable[[Any], Any] | None = None,
    transport: str | None = None,
) -> int:
    """Run what the options describe, report it, and return the exit code.

    `prepared` and `execute` lay out and play the run [default: the cases of the settings, for real]. `transport` is the
    default of the command.
    """
    from harness.cli.live import live_view
    from harness.cli.show import show
    from harness.cli.signals import reader_may_leave
    from harness.experiment import run as real
    from harness.experiment.prepare import prepare
    from harness.measure.judge.verdict import exit_code
    from harness.measure.result import encode

    check_json_output(options["as_json"])
    settings = settings_of(options, scenario, default_strategies, transport)
    with live_view(options.get("live"), options["quiet"]) as live:
        run = (prepared or prepare)(settings)
        result, interrupted, written = _played(run, options, execute or real.execute, live)
    with _hint(run.directory, "result.json", "{}/result.json is complete"), reader_may_leave():
        if options["as_json"]:
            write_output(encode(result))
        where = {"to_stderr": options["as_json"], "brief": options["quiet"], "interrupted": interrupted}
        show(result, run.directory, written, **where)
    return exit_code(result)


def played_on(backend: Backend | None) -> Execute:
    """Plays a prepared run on a backend [default: child processes]."""
    from harness.experiment.run import execute

    return lambda run, progress: execute(run, progress, None if backend is None else backend(run))


def _played(run: Any, options: dict[str, Any], execute: Execute, live: Any) -> tuple[Any, bool, list[Path]]:
    """The result of a run, whether it was interrupted, and the files of its report."""
    from harness.cli.live import where_is
    from harness.cli.progress import ProgressDisplay

    with ProgressDisplay(quiet=options["quiet"] or None) as shown:
        progress = live.beside(shown)
        with _hint(run.directory, "plan.json", "`paceline report {}` makes the result from the records"):
            result, interrupted = execute(run, progress)
        live.tell("result", {"result": result})
        written = []
        if options["report"]:
            progress("reporting", {})
            written = _report(result, run.directory)
        live.over("the run is over", *where_is(run.directory, written))
    return result, interrupted, written


def settings_of(
    options: dict[str, Any], scenario: str, default_strategies: tuple[str, ...], transport: str | None = None
) -> Any:
    """The settings of the run that the options describe. Raises UsageError."""
    from harness.client import stack
    from harness.client.layer_settings import LayerSettings
    from harness.client.transport.choice import AIOHTTP, chosen, note_of
    from harness.experiment.settings import RunSettings

    _check_one_server()
    given, default, proxy = options.get("transport"), transport or AIOHTTP, bool(options.get("proxy"))
    name = chosen(given, default, has_proxy=proxy)
    return filled(
        RunSettings,
        {**options, "strategies": options["strategies"] or default_strategies, "transport": name},
        scenario=scenario,
        layers=filled(LayerSettings, options, named=stack.parse(options["layer"])),
        simulated=options.get("simulated", False),
        notes=note_of(given, default, has_proxy=proxy),
        command="paceline " + quoted(sys.argv[1:]),
    )


def _check_one_server() -> None:
    """Raise UsageError if an option of the embedded mock is given beside a server, which would drop it silently.

    A value of the project file gives way to the server that the command line names.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return
    mocks, servers = {"server": "--server", "speed": "--server-speed"}, ("target", "candidate_cmd")
    for server in (field for field in servers if context.params.get(field) is not None):
        counts = {ParameterSource.COMMANDLINE}
        if context.get_parameter_source(server) is ParameterSource.DEFAULT_MAP:
            counts.add(ParameterSource.DEFAULT_MAP)
        other = f"--{server.replace('_', '-')}"
        for field, flag in mocks.items():
            if context.get_parameter_source(field) in counts:
                raise UsageError(f"{flag} and {other} exclude each other: {flag} is for the embedded mock")


@contextmanager
def _hint(directory: Path, file: str, hint: str) -> Iterator[None]:
    """Within it Ctrl-C says which files of the run are left, if it has got as far as this file."""
    try:
        yield
    except KeyboardInterrupt:
        if not (directory / file).is_file():
            raise
        raise KeyboardInterrupt(f"; {hint.format(directory)}") from None


def _report(result: Any, directory: Path) -> list[Path]:
    """Write the reports. A disk error or Ctrl-C is reported in one line, and the result stays as it is."""
    from harness.measure.record.files import disk_failed
    from reports.page import write

    try:
        return write(result, directory)
    except KeyboardInterrupt:
        said = f"interrupted: the reports are missing or incomplete; `paceline report {directory}` writes them"
        click.echo(f"paceline: {said}", err=True)
        return []
    except OSError as error:
        if not disk_failed(error):
            raise
        click.echo(f"paceline: {directory}: the reports could not be written: {error.strerror}", err=True)
        return []


def quoted(arguments: list[str]) -> str:
    """A command line in one line, without secrets."""
    import shlex

    from harness.client.redaction import redact

    return shlex.join(map(redact, arguments))
