"""`paceline process status OUTPUT`: how far a run is, read from its files, also from another terminal or machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from harness.base import units
from harness.cli.command import Command
from harness.cli.process_show import reasons
from harness.cli.streams import check_json_output
from harness.client.redaction import redact

if TYPE_CHECKING:
    from harness.bulk.fleet.fleet_status import RunStatus


@click.command("status", cls=Command)
@click.argument("output", metavar="OUTPUT")
@click.option("--json", "as_json", is_flag=True, help="Write the state as JSON.")
def command(output: str, as_json: bool) -> int:
    """Show how far the run with this OUTPUT is: progress, rate, time left, failures, workers.

    Only its journals are read, so it may run in another terminal, or on another machine that sees the files. The exit
    code is 0, whatever the state.

    \b
    paceline process status out.jsonl
    """
    import msgspec

    from harness.bulk.fleet.fleet_status import status_of
    from harness.bulk.fleet.parts import in_folder, list_in

    check_json_output(as_json)
    found = status_of(list_in(output) if in_folder(output) else output)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for line in described(found):
            click.echo(redact(line))
    return 0


def described(found: RunStatus) -> Iterator[str]:
    """The state in lines of text."""
    from harness.bulk.tally import as_builtins

    of = f" of {'' if found.lines_exact else 'about '}{units.count(found.lines)}" if found.lines else ""
    share = f" ({units.share(min(1.0, found.done / found.lines))})" if found.lines else ""
    yield f"{found.output}: {found.state}, {found.done:,}{of} lines{share}"
    if found.state == "running" and found.ranges:
        left = f", {units.seconds(found.eta_s)} left" if found.eta_s is not None else ""
        yield f"{units.rate(found.rate_per_s)}, {found.in_flight:,} in flight{_limits(found)}{left}"
    elif found.state == "stopped" and found.silent_s is not None:
        what = "it stopped" if found.orderly else "last sign of life"
        yield f"{what} {units.seconds(found.silent_s)} ago; the same command with --resume continues"
    if found.waiting_s:
        yield f"the server takes no connections: waiting for {units.seconds(found.waiting_s)} so far"
    if found.ranges:
        yield "ranges: {cut:,} cut, {done:,} done, {joined:,} in the output".format(**found.ranges)
    if found.counts.dead_lines:
        yield f"dead letters: {found.counts.dead_lines:,}"
        yield from reasons(as_builtins(found.counts))
    for worker in found.workers:
        yield _worker(worker)
    if found.lost:
        yield f"workers that were lost: {', '.join(found.lost)}"


def _limits(found: RunStatus) -> str:
    parts = [f", limit {found.limit}"] if found.limit is not None else []
    if found.rate_factor < 1:
        parts.append(f", rate limit at {units.share(found.rate_factor)} because of refusals")
    if found.paused_s:
        parts.append(f", paused for {units.seconds(found.paused_s)} by the server")
    return "".join(parts)


def _worker(worker: dict[str, Any]) -> str:
    where = ", ".join(f"range {number} (epoch {epoch})" for number, epoch in worker["ranges"]) or "idle"
    slow = "  slower than the others, or silent" if worker["straggler"] else ""
    return (
        f"  {worker['worker']} on {worker['host']} (process {worker['pid']}): {where}, {worker['lines']:,} lines, "
        f"{units.rate(worker['rate_per_s'])}, {worker['in_flight']} in flight{slow}"
    )
