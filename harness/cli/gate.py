"""`paceline gate`: a candidate against its SLO and against a baseline, for CI."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.base.options import filled
from harness.cli.command import Command, described, left_out, options_of
from harness.cli.options import replaying, settings_of, shared
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError
from harness.experiment.gate import play
from harness.experiment.gate_settings import GateSettings

if TYPE_CHECKING:
    from harness.measure.gate_result import Gate
    from harness.measure.result import RunResult

DEFAULT, OF_TRACE = ("queue-stream:concurrency=16",), ("unbounded",)
SETS = {"repeats", "repeats_width", "repeats_max", "repeats_budget_s", "reference", "control"}
"""Options of a run that the gate sets itself."""
HELP = {
    "strategies": "Client strategy, with layers around it if you like; repeat to judge several "
    f"[default: {DEFAULT[0]}; of a trace {OF_TRACE[0]}].",
    "slo": 'Conditions for the candidate, such as "p99<500ms,errors<1%", for a backlog "service_p99<500ms"; each is a '
    "check of the gate, judged by its interval.",
    "target": "URL of the candidate, a server that is running [default with --baseline DIR: an embedded mock].",
    "server": "Profile of the embedded mock that is the candidate, or a TOML file.",
}
"""What shared options mean in a gate."""


def _gate_only(function: Any) -> Any:
    return options_of(GateSettings)(described(left_out(replaying(shared(function)), SETS), HELP))


@click.command("gate", cls=Command)
@_gate_only
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit file, one test a check.")
@click.option(
    "--summary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append a Markdown summary, such as to $GITHUB_STEP_SUMMARY.",
)
def command(junit: Path | None, summary: Path | None, **options: Any) -> int:
    """Decide whether a candidate may go on: its SLO, and no regression against a baseline beyond noise.

    Both servers are played in alternation in one job (ABBA), first in a few pairs, then in more if these do not decide.
    A failure must repeat itself. Exit codes: 0 passed, 1 failed, 2 usage, 4 measurement invalid, 5 inconclusive.

    \b
    paceline gate --baseline-cmd 'serve-old --port {port}' --candidate-cmd 'serve-new --port {port}' --items 500
    paceline gate --baseline runs/main --target http://127.0.0.1:8000 --slo "p99<500ms" --junit gate.xml
    paceline gate --baseline-capacity runs/main --candidate-capacity runs/branch --capacity-limit 20%
    """
    from harness.cli.live import live_view, where_is
    from harness.cli.progress import ProgressDisplay
    from harness.cli.signals import reader_may_leave
    from harness.measure.judge.gate import EXIT_CODES
    from reports.gate import write

    check_json_output(options["as_json"])
    wanted = filled(GateSettings, options)
    directory = options["out"] or Path("runs") / f"{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}-gate"
    settings = settings_of({**options, "repeats": 1}, "backlog", DEFAULT if options["trace"] is None else OF_TRACE)
    with live_view(options["live"], options["quiet"]) as live, ProgressDisplay(quiet=options["quiet"] or None) as shown:
        gate = play(wanted, settings, directory, live.beside(shown))
        live.tell("gate", {"gate": gate, "sides": _sides(directory)})
        reports = write(gate, directory, ("html", "markdown", "junit")) if options["report"] else []
        live.over("the gate is over", *where_is(directory, reports))
    _export(gate, junit, summary)
    with reader_may_leave():
        _show(gate, [*reports, directory / "gate.json"], options["as_json"], options["quiet"])
    return EXIT_CODES[gate.status]


def _sides(directory: Path) -> dict[str, RunResult]:
    """The results of the sides that were played."""
    from harness.measure.result import decode

    files = {side: directory / side / "result.json" for side in ("baseline", "candidate")}
    return {side: decode(path.read_bytes()) for side, path in files.items() if path.exists()}


def _export(gate: Gate, junit: Path | None, summary: Path | None) -> None:
    """Write the files that the user names."""
    from reports.gate import junit as as_junit
    from reports.gate import markdown

    for path, data, mode in ((junit, as_junit(gate), "wb"), (summary, markdown(gate).encode(), "ab")):
        if path is not None:
            try:
                with path.open(mode) as file:
                    file.write(data)
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}") from error


def _show(gate: Gate, written: list[Path], as_json: bool, brief: bool) -> None:
    from harness.measure.gate_result import encode
    from reports.gate import text

    if as_json:
        write_output(encode(gate))
    click.echo(text(gate, written, brief), err=as_json, nl=False)
