"""Shared by a worker's ranges: one gate with this worker's part of the common concurrency, and one pace.

While the last calls of a range are in flight, the next range has begun, so that the worker is never idle between the
two. Both send through the same gate.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from contextvars import ContextVar
from typing import ClassVar

from harness.bulk.fleet.pacer import Pacer
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.shared import GateView
from harness.client.types import Item, Layers, Outcome, Request, Response, Result, Sample, Send, no_layers
from harness.strategies._workers import Workers

_SEEN_MAX = 20_000
_QUEUE_MIN, _QUEUE_MAX = 16, 400
_range_send: ContextVar[Send] = ContextVar("range_send")


class SharePart:
    """This worker's part of the common limit: the coordinator sets its value and gets its samples."""

    def __init__(self, learns: bool, uses_work: bool) -> None:
        self.value = 0
        self.uses_work = uses_work
        self.seen: list[Sample] = []
        self._learns = learns
        # The gate counts changes of its own; this is the count of the common limit.
        self.generation = 0

    def update(self, sample: Sample, /) -> None:
        """Keep a sample for the common limit."""
        if self._learns and len(self.seen) < _SEEN_MAX:
            self.seen.append(sample)


class WorkerGate(ConcurrencyLimit):
    """The gate of a worker; each range sends through it by `Through`."""

    def __init__(self, part: SharePart, pacer: Pacer) -> None:
        super().__init__(_by_range, part, respect_retry_after=True)
        self.part = part
        self.pacer = pacer
        self.peak = self.attempts = self.refused = 0

    def set(self, slots: int, generation: int, others_accepted: bool = False) -> None:
        """A new share of the common concurrency; what the server accepts of others counts as here."""
        if others_accepted:
            self._accepted_at = max(self._accepted_at, self._now())
        self.part.value = slots
        self.resized()
        self.generation = generation

    def pause_s(self) -> float:
        """Seconds for which the server accepts nothing from this worker."""
        now = self._now()
        return max(0.0, self._pause.earliest(now) - now) if self._pause.active else 0.0

    @property
    def short(self) -> bool:
        """Whether calls wait for a slot."""
        return bool(self._line or self._watchers.count) and self.in_flight >= self.part.value

    def count(self, response: Response) -> None:
        """An attempt ended."""
        if response.outcome is not Outcome.not_sent:
            self.attempts += 1
            self.refused += response.outcome is Outcome.rejected


async def _by_range(request: Request, /) -> Response:
    return await _range_send.get()(request)


class Through(GateView):
    """The gate as one range sees it: its attempts are counted by the `send` of that range."""

    def __init__(self, gate: WorkerGate, send: Send, paced: bool) -> None:
        super().__init__(gate)
        self._worker = gate
        self._send = send
        self._paced = paced

    async def __call__(self, request: Request, /) -> Response:
        gate = self._worker
        late = await gate.pacer.turn(request)
        if late is not None:
            return late
        token = _range_send.set(self._counted)
        try:
            response = await gate(request)
        finally:
            _range_send.reset(token)
        gate.count(response)
        if self._paced:
            gate.pacer.settle(request, response)
        return response

    async def _counted(self, request: Request, /) -> Response:
        gate = self._worker
        gate.peak = max(gate.peak, gate.in_flight)
        return await self._send(request)


class SharedStrategy:
    """Streams the items of a range through the gate that all ranges of a worker share."""

    blocking: ClassVar[bool] = False

    def __init__(self, gate: WorkerGate, paced: bool, priority: bool = False, patience: int = 0) -> None:
        self.gate = gate
        self.priority = priority
        self._paced = paced
        self._patience = patience

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        """Results as they complete."""
        gate = self.gate
        queue = max(_QUEUE_MIN, min(_QUEUE_MAX, 2 * gate.part.value))
        call = layers(Through(gate, send, self._paced))
        workers = Workers(call, gate, queue, by_priority=self.priority, patience=self._patience)
        async with aclosing(workers.stream(items)) as results:
            async for result in results:
                yield result
