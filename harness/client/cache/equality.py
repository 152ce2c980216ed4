"""When two requests are the same, and which answers may be given twice; pure.

The body of a request is all that the server sees: the model, every parameter and the text. So two requests are equal
if path, body and headers are; there is no list of parameters that could be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from harness.client.parameters import temperature_of
from harness.client.protocols import FinishedAnswer, provides
from harness.client.types import Item, Outcome, Request, Response

_UNFINISHED = frozenset({"tool_calls", "function_call", "content_filter"})


def key_of(request: Request, scope: bytes = b"") -> bytes:
    """16 bytes that are the same for equal requests only; `scope` sets tenants, servers or versions apart."""
    digest = blake2b(request.body, digest_size=16, key=scope)
    digest.update(request.path.encode())
    if request.headers:
        digest.update(repr(sorted(request.headers.items())).encode())
    return digest.digest()


def scope_of(text: str) -> bytes:
    """Any text as a scope."""
    return blake2b(text.encode(), digest_size=16).digest() if text else b""


def repeatable(request: Request, sampled: bool) -> bool:
    """May an equal request be given this one's answer? Not what has effects, nor (unless `sampled`) what is drawn anew.

    A temperature that row and task leave to the server counts as none.
    """
    return request.idempotent and (sampled or not any(map(temperature_of, request.items)))


def keepable(response: Response) -> bool:
    """Only what is whole and ok is kept: no errors, no calls of tools, nothing that a filter cut."""
    if response.outcome is not Outcome.ok:
        return False
    return not any(
        provides(answer, FinishedAnswer) and answer.finish_reason in _UNFINISHED for answer in response.answers
    )


def singles(request: Request) -> Iterator[tuple[Item, Request]]:
    """The requests that a request of several items stands for, with its headers, deadline and the rest."""
    for item in request.items:
        single = request.task.request((item,))
        yield item, msgspec.structs.replace(request, items=(item,), body=single.body, path=single.path)


def answered(answers: tuple[Any, ...], now: float) -> Response:
    """An answer that cost no exchange."""
    return Response(Outcome.ok, 200, answers, done=now, from_cache=True)
