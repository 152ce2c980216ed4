"""`paceline self-test`: what this machine and this client can do, and how true its times are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from harness.cli.command import Command

if TYPE_CHECKING:
    from harness.measure.judge.self_test import SelfTest


@click.command("self-test", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as JSON.")
def command(as_json: bool) -> int:
    """Measure this machine and this client against servers of known times, in less than 40 seconds.

    The figures are kept in ~/.local/state/paceline/self-test.json. Exit codes: 0 fit, 4 not fit.

    \b
    paceline self-test
    paceline self-test --json
    """
    import msgspec

    from harness.experiment.self_test import self_test, state_file, store

    found = self_test(lambda step: click.echo(f"self-test: {step}", err=True))
    try:
        store(found, state_file())
    except OSError as error:
        click.echo(f"paceline: {state_file()}: not kept: {error.strerror or error}", err=True)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        sys.stdout.flush()
    else:
        show(found)
    return 0 if found.fit else 4


def show(found: SelfTest) -> None:
    """The table, and the verdict on this machine."""
    from harness.base import units

    rows = [("ceiling, " + name, units.rate(rate)) for name, rate in found.ceilings_per_s.items()]
    for law in found.laws:
        for name, error, limit in law.errors_s:
            rows.append((f"{law.name}, error of {name}", f"{units.seconds(abs(error))} (limit {units.seconds(limit)})"))
    rows.append(("sleep too late, p50", units.seconds(found.sleep_late_p50_s)))
    rows.append(("sleep too late, p99", units.seconds(found.sleep_late_p99_s)))
    if found.loop_lag_p50_s is not None:
        rows.append(("event-loop lag, p50", units.seconds(found.loop_lag_p50_s)))
    if found.run_queue_share is not None:
        rows.append(("waited for a processor", units.share(found.run_queue_share)))
    for name, value in rows:
        click.echo(f"{name:<36} {value}")
    click.echo(f"This machine is {found.text}")
