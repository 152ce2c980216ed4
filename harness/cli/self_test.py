"""`paceline self-test`: what this machine and this client can do, and how true its times are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.base.options import filled
from harness.cli.command import Command, options_of
from harness.cli.streams import check_json_output, write_output
from harness.experiment.self_test import SelfTestSettings, self_test

if TYPE_CHECKING:
    from harness.measure.self_test_result import SelfTest


@click.command("self-test", cls=Command)
@options_of(SelfTestSettings)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(as_json: bool, quiet: bool, **options: Any) -> int:
    """Measure this machine and this client against servers of known times, in about forty seconds.

    The last line is the verdict. The figures are kept in ~/.local/state/paceline/self-test, by machine and version, and
    later runs are compared with them. Exit codes: 0 fit, 4 not fit.

    \b
    paceline self-test
    paceline self-test --full        # and the table of docs/measuring.md
    paceline self-test --json
    """
    from harness.cli.signals import reader_may_leave, stopped_as_by_ctrl_c

    check_json_output(as_json)

    def progress(number: int, steps: int, name: str) -> None:
        if not quiet:
            click.echo(f"self-test {number}/{steps}: {name}", err=True)

    with stopped_as_by_ctrl_c():
        found = self_test(progress, filled(SelfTestSettings, options))
    _keep(found)
    with reader_may_leave():
        if as_json:
            from harness.measure import json_files

            write_output(json_files.encode(found))
        else:
            show(found)
    return 0 if found.fit else 4


def _keep(found: SelfTest) -> None:
    """Store the figures for later runs. Without a place for them the self-test is shown all the same."""
    from harness.measure.record.self_test_file import store

    try:
        path = store(found)
    except OSError as error:
        click.echo(f"paceline: {error.filename}: not kept: {error.strerror or error}", err=True)
    else:
        click.echo("paceline: not kept: there is no home directory" if path is None else f"kept: {path}", err=True)


def show(found: SelfTest) -> None:
    """The figures, the table of a full self-test, every reason, and the verdict on this machine."""
    from harness.measure.judge.self_test_words import advice, markdown, rows

    shown = list(rows(found))
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")
    if found.table:
        click.echo("\nError of p50 and p99, measured minus injected (in brackets: the mean injected time):\n")
        click.echo(f"{markdown(found.table)}\n")
    for reason in found.reasons:
        # A verdict may be one of them.
        if reason not in found.text:
            click.echo(f"- {reason}")
    click.echo(f"This machine is {found.text}.")
    if not found.fit:
        click.echo(advice(found))
