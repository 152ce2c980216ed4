"""`paceline fit`: a profile of the mock that plays a real server."""

from __future__ import annotations

from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import Command, options_of
from harness.cli.streams import check_json_output, write_output
from harness.client.transport.connection_settings import ConnectionSettings
from harness.fitting.fitted_parameters import NotFitted
from harness.fitting.fitter import FitSettings, Fitted, fit_server


@click.command("fit", cls=Command)
@options_of(FitSettings, ConnectionSettings)
@click.option("--json", "as_json", is_flag=True, help="Write parameters and errors as JSON to stdout.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(as_json: bool, quiet: bool, **options: Any) -> int:
    """Fit a profile of the mock to a real server, in at most five minutes, or the time of --time.

    The server gets loads of known sizes over HTTP; its workers, batches, service times and bounds are worked out from
    the answers. `paceline verify` measures how well the profile plays the server. Exit codes: 0 written, 5 the server
    cannot be fitted.

    \b
    paceline fit --target http://127.0.0.1:8000 --task similarity --out my-server.toml
    paceline fit --server fill-mask --out my-server.toml --time 60s     # try the method on a mock
    """
    from harness.cli.progress import numbered
    from harness.cli.signals import stopped_as_by_ctrl_c

    check_json_output(as_json)
    wanted = filled(FitSettings, options)
    say = numbered("fit", quiet)
    try:
        with stopped_as_by_ctrl_c():
            found = fit_server(wanted, say)
    except NotFitted as reason:
        return _refused(str(reason))
    return _end(found, wanted, as_json)


def _end(found: Fitted, wanted: FitSettings, as_json: bool) -> int:
    """Write the profile, or say why there is none."""
    from harness.fitting.fit_words import as_data, table
    from harness.fitting.profile_file import write
    from harness.fitting.suitability import unmeasured

    if as_json:
        import msgspec

        write_output(msgspec.json.format(msgspec.json.encode(as_data(found)), indent=2) + b"\n")
    else:
        click.echo(table(found))
    if found.refused:
        return _refused("; ".join(found.refused))
    write(found.profile, wanted.out)
    for why in unmeasured(found.calibration):
        click.echo(f"paceline: {why}", err=True)
    click.echo(f"written: {wanted.out}; measure it: {_verify(wanted)}", err=True)
    return 0


def _refused(why: str) -> int:
    click.echo(f"paceline: the server cannot be fitted, and nothing is written: {why}", err=True)
    return 5


def _verify(wanted: FitSettings) -> str:
    server = f"--target {wanted.target}" if wanted.target else f"--against {wanted.server}"
    return f"paceline verify --server {wanted.out} {server}"
