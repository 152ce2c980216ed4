"""`paceline export RUN`: every recorded request of a run as one table."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from harness.cli.command import Command
from harness.client.errors import UsageError

if TYPE_CHECKING:
    from harness.measure.reduce.request_table import Table

EXIT_DAMAGED = 4


@click.command("export", cls=Command)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", help="[default: parquet]")
@click.option("--output", metavar="FILE|-", help="Write here, or to stdout [default: requests.FORMAT in the run].")
def command(directory: Path, form: str, output: str | None) -> int:
    """Write every request of a run into one table: instants, latency and its parts, outcome.

    It reads the records in constant memory, also of a run that was interrupted. `paceline report --format csv`
    writes the figures of each repeat instead. Exit codes: 0 done, 4 records are damaged (the sound rows are written).

    \b
    paceline export runs/x
    paceline export runs/x --format csv --output requests.csv
    """
    from harness.cli.signals import reader_may_leave
    from harness.measure.record.plan import PLAN_FILE, read_plan
    from harness.measure.reduce.request_table import Table

    if not (directory / PLAN_FILE).is_file():
        raise UsageError(f"{directory}: not a run directory (it has no {PLAN_FILE})")
    cases = read_plan(directory).cases
    names = [case.name for case in cases]
    table = Table(directory, names, {case.name for case in cases if case.is_sessions})
    if output == "-":
        with reader_may_leave():
            _write(table, form, _stdout(form))
    else:
        path = Path(output) if output else directory / f"requests.{form}"
        rows = _to_file(table, form, path)
        click.echo(f"{rows:,} requests: {path}")
    defects = [*table.damaged, *_unreadable(directory, names)]
    for line in defects:
        click.echo(f"paceline: left out: {line}", err=True)
    return EXIT_DAMAGED if defects else 0


def _unreadable(directory: Path, names: list[str]) -> list[str]:
    """Files whose header is damaged; one that is only incomplete has no rows."""
    from harness.measure.record.files import unreadable

    return [line for name in names for line in unreadable(directory, name)[1]]


def _stdout(form: str) -> BinaryIO:
    if sys.stdout is None:
        raise UsageError("--output - writes to standard output, which is closed")
    if form == "parquet" and sys.stdout.isatty():
        raise UsageError("--output -: parquet is binary; give a file, or redirect the output")
    return sys.stdout.buffer


def _to_file(table: Table, form: str, path: Path) -> int:
    """Into a file that appears whole, or not at all."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as out:
            rows = _write(table, form, out)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return rows


def _write(table: Table, form: str, out: BinaryIO) -> int:
    from reports.request_table import write_csv, write_parquet

    if form == "parquet":
        return write_parquet(table.blocks(), out)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        return write_csv(table.blocks(), text)
    finally:
        # Closing it would close the stream below.
        text.detach()
