"""`paceline verify`: how well a fitted profile plays its server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import Command, options_of
from harness.cli.streams import check_json_output, write_output
from harness.client.errors import UsageError
from harness.client.transport.connection_settings import ConnectionSettings
from harness.experiment.run_directory import deletions_named
from harness.fitting.verifier import NotVerified, Verified, VerifySettings, verify

EXIT_CODES = {"supported": 0, "refuted": 1, "not established": 5, "bounded below": 5}


@click.command("verify", cls=Command)
@options_of(VerifySettings, ConnectionSettings)
@click.option("--json", "as_json", is_flag=True, help="Write the verification as JSON to stdout.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(as_json: bool, quiet: bool, **options: Any) -> int:
    """Measure how well a fitted profile plays its server, on loads that the fit has not seen.

    Poisson arrivals at 0.3, 0.6 and 0.8 of the capacity, another mix of lengths, arrivals that go on and off, and a
    burst where the profile has a bound are played on the server and on a mock, with the same schedules, in
    alternation. Each error stands beside the server's own noise. The profile gets the errors as its proof. Exit codes:
    0 supported, 1 refuted, 5 not established, or the server fails, or the profile is too slow for any load.

    \b
    paceline verify --server my-server.toml --target http://127.0.0.1:8000
    paceline verify --server my-server.toml --against fill-mask     # an embedded mock in place of the server
    """
    from harness.cli.progress import numbered
    from harness.cli.signals import reader_may_leave, stopped_as_by_ctrl_c

    check_json_output(as_json)
    wanted = filled(VerifySettings, options)
    say = numbered("verify", quiet)
    try:
        with stopped_as_by_ctrl_c():
            found = verify(wanted, say)
    except NotVerified as reason:
        click.echo(f"paceline: the profile cannot be verified, and nothing is written: {reason}", err=True)
        return EXIT_CODES["not established"]
    with reader_may_leave(), deletions_named(found.directory):
        _show(found, wanted, as_json)
    return EXIT_CODES[found.result.status]


def _show(found: Verified, wanted: VerifySettings, as_json: bool) -> None:
    """Write the files, and show the table and the verdict."""
    from harness.base.files import write_atomically
    from harness.measure.verification_result import encode
    from reports.verification import HEADS, table, write

    data = encode(found.result)
    write_atomically(found.directory / "verification.json", data)
    written = write(found.result, found.directory)
    if found.result.partial:
        click.echo("paceline: interrupted, so no proof is written", err=True)
    elif found.failed:
        loads = ", ".join(found.failed)
        click.echo(f"paceline: no proof is written, because requests failed under: {loads}", err=True)
    elif wanted.save and found.profile.proof and Path(wanted.server).suffix == ".toml":
        _save(found, Path(wanted.server))
    if as_json:
        write_output(data)
        return
    rows = [list(HEADS), *table(found.result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in found.result.invalid:
        click.echo(f"not valid: {line}")
    click.echo(f"{found.result.status}: {found.result.text}")
    click.echo(f"report: {', '.join(map(str, written))}", err=True)


def _save(found: Verified, path: Path) -> None:
    """Write the proof into the profile. The verdict counts also if the file cannot be written."""
    from harness.fitting.proof_file import proven, save

    try:
        save(proven(found.profile, found.result), path)
    except UsageError as error:
        click.echo(f"paceline: no proof is written: {error}", err=True)
