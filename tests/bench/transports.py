"""What a transport costs: CPU per request of a bare protocol, the lean transport, bare aiohttp, and ours on aiohttp.

`python -m tests.bench.transports [--requests N] [--rounds N] [--json FILE]`

All in one run, in turns, 32 connections, against fixed bytes from a second process; of each the least CPU of the
rounds. Only the ratios mean something on a shared machine.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httptools

from harness.client.tasks.annotate import Annotate
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.lean import LeanTransport
from harness.client.types import Item, Outcome, Request, Send
from harness.experiment.event_loop import new_event_loop
from tests.bench.fixed_answers import EVENTS, fixed_answers

CONNECTIONS = 32
JSON = {"Content-Type": "application/json"}


def pair() -> Request:
    """A small request with a small answer."""
    task = Similarity()
    return task.request([Item(0, task.parse({"text1": "a quick brown fox", "text2": "a slow red dog"}), task)])


def stream(path: str = "/stream") -> Request:
    """A request with a streamed answer."""
    task = Annotate(stream=True)
    request = task.request([Item(0, "a quick brown fox", task)])
    return Request(request.items, task, path, request.body, stream=True)


class Bare(asyncio.Protocol):
    """The least that Python can do: encoded bytes out, llhttp in, the next request when an answer is complete.

    `left` is the number of requests that are to be sent yet, and below zero minus that of the connections at rest; at
    `rest` all have been answered.
    """

    def __init__(
        self, message: bytes, left: list[int], rest: int, done: asyncio.Future[None], counts: list[int]
    ) -> None:
        self.message, self.left, self.rest, self.done, self.counts = message, left, rest, done, counts
        self.parser: Any = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        transport.write(self.message)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.counts[0] += self.parser.get_status_code() == 200
        self.left[0] -= 1
        if self.left[0] >= 0:
            self.transport.write(self.message)
        elif self.left[0] == self.rest:
            self.done.set_result(None)


async def bare_protocol(url: str, request: Request, requests: int) -> int:
    """As many requests; the number of good answers."""
    parts = urlsplit(url)
    head = f"POST {request.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    message = f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body
    loop = asyncio.get_running_loop()
    connections = min(CONNECTIONS, requests)
    left, done, counts = [requests - connections], loop.create_future(), [0]
    opened = [
        await loop.create_connection(
            lambda: Bare(message, left, -connections, done, counts), parts.hostname, parts.port
        )
        for _ in range(connections)
    ]
    await done
    for transport, _ in opened:
        transport.abort()
    await asyncio.sleep(0)
    return counts[0]


async def crowd(one: Callable[[], Awaitable[bool]], requests: int) -> int:
    """So many calls, `CONNECTIONS` at a time; the number of those that were answered."""
    left, found = requests, 0

    async def work() -> None:
        nonlocal left, found
        while left > 0:
            left -= 1
            answered = await one()
            found += answered

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return found


async def through(transport: Any, request: Request, requests: int) -> int:
    """One of our transports."""
    left, found, chunks = requests, 0, EVENTS if request.stream else 0

    async def work(send: Send) -> None:
        nonlocal left, found
        while left > 0:
            left -= 1
            response = await send(request)
            found += response.outcome is Outcome.ok and len(response.chunks) == chunks

    async with transport as send:
        await asyncio.gather(*(work(send) for _ in range(CONNECTIONS)))
    return found


async def bare_aiohttp(url: str, request: Request, requests: int) -> int:
    """A session as people write it: post, read the JSON, or the lines of a stream with an instant for each."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def plain() -> bool:
            async with session.post(url + request.path, data=request.body, headers=JSON) as answer:
                return bool(await answer.json())

        async def events() -> bool:
            async with session.post(url + request.path, data=request.body, headers=JSON) as answer:
                lines = answer.content
                stamps = [(time.monotonic(), json.loads(one[6:])) async for one in lines if one.startswith(b"data: {")]
            return len(stamps) == EVENTS + 1

        return await crowd(events if request.stream else plain, requests)


async def httpx_client(url: str, request: Request, requests: int) -> int:
    """The same with httpx."""
    import httpx2

    async with httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), timeout=60.0) as client:

        async def plain() -> bool:
            return bool((await client.post(url + request.path, content=request.body, headers=JSON)).json())

        async def events() -> bool:
            async with client.stream("POST", url + request.path, content=request.body, headers=JSON) as answer:
                lines = answer.aiter_lines()
                stamps = [(time.monotonic(), json.loads(one[6:])) async for one in lines if one.startswith("data: {")]
            return len(stamps) == EVENTS + 1

        return await crowd(events if request.stream else plain, requests)


@dataclass
class Cost:
    """The least CPU per request of the rounds, and the highest rate."""

    cpu_us: float = float("inf")
    rate_per_s: float = 0.0

    def add(self, cpu_s: float, wall_s: float, requests: int) -> None:
        """A round."""
        self.cpu_us = min(self.cpu_us, 1e6 * cpu_s / requests)
        self.rate_per_s = max(self.rate_per_s, requests / wall_s)


Client = Callable[[str, Request, int], Awaitable[int]]
CLIENTS: dict[str, Client] = {
    "bare protocol": bare_protocol,
    "lean": lambda url, request, requests: through(LeanTransport(url), request, requests),
    "bare aiohttp": bare_aiohttp,
    "aiohttp": lambda url, request, requests: through(HttpTransport(url), request, requests),
}
if importlib.util.find_spec("httpx2") is not None:
    # It comes with another package, if at all.
    CLIENTS["httpx"] = httpx_client
SLOW = {"bare aiohttp": 4, "aiohttp": 4, "httpx": 20}
"""Clients that get a share of the requests, for the time."""


def costs(url: str, requests: int, rounds: int) -> dict[str, Cost]:
    """The cost of each client and kind of answer, in turns."""
    kinds = {
        "JSON": (pair(), requests),
        f"SSE, {EVENTS} events": (stream(), requests // 5),
        f"SSE, {EVENTS} at once": (stream("/stream-at-once"), requests // 5),
    }
    found: dict[str, Cost] = {}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for _ in range(rounds):
            for kind, (request, number) in kinds.items():
                for name, client in CLIENTS.items():
                    cost = found.setdefault(f"{kind}: {name}", Cost())
                    play(runner, cost, client, url, request, number // SLOW.get(name, 1))
    return found


def play(runner: asyncio.Runner, cost: Cost, client: Client, url: str, request: Request, requests: int) -> None:
    """One round of a client."""

    async def whole() -> int:
        return await client(url, request, requests)

    begun, cpu = time.perf_counter(), time.process_time()
    answered = runner.run(whole())
    cost.add(time.process_time() - cpu, time.perf_counter() - begun, requests)
    assert answered == requests, f"{answered} of {requests} were answered"


def table(found: dict[str, Cost]) -> Iterator[str]:
    """The lines of the table; ratios to the first client of a kind."""
    yield f"{'client':<32} {'CPU µs':>8} {'requests/s':>11} {'CPU of bare protocol':>21}"
    first = Cost()
    for name, cost in found.items():
        if name.endswith("bare protocol"):
            first = cost
        yield f"{name:<32} {cost.cpu_us:8.1f} {cost.rate_per_s:11,.0f} {cost.cpu_us / first.cpu_us:20.2f}x"


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    with fixed_answers() as (url, _):
        found = costs(url, options.requests, options.rounds)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps({name: vars(cost) for name, cost in found.items()}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
