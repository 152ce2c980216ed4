"""Uses the server's own job queue: items are submitted as jobs, which are polled until they are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import at_least, between
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.jobs import PATH, JobSend, Polling
from harness.client.limits.fixed import Fixed
from harness.client.types import Item, Layers, Result, Send, no_layers
from harness.strategies._workers import Workers


@dataclass(frozen=True)
class Jobs:
    """Submit items as jobs (`/v1/jobs`), poll with backoff, collect; survives a crash of the server's workers.

    Args:
        size: Upper bound of items in a job. Default 100.
        jobs: Jobs at the server at a time. Default 4.
        poll_s: Seconds before the first poll; the wait grows by half each time. Default 0.02.
        poll_max_s: Upper bound of the seconds between two polls. Default 1.0.
    """

    size: int = 100
    jobs: int = 4
    poll_s: float = 0.02
    poll_max_s: float = 1.0
    blocking: ClassVar[bool] = False
    needs_route: ClassVar[str] = PATH
    needs_real_time: ClassVar[str] = "a simulated server has no job queue; use a strategy that sends requests"

    def __post_init__(self) -> None:
        between(self, 1, 20_000, "size")
        between(self, 1, 1000, "jobs")
        between(self, 1e-3, 3600, "poll_s")
        at_least(self, self.poll_s, "poll_max_s")

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        in_flight = self.size * self.jobs
        carried = JobSend(send, size=self.size, jobs=self.jobs, polling=Polling(self.poll_s, self.poll_max_s))
        gate = ConcurrencyLimit(carried, Fixed(in_flight))
        workers = Workers(layers(gate), gate, in_flight)
        try:
            async with aclosing(workers.stream(items)) as results:
                async for result in results:
                    yield result
        finally:
            await asyncio.shield(carried.aclose())
