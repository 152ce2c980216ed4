"""`paceline`: the main command, and the one place that turns an error into a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from harness.cli.command import PROJECT_FILE, Group
from harness.cli.signals import stopped_as_by_ctrl_c
from harness.cli.streams import open_closed
from harness.client.errors import UsageError
from harness.client.redaction import keep, keep_from_texts, redact

# Imported now: later there may be no free file descriptor.
from harness.client.transport.open_files import explained

EXIT_USAGE, EXIT_CRASH, EXIT_INTERRUPTED = 2, 3, 5

COMMANDS = {
    "check": "Send one item to your server: request, answer, and what to change.",
    "compare": "Compare client strategies on one server, under one identical load.",
    "capacity": "Find the highest rate and concurrency at which a server holds an SLO, as intervals.",
    "process": "Send every line of a file and write the answers; resumable after a stop or crash.",
    "demo": "Show the purpose of the strategies: the same clients on two embedded mock servers.",
    "run": "Play a scenario (spike, ramp, soak ...) with one or more strategies.",
    "diff": "Compare two finished runs: what changed, and whether it is more than noise.",
    "gate": "Decide in CI: SLO and regression against a baseline, played in alternation.",
    "runs": "List the runs of a folder, as a table or a page with the trend of each case.",
    "export": "Write every request of a run into one table, as Parquet or CSV.",
    "sweep": "Measure throughput and latency at each concurrency or rate, and say what to set.",
    "simulate": "Compare strategies, sweep concurrency or search capacity in virtual time, bit for bit.",
    "fit": "Fit a profile of the mock to a real server, in at most five minutes.",
    "verify": "Measure how well a fitted profile plays its server, on loads that the fit has not seen.",
    "self-test": "Measure this machine and this client against servers of known times.",
    "report": "Render report.html, report.md and charts of a run, whole or interrupted.",
    "serve": "Serve a mock of a model server, or a real one, on this machine.",
    "worker": "Compute the items of jobs for servers with --jobs celery.",
    "list": "List strategies, tasks, limits, loads, scenarios, profiles and more.",
    "path": "Print the path of a locustfile, sample input or profile that comes with paceline.",
}
"""Subcommand -> its line in the help. Each has its own module, which is imported only when called."""


PATH_REFUSED = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS}
"""The system refuses a path as such: the user named it, whatever was done with it."""
OUTPUT_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a write: of standard output, or of a file if the error has its name."""


def _config_first(args: list[str]) -> list[str]:
    """The arguments with the project file in front of the command."""
    for place, text in enumerate(args):
        if text == "--":
            break
        if text == "--config" or text.startswith("--config="):
            end = place + (2 if text == "--config" else 1)
            if end > len(args):
                raise click.UsageError("Option '--config' requires an argument.")
            return [*args[place:end], *args[:place], *args[end:]]
    return args


class Lazy(Group):
    """Imports a subcommand's module when it is used, so that the help comes at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.{cmd_name.replace('-', '_')}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--config FILE` may also stand after the command."""
        return super().parse_args(ctx, _config_first(args))

    def invoke(self, ctx: click.Context) -> Any:
        """A closed output pipe is no failure; click and rich would exit with 1."""
        from harness.cli.signals import broken_pipe, discard_output

        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_output()
        except SystemExit as end:
            if not broken_pipe(end):
                raise
        return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list from the table above, without imports."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; an error for an unknown one lists similar names."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from harness.plugins import unknown

            raise click.UsageError(unknown("command", args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Command names, without importing them."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="paceline", prog_name="paceline")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Project file with settings for CI [default: ./paceline.toml if there is one].",
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Benchmark and load-test model-serving HTTP APIs: compare client strategies, find the limit, gate in CI.

    Shell completion: eval "$(_PACELINE_COMPLETE=bash_source paceline)" (zsh_source and fish_source likewise).
    """
    if config is not None or Path("paceline.toml").is_file():
        from harness.cli.config import read

        ctx.meta[PROJECT_FILE] = file = config or Path("paceline.toml")
        ctx.default_map = read(file)


LINE_MAX = 2_000
"""Characters of an error."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit codes: 0 pass, 1 gate or SLO failed, 2 usage, 3 crash, 4 invalid, 5 inconclusive."""
    open_closed()
    _keep_secrets(sys.argv[1:] if arguments is None else arguments)
    try:
        with stopped_as_by_ctrl_c():
            code = cli.main(args=arguments, prog_name="paceline", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        # Its message is the help, which is no error line.
        error.show()
        code = EXIT_USAGE
    except click.ClickException as error:
        code = _say(error.format_message(), EXIT_USAGE)
    except UsageError as error:
        code = _say(str(error), EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt) as stop:
        # click wraps the interrupt; its text, if any, says which files are missing.
        code = _say(f"interrupted{stop.__cause__ or stop}", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The output pipe is closed.
        code = 0
    except Exception as error:
        code = _crashed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _crashed(error: Exception) -> int:
    """An internal error with its traceback; a lack of file descriptors gives one line of advice."""
    if isinstance(error, OSError) and (why := explained(error)) is not None:
        return _say(why, EXIT_USAGE)
    if isinstance(error, OSError) and error.filename is None and error.errno in OUTPUT_FAILED:
        from harness.cli.signals import discard_output

        discard_output()
        return _say(f"standard output could not be written: {error.strerror}", EXIT_INTERRUPTED)
    if isinstance(error, OSError) and error.filename is not None and error.errno in PATH_REFUSED | OUTPUT_FAILED:
        return _say(f"{error.filename}: {error.strerror}", EXIT_USAGE)
    import traceback

    click.echo(redact(traceback.format_exc()), err=True, nl=False)
    return _say(f"this is a fault of paceline, not yours: {type(error).__name__}: {error}", EXIT_CRASH)


def _keep_secrets(arguments: list[str]) -> None:
    """Keep secrets out of all output: keys from the environment and passwords in URLs."""
    keep(*(os.environ.get(f"PACELINE_{name}_KEY") for name in ("TARGET", "API", "LIVE")))
    keep_from_texts(arguments)


def _say(text: str, code: int) -> int:
    # If stderr is closed, only the exit code reports the error.
    with contextlib.suppress(BrokenPipeError):
        click.echo(f"paceline: {_as_line(redact(text))}", err=True)
    return code


def _as_line(text: str) -> str:
    """One line, whatever the values in it: line breaks and control characters are escaped, and it is bounded."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: LINE_MAX + 1])
    return line if len(line) <= LINE_MAX else line[:LINE_MAX] + "..."


if __name__ == "__main__":
    main()
