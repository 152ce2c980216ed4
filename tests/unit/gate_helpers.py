"""What the tests of the gate share: a limit with a rate, a server that says when to come again, and a crowd."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.types import Outcome, Request, Response, Sample
from tests.unit.layer_helpers import Server, ask


class Paced:
    """A limit with a rate, changed by the test."""

    def __init__(self, value: int = 100, rate_per_s: float = math.inf) -> None:
        self.value = value
        self.rate_per_s = rate_per_s

    def update(self, sample: Sample, /) -> None:
        """The test decides."""


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def ask_now(gate: ConcurrencyLimit, count: int, **fields: Any) -> list[asyncio.Task[Response]]:
    return [asyncio.create_task(gate(ask(str(n), n, **fields))) for n in range(count)]


class Hinting(Server):
    """The same, and `hint(n)` is the Retry-After of exchange n if that is refused."""

    def __init__(
        self,
        takes: Callable[[int], float] = lambda n: 0.1,
        becomes: Callable[[int], Outcome] = lambda n: Outcome.ok,
        hint: Callable[[int], float | None] = lambda n: None,
        headers: Callable[[int], dict[str, str]] | None = None,
    ) -> None:
        super().__init__(takes, becomes, headers=headers)
        self._hint = hint

    async def __call__(self, request: Request, /) -> Response:
        number = self.seen
        response = await super().__call__(request)
        if response.outcome is Outcome.rejected:
            response.retry_after_s = self._hint(number)
        return response
