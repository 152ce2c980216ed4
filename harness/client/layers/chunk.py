"""Splits long texts into chunks, and joins the answers.

Rules of this file
  1. Each piece passes the inner layers on its own: it is retried, limited and counted alone.
  2. The answer is ok only if the answers to all pieces are. After a failure the unsent pieces are dropped.
  3. Every exchange is counted: those of the other pieces are in the response's `previous`, in order of time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import ClassVar

from harness.client.answers import Answers, summed, usage_of
from harness.client.cancellation import attach, partial_of
from harness.client.checks import between
from harness.client.figures import Ratio
from harness.client.text.chunks import chunks
from harness.client.text.request_text import can_join, joined, text_of, with_text
from harness.client.text.tokens import estimate_tokens
from harness.client.types import Attempt, Outcome, Request, Response, Send


class Chunk:
    """Texts of more than `tokens` are cut at sentence ends; pieces go `parallel` at once, answers are joined.

    Args:
        inner: Sends one piece.
        tokens: Upper bound of tokens in a piece. Default 512.
        parallel: Pieces of one text in flight at a time. Default 4.
        join: Text between the answers of two pieces. Default "".
        count: Counts the tokens of a text. Default estimate_tokens: 4 letters or 1 Chinese character a token.
    """

    place: ClassVar[int] = 50
    ratios: ClassVar[tuple[Ratio, ...]] = (Ratio("pieces_per_text", "pieces", ("texts",)),)

    def __init__(
        self,
        inner: Send,
        tokens: int = 512,
        parallel: int = 4,
        join: str = "",
        count: Callable[[str], int] = estimate_tokens,
    ) -> None:
        self.tokens, self.parallel = tokens, parallel
        between(self, 1, 10_000_000, "tokens")
        between(self, 1, 10_000, "parallel")
        self._inner = inner
        self._join = join
        self._count = count
        self.texts = 0  # that were cut
        self.pieces = 0  # that were handed on
        self.failed = 0  # texts of which a piece failed

    async def __call__(self, request: Request, /) -> Response:
        text = text_of(request) if can_join(request) else None
        if text is None or len(pieces := chunks(text, self.tokens, self._count)) == 1:
            return await self._inner(request)
        cut = _Pieces(self._inner, [with_text(request, piece) for piece in pieces], self._join)
        self.texts += 1
        try:
            response = await cut.run(self.parallel)
        finally:
            self.pieces += cut.started
        self.failed += response.outcome is not Outcome.ok
        return response

    def figures(self) -> dict[str, int]:
        """Texts that were cut, their pieces, and texts of which a piece failed."""
        return {"texts": self.texts, "pieces": self.pieces, "failed": self.failed}


class _Pieces:
    """The pieces of one request in flight."""

    def __init__(self, inner: Send, requests: list[Request], join: str) -> None:
        self._inner = inner
        self._requests = requests
        self._join = join
        self._responses: list[Response | None] = [None] * len(requests)
        self._failed: Response | None = None
        self._partial: list[Response] = []  # of pieces that were cancelled
        self.started = 0  # pieces handed on: the first so many

    async def run(self, parallel: int) -> Response:
        workers = [asyncio.ensure_future(self._work()) for _ in range(min(parallel, len(self._requests)))]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        except asyncio.CancelledError as cancelled:
            # Cancel once: a second cancellation would interrupt the counting of exchanges already sent.
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            if ended := [*self._partial, *(r for r in self._responses if r is not None)]:
                attach(cancelled, _with_all(ended[0], ended))
            raise
        except BaseException:
            for worker in workers:
                worker.cancel()
            raise
        return self._whole()

    async def _work(self) -> None:
        while self._failed is None and self.started < len(self._requests):
            number = self.started
            self.started += 1
            try:
                response = await self._inner(self._requests[number])
            except asyncio.CancelledError as cancelled:
                if (partial := partial_of(cancelled)) is not None:
                    self._partial.append(partial)
                raise
            self._responses[number] = response
            if response.outcome is not Outcome.ok and self._failed is None:
                self._failed = response

    def _whole(self) -> Response:
        responses = [response for response in self._responses if response is not None]
        if self._failed is not None:
            whole = _with_all(self._failed, responses)
            if whole.outcome is Outcome.not_sent and whole.previous:
                whole.outcome = Outcome.timed_out  # some pieces were sent, then the deadline passed
            number = self._responses.index(self._failed) + 1
            whole.error = f"piece {number} of {len(self._requests)}: {whole.error or whole.outcome.name}"
            return whole
        whole = _with_all(max(responses, key=lambda response: response.done), responses)
        answer = joined(self._requests[0], [response.answers[0] for response in responses], self._join)
        whole.answers = Answers((answer,), usage=summed(usage_of(response.answers) for response in responses))
        whole.chunks = ()
        return whole


def _with_all(response: Response, responses: list[Response]) -> Response:
    """`response` with the exchanges of all responses; it ends when the last of them ends."""
    others = [attempt for other in responses if other is not response for attempt in _attempts(other)]
    response.previous = tuple(sorted([*response.previous, *others], key=lambda attempt: attempt.sent))
    response.done = max(other.done for other in responses)
    response.from_cache = all(other.from_cache for other in responses)
    return response


def _attempts(response: Response) -> list[Attempt]:
    if math.isnan(response.sent):
        return list(response.previous)
    last = Attempt(response.sent, response.first_byte, response.done, response.outcome, response.status)
    return [*response.previous, last]
