"""The state of one client application while its trial is played."""

from __future__ import annotations

import asyncio
import math

from harness.base.clock import clock
from harness.client.protocols import Gate
from harness.client.types import Outcome, Response
from harness.load.feed import Feed
from harness.load.sessions.session_feed import SessionFeed
from harness.load.timer import Alarm
from harness.load.workloads.jsonl import Jsonl


class ClientApplication:
    """One client application: its feed, its task, and the concurrency limit that its strategy built, if any."""

    def __init__(self, slot: int, slots: int) -> None:
        self.slot = slot
        self.slots = slots
        self.feed: Feed | SessionFeed | None = None
        # Its own reader of the input file.
        self.jsonl: Jsonl | None = None
        self.gate: Gate | None = None
        self.task: asyncio.Task[None] | None = None
        # Wakes its feed when an item is due.
        self.alarm: Alarm | None = None
        # Its transport is open and it waits for the load to begin.
        self.ready = False
        # Its share is done, or it was stopped and drained.
        self.ended = False
        # Its share is done without a stop.
        self.complete = False
        # Instant after a stop from which nothing more is sent.
        self.closes = math.inf


async def not_sent() -> Response:
    """The response to a request that the strategy would send after the stop."""
    return Response(Outcome.not_sent, done=clock()(), error="the run was stopped")
