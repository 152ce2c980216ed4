"""`paceline process`: a file of items through a server into a file of answers."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from harness.base.options import REQUIRED, filled
from harness.cli.command import Command, options_of
from harness.cli.main import EXIT_INTERRUPTED
from harness.cli.options import layer_options
from harness.cli.streams import check_json_output
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.bulk import ProcessSettings, Summary
    from harness.bulk.fleet.fleet_settings import FleetSettings
    from harness.cli.live import View
    from harness.cli.process_show import Show

EXIT_FAILED = 1


class Session(Protocol):
    """A session of a run."""

    def stop(self) -> None: ...
    def cut(self) -> None: ...
    async def run(self) -> Summary: ...


def _options(function: Any) -> Any:
    """Add the options of the command."""
    from harness.bulk import ProcessSettings
    from harness.bulk.fleet.fleet_settings import FleetSettings
    from harness.client.input_settings import InputSettings
    from harness.client.layer_settings import LayerSettings
    from harness.client.transport.connection_settings import ConnectionSettings
    from harness.live.live_settings import LiveSettings

    classes = (ProcessSettings, FleetSettings, InputSettings, ConnectionSettings, LiveSettings)
    return options_of(*classes, defaults={"target": REQUIRED})(layer_options(function, LayerSettings, retries=3))


class _WithStatus(Command):
    """`process status OUTPUT` is a command of its own; an INPUT of that name is `./status`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the one or of the other."""
        if args[:1] == ["status"]:
            from harness.cli.process_status import command as status

            return status.make_context(f"{info_name} status", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command of the context."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command("process", cls=_WithStatus)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@_options
@click.option("--cache", metavar="FILE", help="File that stores answers for later calls (the layer cache).")
@click.option("--events", metavar="FILE", help="File to which progress is appended, one JSON object a line.")
@click.option("--json", "as_json", is_flag=True, help="Write a summary as JSON to stdout.")
@click.option("--quiet", is_flag=True, help="Print only what went wrong.")
def command(inputs: tuple[str, ...], **options: Any) -> int:
    """Send every row of INPUT (JSONL, CSV, Parquet, ...; - is stdin) and write the answers to a file.

    Several files and folders are read one after the other, as one input. Memory stays the same whatever the size.
    Killed at any moment and called again with --resume, it loses nothing and writes nothing twice. Lines that get no
    answer go to the dead-letter file, which is itself an INPUT. `paceline process status OUTPUT` shows how far it is.

    \b
    paceline process in.jsonl --output out.jsonl --target http://127.0.0.1:8000 --task annotate --resume
    paceline process in.jsonl --output out.jsonl --target URL --task annotate -s adaptive --workers 4 --resume
    paceline process batch.jsonl --output out.jsonl --output-format openai-batch --target http://127.0.0.1:8000
    zcat in.gz | paceline process - --output out.jsonl.zst --target URL --task similarity -s queue-stream:concurrency=50

    \b
    Exit codes: 0 all lines done; 1 too many dead letters, no answer at all, or a file that breaks off; 2 usage;
    5 stopped before the end (Ctrl-C, server gone, disk full): --resume continues.
    """
    from harness.bulk.fleet.fleet_settings import FleetSettings
    from harness.cli.live import live_view
    from harness.cli.process_show import Show
    from harness.live.process_board import ProcessBoard

    settings, fleet = _in_folder(_settings(options | {"inputs": inputs}), filled(FleetSettings, options))
    if options["as_json"] and settings.output == "-":
        raise UsageError("--json and --output - both write to stdout")
    check_json_output(options["as_json"])
    # The senders are in this process, so the page has the same priority.
    with live_view(options["live"], options["quiet"], ProcessBoard, polite=False) as live:
        show = Show(settings, quiet=options["quiet"])
        summary = _played(settings, fleet, show, live, options["events"])
        where = "" if settings.output == "-" else f"answers: {Path(settings.output).absolute()}"
        live.over("the processing is over", where)
    show.end(summary, sys.argv[1:])
    if options["as_json"]:
        import msgspec

        click.echo(msgspec.json.encode(summary).decode())
    return exit_code(summary)


def _in_folder(settings: ProcessSettings, fleet: FleetSettings) -> tuple[ProcessSettings, FleetSettings]:
    """An output that is a folder is for parts."""
    from harness.bulk.fleet.parts import in_folder, list_in

    if not in_folder(settings.output):
        return settings, fleet
    if fleet.workers is None:
        raise UsageError(f"--output {settings.output}: is a folder, which --workers N fills with parts; name a file")
    output = list_in(settings.output)
    return dataclasses.replace(settings, output=output), dataclasses.replace(fleet, keep_parts=True)


def _settings(options: dict[str, Any]) -> ProcessSettings:
    from harness.bulk import ProcessSettings
    from harness.client import stack
    from harness.client.layer_settings import LayerSettings

    layers = [*options["layer"], *([f"cache:path={options['cache']}"] if options["cache"] else [])]
    return filled(
        ProcessSettings,
        options,
        input=options["inputs"][0],
        more_inputs=options["inputs"][1:],
        layers=filled(LayerSettings, options, named=stack.parse(layers)),
    )


def _played(
    settings: ProcessSettings, fleet: FleetSettings, show: Show, live: View, events: str | None = None
) -> Summary:
    """Run the session, with its events on the terminal, on the live page and in a file."""
    import msgspec

    from harness.bulk.tally import as_builtins
    from harness.experiment.event_loop import new_event_loop

    def plain(facts: dict[str, Any]) -> dict[str, Any]:
        # The counts go on changing while the page reads them.
        return {**facts, "counts": as_builtins(facts["counts"])} if "counts" in facts else facts

    tell, log = live.beside(show, plain), None
    if events is not None:
        from harness.cli.process_events import EventLog

        log = EventLog(events, settings, show.say)
        tell = log.beside(tell)
    with show, asyncio.Runner(loop_factory=new_event_loop) as runner:
        summary = runner.run(_run(settings, fleet, tell))
    end = {"passed": summary.passed, "stopped": summary.stopped, "text": summary.text}
    live.tell("summary", {**end, "counts": summary.counts})
    if log is not None:
        log("summary", msgspec.to_builtins(summary))
        log.close()
    return summary


def _session(settings: ProcessSettings, fleet: FleetSettings, show: Any) -> Session:
    """The session of this process alone, or of several workers."""
    if fleet.workers is None:
        from harness.bulk import Process

        return Process(settings, tell=show)
    from harness.bulk.fleet.engines.worker_engine import engine_of
    from harness.bulk.fleet.fleet import Fleet

    engine = engine_of(fleet.engine or "local", fleet.ray_address, settings.output)
    return Fleet(settings, fleet, engine, tell=show)


async def _run(settings: ProcessSettings, fleet: FleetSettings, show: Any) -> Summary:
    """Run the session. The first Ctrl-C (or SIGTERM) drains, the second one stops at once."""
    session = _session(settings, fleet, show)
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            session.cut()
        asked = True
        session.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        return await session.run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def exit_code(summary: Summary) -> int:
    """0 pass, 1 failed, 5 unknown because it was stopped."""
    if summary.passed or summary.stopped == "reader":  # the reader of the pipe, such as `head`, needs no more
        return 0
    return EXIT_FAILED if summary.complete or summary.stopped == "errors" else EXIT_INTERRUPTED
