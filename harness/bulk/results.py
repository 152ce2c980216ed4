"""Settles results: each goes to the output or the dead-letter file, or its item is sent again.

After a stop only answers count: failures may be caused by the stop, so those lines remain to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.base import units
from harness.bulk import tally
from harness.bulk.intake import Intake
from harness.bulk.row_items import DeadLetterReason, Rows, Ticket
from harness.bulk.saving import Store
from harness.bulk.server_watch import ServerWatch
from harness.bulk.settings import ProcessSettings
from harness.bulk.tally import DeadLetterShare, RowCounts
from harness.client.types import Outcome, Result

Tell = Callable[[str, dict[str, Any]], None]
"""Gets events: `begin`, `status` twice a second, `waiting` for a server, `stopping`, `note`."""


class Results:
    """Saves and counts the results of a session; calls `stop` if too many of them are dead letters."""

    def __init__(
        self,
        settings: ProcessSettings,
        rows: Rows,
        store: Store,
        counts: RowCounts,
        server: ServerWatch,
        tell: Tell,
        stop: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._store = store
        self._counts = counts
        self._server = server
        self._tell = tell
        self._stop = stop
        self._share = DeadLetterShare(settings.errors_max, settings.errors_least)
        # Also true after the note that the strategy ignores priorities.
        self._priority_settled = rows.priorities

    def settle(self, intake: Intake, result: Result) -> None:
        """Save a result and release its line. The first result of a line is kept."""
        line = result.item.index
        if (ticket := intake.out.get(line)) is None:
            return
        text, result = self._rows.written(ticket, result)
        outcome, response = result.response.outcome, result.response
        if outcome is Outcome.ok:
            if not response.from_cache:
                self._server.answered()
            self._store.ok(line, text)
            self._counts.ok += 1
            self._counts.from_cache += response.from_cache
            self._share.add(False)
        elif intake.stopped:
            return
        elif outcome is Outcome.connection_error and self._server.comes_again(ticket, response.error):
            intake.send_again(result.item)
            return
        else:
            if outcome not in {Outcome.connection_error, Outcome.not_sent}:
                self._server.answered()
            reason = DeadLetterReason(outcome.name, ticket.origin, response.status, response.error, ticket.place)
            self._dead(ticket, text, reason)
        if result.item.priority and not self._priority_settled:
            self._priority_settled = True
            self._tell("note", {"text": f"{self._settings.strategy} ignores priorities; use -s priority"})
        intake.settled(line)

    def bad(self, ticket: Ticket, why: str) -> None:
        """Save a malformed line."""
        self._dead(
            ticket,
            self._rows.bad_line(ticket, why),
            DeadLetterReason(ticket.bad, ticket.origin, error=why, place=ticket.place),
        )

    def blank(self) -> None:
        """Count a blank line."""
        self._counts.blank += 1

    def left_out(self) -> None:
        """Count a row that --where leaves out."""
        self._counts.left_out += 1

    def _dead(self, ticket: Ticket, text: bytes, reason: DeadLetterReason) -> None:
        self._store.dead(ticket.line, text)
        tally.add_dead(self._counts, reason)
        share = self._share
        share.add(True)
        if share.exceeded:
            bound = f"{units.percent(self._settings.errors_max)} (--errors-max)"
            said = f"{share.dead} of the last {share.lines} lines are dead letters, more than {bound}"
            self._stop("errors", said)
