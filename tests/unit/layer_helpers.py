"""What the tests of layers share: requests, and inner sends that are scripted in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from harness.client.cancellation import attach
from harness.client.tasks.annotate import Annotate
from harness.client.tasks.embed import Embed
from harness.client.types import Item, Outcome, Request, Response
from tests.virtual_time import virtually

__all__ = ["ANNOTATE", "EMBED", "Server", "ask", "embed", "virtually"]

ANNOTATE = Annotate()
EMBED = Embed()


def ask(text: str = "hello", index: int = 0, **fields: Any) -> Request:
    """A request to annotate a text."""
    made = ANNOTATE.request((Item(index, text, ANNOTATE),))
    return Request(made.items, made.task, made.path, made.body, **fields)


def embed(*texts: str) -> Request:
    """A request of several items."""
    return EMBED.request([Item(index, text, EMBED) for index, text in enumerate(texts)])


class Server:
    """An inner send as a transport behaves: stamps, progress, cancellation, deadline; `seen` counts exchanges.

    `takes(n)` is the time of exchange n (from 0), `becomes(n)` its outcome.
    """

    def __init__(
        self,
        takes: Callable[[int], float] = lambda n: 0.1,
        becomes: Callable[[int], Outcome] = lambda n: Outcome.ok,
        answer: Callable[[Request], tuple[Any, ...]] | None = None,
        first_byte: float = 1.0,  # share of the time after which the answer begins
        headers: Callable[[int], dict[str, str]] | None = None,
    ) -> None:
        self.seen = 0
        self.cancelled = 0
        self.starts: list[float] = []
        self.requests: list[Request] = []
        self._takes, self._becomes, self._answer = takes, becomes, answer or _echo
        self._first_byte, self._headers = first_byte, headers

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        number, self.seen = self.seen, self.seen + 1
        sent = loop.time()
        self.starts.append(sent)
        self.requests.append(request)
        response = Response(Outcome.ok, 200, sent=sent)
        if request.progress is not None:
            request.progress.sent = sent
        took = self._takes(number)
        try:
            await asyncio.sleep(min(took * self._first_byte, max(0.0, request.deadline - sent)))
            response.first_byte = loop.time()
            if request.progress is not None:
                request.progress.first_byte = response.first_byte
            await asyncio.sleep(max(0.0, min(took * (1 - self._first_byte), request.deadline - loop.time())))
        except asyncio.CancelledError as error:
            self.cancelled += 1
            response.outcome = Outcome.cancelled
            attach(error, response)
            raise
        response.done = loop.time()
        response.outcome = Outcome.timed_out if sent + took > request.deadline else self._becomes(number)
        response.headers = self._headers(number) if self._headers else None
        if response.outcome is Outcome.ok:
            response.answers = self._answer(request)
        else:
            response.status = 503 if response.outcome is Outcome.rejected else 500
        return response


def _echo(request: Request) -> tuple[Any, ...]:
    return tuple(f"re: {item.data}" for item in request.items)


def exchanges(response: Response) -> int:
    """How many exchanges a response is charged with."""
    return len(response.previous) + (not math.isnan(response.sent))
