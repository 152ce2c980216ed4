"""The reason of a verdict for client processes that were killed: which, when, and what went with them. Pure."""

from __future__ import annotations

from harness.base import units
from harness.measure.lost_result import LostProcess
from harness.measure.reduce.counting import Evidence
from harness.measure.result import Case

NAMED_MAX = 3


def killed(case: Case, proof: Evidence) -> str:
    """The text of `partial` for a case whose client process ended without its final record."""
    ended = f" (exit code {proof.exit_codes[0]})" if proof.exit_codes else ""
    lost = case.lost
    if lost is None or not lost.processes:
        return f"A client process ended without its final record{ended}; earlier records are used. Run it again."
    named = [_process(one, lost.planned, case.repeats) for one in lost.processes[:NAMED_MAX]]
    more = len(lost.processes) - len(named)
    said = "; ".join(named) + (f"; and {more} more" if more else "")
    server = f" The server counted {_exchanges(lost.exchanges)} that no record holds." if lost.exchanges else ""
    counts = case.counts
    return (
        f"Killed or crashed{ended}: {said}.{server} Of {counts.scheduled} items, {counts.unfinished} were under way "
        f"and have no outcome, and {counts.not_sent} were never sent. The figures are of the records that are left. "
        "See the client's log, and run it again."
    )


def _process(lost: LostProcess, planned: int, repeats: int) -> str:
    """`client process p1 of 2 at 1.3 s, with 85 requests recorded and 20 in flight`; its files are named `*.p1.*`."""
    which = f"client process p{lost.process} of {planned}" if planned > 1 else "the client process"
    which += f" in repeat {lost.repeat}" if repeats > 1 else ""
    if lost.last_seen_s is None:
        return f"{which}, which left no record"
    when = units.seconds(max(lost.last_seen_s, 0.0))
    return f"{which} at {when}, with {lost.recorded} requests recorded and {lost.in_flight} in flight"


def _exchanges(number: int) -> str:
    return "1 exchange" if number == 1 else f"{number} exchanges"
