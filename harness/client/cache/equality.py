"""Decides which requests are equal and which answers may be reused; pure.

The body of a request is all that the server sees: the model, every parameter and the text. So two requests are equal
if method, path, body and headers are equal. There is no list of parameters that could be incomplete. A task may set a
key of its own.
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
    """Key of 16 bytes, the same for equal requests only; `scope` separates tenants, servers or versions."""
    if request.cache_key is not None:
        return blake2b(request.cache_key, digest_size=16, key=scope, person=b"cache key").digest()
    digest = blake2b(request.body, digest_size=16, key=scope)
    if request.method != "POST":
        digest.update(request.method.encode())
    digest.update(request.path.encode())
    if request.headers:
        digest.update(repr(sorted(request.headers.items())).encode())
    return digest.digest()


def scope_of(text: str) -> bytes:
    """Scope made from any text."""
    return blake2b(text.encode(), digest_size=16).digest() if text else b""


def repeatable(request: Request, sampled: bool) -> bool:
    """Whether an equal request may get the same answer: not if it has side effects or (unless `sampled`) is sampled.

    A temperature that row and task leave to the server counts as none.
    """
    return request.idempotent and (sampled or not any(map(temperature_of, request.items)))


def keepable(response: Response) -> bool:
    """Whether an answer may be stored: complete and ok, without tool calls, not cut by a content filter."""
    if response.outcome is not Outcome.ok:
        return False
    return not any(
        provides(answer, FinishedAnswer) and answer.finish_reason in _UNFINISHED for answer in response.answers
    )


def singles(request: Request) -> Iterator[tuple[Item, Request]]:
    """One request per item of a request for several items, with the same headers, deadline and other fields."""
    for item in request.items:
        single = request.task.request((item,))
        own = {"items": (item,), "body": single.body, "path": single.path, "cache_key": single.cache_key}
        yield item, msgspec.structs.replace(request, **own)


def answered(answers: tuple[Any, ...], now: float) -> Response:
    """A response from the cache, without an exchange."""
    return Response(Outcome.ok, 200, answers, done=now, from_cache=True)
