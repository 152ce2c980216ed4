"""`paceline diff BEFORE AFTER`: two finished runs, what changed, and whether it is more than noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.base.quantity import SHARE_HELP, share
from harness.cli.command import Command, Quantity
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.measure.diff_result import Diff

RUN = click.Path(path_type=Path)
DIFF_FILE = "diff.json"


@click.command("diff", cls=Command)
@click.argument("before", type=RUN)
@click.argument("after", type=RUN)
@click.option(
    "--limit",
    type=Quantity("share", share, SHARE_HELP),
    default=0.0,
    help="Changes up to this one do not count, such as 5% [default: any change beyond noise counts].",
)
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="NAME",
    help="Figure to judge, such as completed or p99; repeatable [default: those that fit the load].",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write report.html, report.md and diff.json here."
)
@click.option("--overwrite", is_flag=True, help="Replace a diff that is in the directory already.")
@click.option("--force", is_flag=True, help="Compare runs of another load, task or schedule, too.")
@click.option("--markdown", is_flag=True, help="Write the report as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Write the comparison as JSON.")
def command(
    before: Path, after: Path, limit: float, figures: tuple[str, ...], force: bool, markdown: bool, as_json: bool,
    out: Path | None, overwrite: bool,
) -> int:  # fmt: skip
    """Compare two finished runs: what changed, by how much, and whether that is more than noise.

    BEFORE and AFTER are run directories or result.json files. Cases are matched by name. Exit codes: 0 nothing is
    worse, 1 something is worse, 2 the runs cannot be compared, 4 a measurement is invalid, 5 not enough repeats.

    \b
    paceline diff runs/yesterday runs/today
    paceline diff runs/yesterday runs/today --limit 5% --figure completed --markdown
    paceline diff runs/yesterday runs/today --out runs/diff
    """
    from harness.cli.diff_show import show
    from harness.cli.signals import reader_may_leave
    from harness.measure.diff_result import encode
    from harness.measure.judge.compared_figures import named
    from harness.measure.judge.diff import EXIT_CODES, diff
    from harness.measure.reduce.finished import read_finished
    from reports.diff import markdown as as_markdown

    if markdown and as_json:
        raise UsageError("--markdown and --json exclude each other: standard output takes one of them")
    check_json_output(as_json)
    _check_free(out, overwrite)
    found = diff(read_finished(before), read_finished(after), named(figures) or None, limit)
    if found.obstacles and not force:
        raise UsageError(_refusal(found, before, after))
    written = [] if out is None else _write(found, out)
    with reader_may_leave():
        if as_json:
            write_output(encode(found))
        elif markdown:
            click.echo(as_markdown(found), nl=False)
        else:
            show(found, written)
    return EXIT_CODES[found.status]


def _check_free(out: Path | None, overwrite: bool) -> None:
    if out is not None and (out / DIFF_FILE).exists() and not overwrite:
        raise UsageError(f"--out {out}: holds a diff already; choose another directory or add --overwrite")


def _write(found: Diff, out: Path) -> list[Path]:
    from harness.base.files import write_atomically
    from harness.measure.diff_result import encode
    from reports.diff import write

    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / DIFF_FILE, encode(found))
        return write(found, out)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from error


def _refusal(found: Diff, before: Path, after: Path) -> str:
    first, more = found.obstacles[0], len(found.obstacles) - 1
    others = f" (and {more} more such differences)" if more else ""
    return (
        f"{before} and {after} cannot be compared: {first.label} is {first.before} in the first "
        f"and {first.after} in the second{others}. Add --force to compare them nevertheless"
    )
