"""Sources of embeddings: an embeddings server through any `Send`, or a user-defined function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

import msgspec
import numpy as np

from harness.client.cache.semantic.index import Array
from harness.client.errors import SettingError, UsageError
from harness.client.tasks.embed import Embed
from harness.client.types import Attempt, Item, Outcome, Response, Send
from harness.client.user_imports import own

Function = Callable[[str], Sequence[float] | Awaitable[Sequence[float]]]


class Embedding(Protocol):
    """A text's unit vector, or None if the source gave none; and the exchanges that this took on `send`'s server."""

    async def __call__(self, text: str, send: Send, deadline: float, /) -> tuple[Array | None, tuple[Attempt, ...]]: ...


def embedding_of(source: str | Function) -> Embedding:
    """The source for "target" (the server of the requests), a URL, a function, or `package.module:function`."""
    if source == "target":
        return FromServer()
    if not isinstance(source, str):
        return FromFunction(source)
    if source.startswith(("http://", "https://")):
        return FromUrl(source)
    try:
        function = own(f"embed={source!r}", source) if ":" in source else None
    except UsageError as error:
        raise SettingError(str(error)) from error
    if not callable(function):
        raise SettingError(f'embed={source!r} must be "target", a URL, or package.module:function')
    return FromFunction(function)


def unit(vector: Sequence[float]) -> Array | None:
    """The vector scaled to length 1; None if its length is zero."""
    array = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(array))
    return array / length if array.ndim == 1 and math.isfinite(length) and length > 0 else None


class FromServer:
    """POST /v1/embeddings on the same server, through the same layers; its exchanges count as calls of the layer."""

    def __init__(self) -> None:
        self._task = Embed()

    async def __call__(self, text: str, send: Send, deadline: float, /) -> tuple[Array | None, tuple[Attempt, ...]]:
        request = self._task.request((Item(0, text, self._task),))
        request = type(request)(request.items, request.task, request.path, request.body, deadline=deadline)
        response = await send(request)
        vector = unit(response.answers[0]) if response.outcome is Outcome.ok else None
        return vector, exchanges(response)


class FromUrl:
    """POST /v1/embeddings on another server, with a separate transport; its exchanges are not counted here."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ask = FromServer()
        self._send: Send | None = None
        self._open = AsyncExitStack()

    async def __call__(self, text: str, send: Send, deadline: float, /) -> tuple[Array | None, tuple[Attempt, ...]]:
        from harness.client.transport.async_http import HttpTransport

        if self._send is None:
            self._send = transport = HttpTransport(self.url)
            await self._open.enter_async_context(transport)
        vector, _ = await self._ask(text, self._send, deadline)
        return vector, ()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._open.aclose()


class FromFunction:
    """A user-defined function, plain or async. A plain one runs on the loop, so a slow one should use a thread."""

    def __init__(self, function: Function) -> None:
        self._function = function

    async def __call__(self, text: str, send: Send, deadline: float, /) -> tuple[Array | None, tuple[Attempt, ...]]:
        found: Any = self._function(text)
        return unit(await found if inspect.isawaitable(found) else found), ()


def exchanges(response: Response) -> tuple[Attempt, ...]:
    """Every exchange of a response, marked as a layer's own call."""
    made = response.previous
    if not math.isnan(response.sent):
        made += (Attempt(response.sent, response.first_byte, response.done, response.outcome, response.status),)
    return tuple(msgspec.structs.replace(attempt, own=True) for attempt in made)
