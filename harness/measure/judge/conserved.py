"""Reasons of a verdict for items and exchanges that do not add up. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.measure.reduce.counting import Evidence
from harness.measure.result import OUTCOME_NAMES, Case


def other_schedule(proof: Evidence) -> str:
    """The text of `schedule`."""
    return (
        f"A process played another load than the planned one (its schedule is {proof.other_schedules[0][:12]}): "
        "options were changed after the plan was written. Run it again."
    )


def conservation(case: Case, proof: Evidence) -> Iterator[tuple[str, str]]:
    """Every item has exactly one outcome, every row was written once, and Locust's totals are those of the rows."""
    counts = case.counts
    total = sum(getattr(counts, name) for name in OUTCOME_NAMES)
    if proof.lost_rows or proof.damaged:
        # Another reason reports this already.
        return
    if total != counts.scheduled:
        yield (
            "conservation",
            (
                f"{counts.scheduled} items were scheduled but {total} have an outcome: every item must have exactly "
                "one. The client or a strategy lost or duplicated some; please report it."
            ),
        )
    if proof.recorded is not None and proof.recorded != proof.rows:
        text = f"The processes wrote {proof.recorded} rows but the files hold {proof.rows}. Were records copied or cut?"
        yield "conservation", text
    if proof.repeated:
        yield "conservation", f"{proof.repeated} items were recorded more than once; a strategy sent them twice."
    if counts.locust_seen is not None and not proof.killed and counts.locust_seen != proof.on_wire:
        text = f"Locust counted {counts.locust_seen} requests, the records hold {proof.on_wire}: one of them lost some."
        text += " Workers on other machines need a directory (--out) that all of them share."
        yield "conservation", text


def server_count(case: Case, proof: Evidence) -> Iterator[tuple[str, str]]:
    """Compare with the server's count: exchanges with a status are certain, those cut or without a status are not."""
    seen = case.counts.server_seen
    if seen is None or proof.killed or proof.lost_rows or proof.damaged:
        return
    least, most = proof.answered, case.counts.attempts + proof.cut
    if not least <= seen <= most:
        wanted = f"{most}" if least == most else f"{least} to {most}"
        fewer = "The server was restarted, or a proxy answers or drops requests"
        more = "Another client uses the server, or a proxy retries requests"
        cause = fewer if seen < least else more
        text = f"The server counted {seen} exchanges, the client made {wanted}. {cause}: measure it alone and directly."
        yield "server_count", text
