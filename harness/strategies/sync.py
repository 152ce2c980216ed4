"""One request after another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import ClassVar

from harness.client.task_calls import request_for, result_of
from harness.client.types import Item, Layers, Result, Send, no_layers


@dataclass(frozen=True)
class Sync:
    """One request after another on a blocking connection: the simplest loop, as a baseline."""

    blocking: ClassVar[bool] = True

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        call = layers(send)
        async for item in items:
            yield result_of(item, await call(request_for(item)))
