"""A server in a thread of its own, and a client whose loop is blocked on purpose: what is the client's of a latency?"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Request, Response, Sample

TASK = Similarity()
DATA = TASK.parse({"text1": "a", "text2": "b"})
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"similarity_score": 0.5}'
SERVICE_S = 0.03


class _Connection(asyncio.Protocol):
    """Answers each request after a random time around `SERVICE_S` and remembers when."""

    def __init__(self, answered: dict[int, float], rng: Random) -> None:
        self._answered, self._rng = answered, rng

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for line in data.split(b"\r\n"):
            if line.lower().startswith(b"x-number:"):
                number = int(line.split(b":")[1])
                delay_s = SERVICE_S * self._rng.uniform(0.5, 1.5)
                asyncio.get_running_loop().call_later(delay_s, self._answer, number)

    def _answer(self, number: int) -> None:
        self._answered[number] = time.monotonic()
        self._transport.write(ANSWER)


@contextmanager
def server(answered: dict[int, float]) -> Iterator[str]:
    """Its URL; it lives in a thread, so that a client that blocks its own loop does not block it."""
    ready, stop, port = threading.Event(), asyncio.Event(), 0
    rng = Random(1)

    async def main() -> None:
        nonlocal port
        bound = await asyncio.get_running_loop().create_server(lambda: _Connection(answered, rng), "127.0.0.1", 0)
        port = bound.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        bound.close()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


class Keeps:
    """A limit that keeps its samples."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.samples: list[Sample] = []

    def update(self, sample: Sample, /) -> None:
        self.samples.append(sample)


async def played(url: str, requests: int, workers: int, disturb: Callable[[], float]) -> list[Sample]:
    """A closed loop of workers; `disturb()` blocks the loop and says after how long it wants to be called again."""
    limit = Keeps(workers)
    left = iter(range(requests))
    order: list[int] = []

    async with HttpTransport(url) as transport:

        async def noted(request: Request, /) -> Response:
            response = await transport(request)
            order.append(request.items[0].index)
            return response

        gate = ConcurrencyLimit(noted, limit)
        loop = asyncio.get_running_loop()

        async def worker() -> None:
            for number in left:
                item = Item(number, DATA, TASK)
                made = TASK.request((item,))
                await gate(Request(made.items, TASK, made.path, made.body, headers={"x-number": str(number)}))

        async def disturber() -> None:
            while True:
                await asyncio.sleep(disturb())

        other = loop.create_task(disturber())
        await asyncio.gather(*(worker() for _ in range(workers)))
        other.cancel()
    limit.samples = [sample for _, sample in sorted(zip(order, limit.samples, strict=True), key=lambda pair: pair[0])]
    return limit.samples
