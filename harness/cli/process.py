"""`paceline process`: a file of items through a server into a file of answers."""

from __future__ import annotations

import asyncio
import copy
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.command import Command, duration
from harness.cli.main import EXIT_INTERRUPTED
from harness.cli.options import PluginName, shared
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.bulk import Settings, Summary

EXIT_FAILED = 1
_BORROWED = ("timeout", "rate_limit", "deadline", "retry_budget", "layer")


def _borrowed() -> list[click.Parameter]:
    """The options of layers, as every other command has them; only retries are on here."""

    @shared
    def carrier() -> None:
        pass

    options = {option.name: option for option in getattr(carrier, "__click_params__")}  # noqa: B009 - click's own place
    retries = copy.copy(options["retries"])
    retries.default = 3
    return [retries, *(options[name] for name in _BORROWED)]


class Share(click.ParamType[float]):
    """`5%` or `0.05`."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a share between 0 and 1."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not a share such as 5% or 0.05", param, ctx)
        return share


@click.command("process", cls=Command)
@click.argument("input", metavar="INPUT")
@click.option("--output", required=True, metavar="FILE", help="Answers, one JSON object a line; - is stdout.")
@click.option("--target", required=True, metavar="URL", help="The server.")
@click.option(
    "--task",
    multiple=True,
    type=PluginName("task"),
    metavar="NAME[:...]",
    help="What each line asks for; with several, or none, each line names its task.",
)
@click.option(
    "-s",
    "--strategy",
    multiple=True,
    type=PluginName("strategy"),
    metavar="NAME[:...][+LAYER...]",
    help="How the server is sent to; `priority` lets urgent lines overtake [default: adaptive].",
)
@click.option("--resume", is_flag=True, help="Go on where an earlier run ended, if there was one.")
@click.option("--overwrite", is_flag=True, help="Start anew, whatever lies there.")
@click.option("--dead-letter", metavar="FILE", help="Lines that got no answer [default: OUTPUT.dead.jsonl].")
@click.option(
    "--order", type=click.Choice(["input", "completion"]), default="input", show_default=True, help="Of the output."
)
@click.option(
    "--errors-max",
    type=Share(),
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Stop when more than this of the last 1000 lines are dead letters.",
)
@click.option("--cache", metavar="FILE", help="Answers kept from call to call (the layer cache).")
@click.option("--window", type=int, default=10_000, show_default=True, help="Lines that may overtake the oldest one.")
@click.option(
    "--patience", type=duration(), default=60.0, show_default=True, help="Seconds to wait for a server that left."
)
@click.option(
    "--drain", type=duration(), default=10.0, show_default=True, help="Seconds for what is in flight at a stop."
)
@click.option("--id-field", default="id", show_default=True, metavar="NAME", help="Copied to the output where present.")
@click.option(
    "--task-field", default="task", show_default=True, metavar="NAME", help="With several tasks: names the row's own."
)
@click.option(
    "--priority-field",
    default="priority",
    show_default=True,
    metavar="NAME",
    help="A whole number, smaller is more urgent; for strategies that look at priorities.",
)
@click.option("--with-input", is_flag=True, help="Put each row into its output line.")
@click.option("--json", "as_json", is_flag=True, help="A summary as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="Only what went wrong.")
def command(**options: Any) -> int:
    """Send every line of INPUT (JSONL, also gzip or Zstandard; - is stdin) and write the answers to a file.

    Memory stays the same whatever the size. Killed at any moment and called again with --resume, it loses nothing and
    writes nothing twice. Lines that get no answer go to the dead-letter file, which is itself an INPUT.

    \b
    paceline process in.jsonl --output out.jsonl --target http://127.0.0.1:8000 --task annotate --resume
    zcat in.gz | paceline process - --output out.jsonl.zst --target URL --task similarity -s queue-stream:concurrency=50

    \b
    Exit codes: 0 all lines done; 1 too many dead letters, or no answer at all; 2 usage;
    5 stopped before the end (Ctrl-C, server gone, disk full): --resume goes on.
    """
    from harness.cli.process_show import Show
    from harness.experiment.event_loop import new_event_loop

    settings = _settings(options)
    if options["as_json"] and settings.output == "-":
        raise UsageError("--json and --output - both write to stdout")
    with Show(settings, quiet=options["quiet"]) as show, asyncio.Runner(loop_factory=new_event_loop) as runner:
        summary = runner.run(_run(settings, show))
    show.end(summary, sys.argv[1:])
    if options["as_json"]:
        import msgspec

        click.echo(msgspec.json.encode(summary).decode())
    return exit_code(summary)


command.params.extend(_borrowed())


def _settings(options: dict[str, Any]) -> Settings:
    from harness.bulk import Settings
    from harness.client import stack
    from harness.client.layer_settings import LayerSettings

    strategies = options["strategy"] or ("adaptive",)
    if len(strategies) > 1:
        raise UsageError(f"-s {' -s '.join(strategies)}: a file is processed by one strategy")
    layers = [*options["layer"], *([f"cache:path={options['cache']}"] if options["cache"] else [])]
    return Settings(
        tasks=options["task"],
        strategy=strategies[0],
        layers=LayerSettings(
            options["timeout"],
            options["retries"],
            options["rate_limit"],
            options["deadline"],
            options["retry_budget"],
            stack.parse(layers),
        ),
        patience_s=options["patience"],
        drain_s=options["drain"],
        **{key: options[key] for key in _STRAIGHT},
    )


_STRAIGHT = [
    *("input", "output", "target", "resume", "overwrite", "dead_letter", "order", "errors_max", "window"),
    *("id_field", "task_field", "priority_field", "with_input"),
]


async def _run(settings: Settings, show: Any) -> Summary:
    """The session; the first Ctrl-C (or SIGTERM) drains, the second one does not wait."""
    from harness.bulk import Process

    session = Process(settings, tell=show)
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
    """As the design has them: 0 pass, 1 a gate failed, 5 not known because it was stopped."""
    if summary.passed or summary.stopped == "reader":  # who pipes into `head` had enough
        return 0
    return EXIT_FAILED if summary.complete or summary.stopped == "errors" else EXIT_INTERRUPTED
