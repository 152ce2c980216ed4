"""Finds the bad item of a request of several: the request is sent again in halves, down to single items.

Rules of this file
  1. Only a failure that items can cause is looked into: a status of `FAULTS`, or an answer that cannot be read.
  2. One bad item of n costs at most 2 * log2(n) further requests, and no request is split into more than 2n - 1.
  3. If no item of `GIVE_UP` split requests in a row was good, the items are not the cause: requests are then kept
     whole, until one of several is answered.
  4. A 500 may come from an item or from a broken server, and each further request is retried. So those that are
     being split count for rule 3, too.
"""

from __future__ import annotations

import math

import msgspec

from harness.client.types import Attempt, Outcome, Request, Response, Result, Send

FAULTS = frozenset({400, 413, 422, 424})
"""Statuses of a request that the server does not accept as it is; 424 is TEI's for one that its model fails on."""
BROKEN = 500
GIVE_UP = 3


class Refused(msgspec.Struct, frozen=True):
    """In place of the answer to an item: the response to the last request that it was in."""

    response: Response


def unwrapped(result: Result) -> Result:
    """The result of an item whose request was split."""
    return Result(result.item, result.answer.response) if isinstance(result.answer, Refused) else result


class Split:
    """Outermost, so its requests pass all layers."""

    def __init__(self, inner: Send) -> None:
        self._inner = inner
        # Split requests in a row without a good item.
        self._in_vain = 0
        # Requests that were split for a 500 since the last good answer.
        self._broken = 0

    async def __call__(self, request: Request, /) -> Response:
        response = await self._inner(request)
        if len(request.items) == 1:
            return response
        if response.outcome is Outcome.ok:
            self._in_vain = self._broken = 0
            return response
        if self._in_vain >= GIVE_UP or not _is_fault(response):
            return response
        if response.status == BROKEN:
            if self._broken >= GIVE_UP:
                return response
            self._broken += 1
        parts = await self._halves(request, response)
        good = any(part.outcome is Outcome.ok for part in parts)
        self._in_vain = 0 if good else self._in_vain + 1
        self._broken = 0 if good else self._broken
        return _joined(parts)

    async def _halves(self, request: Request, failed: Response) -> list[Response]:
        """A response for each item."""
        middle = len(request.items) // 2
        found: list[Response] = []
        for items in (request.items[:middle], request.items[middle:]):
            half = msgspec.structs.replace(request.task.request(items), deadline=request.deadline)
            response = await self._inner(half)
            response.previous = (*failed.previous, *_last(failed), *response.previous)
            if len(items) > 1 and _is_fault(response):
                found += await self._halves(half, response)
            else:
                found += [_of_item(response, place) for place in range(len(items))]
        return found


def _is_fault(response: Response) -> bool:
    """Whether an item may be the cause."""
    if response.outcome is Outcome.client_error:
        return response.status in FAULTS or 200 <= response.status < 300
    if response.outcome is Outcome.server_error:
        return response.status == BROKEN
    return response.outcome is Outcome.bad_response and 200 <= response.status < 300


def _last(response: Response) -> list[Attempt]:
    if math.isnan(response.sent):
        return []
    return [Attempt(response.sent, response.first_byte, response.done, response.outcome, response.status)]


def _of_item(response: Response, place: int) -> Response:
    """The response to one item of several."""
    if response.outcome is not Outcome.ok:
        return response
    return msgspec.structs.replace(response, answers=(response.answers[place],))


def _joined(parts: list[Response]) -> Response:
    """One response to all items: the answers, and in place of the others what became of them."""
    answers = tuple([part.answers[0] if part.outcome is Outcome.ok else Refused(part) for part in parts])
    last = max(parts, key=lambda part: part.done)
    cached = all(part.from_cache for part in parts)
    return msgspec.structs.replace(last, outcome=Outcome.ok, answers=answers, from_cache=cached, error=None)
