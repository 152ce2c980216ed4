"""`paceline runs FOLDER`: the runs of a folder as a table, as JSON, or as a page with the trend of each case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.command import Command
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.measure.run_list_result import RunList


@click.command("runs", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["run", "sweep", "capacity", "gate"]),
    help="List these kinds only; repeatable [default: all].",
)
@click.option("--case", "case", metavar="TEXT", help="List only cases whose name contains this text, and their runs.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Write the list and the trends as JSON.")
def command(folder: Path, kinds: tuple[str, ...], case: str | None, page: Path | None, as_json: bool) -> int:
    """List the runs of a folder, the newest first, and the trend of each case over time.

    FOLDER [default: runs] holds run directories. Only their result.json and gate.json are read, and nothing is
    computed again. A directory that cannot be listed is named with the reason. The exit code is 0, whatever the runs
    found.

    \b
    paceline runs
    paceline runs runs/nightly --kind gate --case adaptive
    paceline runs --html runs/index.html
    """
    from harness.cli.runs_show import show
    from harness.cli.signals import reader_may_leave
    from harness.measure.judge.run_list import listed
    from harness.measure.reduce.run_list import read_folder
    from harness.measure.run_list_result import encode

    check_json_output(as_json)
    read, left = read_folder(folder)
    found = listed(str(folder), read, left, kinds, case)
    if page is not None:
        _write(found, folder, page)
    with reader_may_leave():
        if as_json:
            write_output(encode(found))
        else:
            show(found, page)
    return 0


def _write(found: RunList, folder: Path, page: Path) -> None:
    from harness.base.files import write_atomically
    from reports.run_list import render

    try:
        write_atomically(page, render(found, folder, page.parent).encode())
    except OSError as error:
        raise UsageError(f"--html {page}: {error.strerror or error}") from error
