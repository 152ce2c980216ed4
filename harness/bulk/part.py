"""The parts of a worker's run of one range."""

from __future__ import annotations

from dataclasses import dataclass

from harness.bulk.leases.range import Range
from harness.bulk.server_watch import Alive
from harness.client.types import Send, Strategy
from harness.load.rows import RowReader


@dataclass(frozen=True)
class Part:
    """Given by a worker to the run of one range: connection and strategy outlive it."""

    range: Range
    send: Send
    alive: Alive | None
    # Identity of the server, for layers that keep answers.
    server: str
    strategy: Strategy
    reader: RowReader
