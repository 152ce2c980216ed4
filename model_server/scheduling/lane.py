"""Admission of generations: a bound on running sequences and a bounded first-in, first-out queue.

A sequence leaves the queue immediately when its deadline passes or its client disconnects.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from harness.base.clock import Clock
from model_server.errors import full
from model_server.scheduling.admission import UNKNOWN_WAIT_S, DrainRate
from model_server.work import Engine, Sequence


class Lane:
    """Starts sequences on an engine when slots become free; `running_max` = 0 means no bound."""

    def __init__(self, engine: Engine, *, running_max: int, queue_max: int, clock: Clock) -> None:
        self.engine = engine
        self.running_max = running_max
        self.queue_max = queue_max
        self.clock = clock
        self.running = 0
        self.rate = DrainRate()
        self._queue: OrderedDict[Sequence, asyncio.TimerHandle | None] = OrderedDict()  # with their expiries

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def check_room(self, count: int) -> None:
        """Raises `ApiError` 503 if there is no room for `count` more sequences."""
        waiting = len(self._queue)
        if self.running_max and self.running + waiting + count > self.running_max + self.queue_max:
            message = f"the queue is full ({waiting} of {self.queue_max} sequences)"
            raise full(message, self.rate.wait_s(max(1, waiting), self.running_max) or UNKNOWN_WAIT_S)

    def submit(self, sequence: Sequence) -> None:
        """Start or queue a sequence; raises `ApiError` 503 if the queue is full."""
        self.check_room(1)
        sequence.on_end = self._ended
        if not self.running_max or self.running < self.running_max:
            self._start(sequence)
        else:
            self._queue[sequence] = self._expiry(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """End a sequence whose client has disconnected: in the queue immediately, else at its next token."""
        sequence.cancelled = True
        if sequence.started != sequence.started:  # NaN: never started
            self._leave(sequence)
            sequence.finish("cancelled", self.clock())

    def _expiry(self, sequence: Sequence) -> asyncio.TimerHandle | None:
        if sequence.deadline == math.inf:
            return None
        return asyncio.get_running_loop().call_at(sequence.deadline, self._expire, sequence)

    def _expire(self, sequence: Sequence) -> None:
        self._leave(sequence)
        sequence.finish("expired", self.clock())

    def _leave(self, sequence: Sequence) -> None:
        expiry = self._queue.pop(sequence, None)
        if expiry is not None:
            expiry.cancel()

    def _start(self, sequence: Sequence) -> None:
        self.running += 1
        sequence.started = sequence.arrived if sequence.started != sequence.started else sequence.started
        self.engine.generate(sequence)

    def _ended(self, sequence: Sequence) -> None:
        if sequence.started != sequence.started:
            # It was dropped from the queue and had no slot.
            return
        self.running -= 1
        self.rate.add(1, sequence.ended - sequence.started)
        while self._queue and self.running < self.running_max:
            following = next(iter(self._queue))
            self._leave(following)
            if following.deadline < self.clock():
                following.finish("expired", self.clock())
                continue
            following.started = sequence.ended
            self._start(following)
