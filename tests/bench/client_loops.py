"""Clients that are measured alone, one in a process: `python -m tests.bench.client_loops NAME --url URL`.

Prints requests, seconds, CPU and memory as JSON. Each imports only what it needs, because its memory is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from harness.experiment.event_loop import new_event_loop
from tests.bench.peak_memory import peak_mb

IN_FLIGHT = 32
PAIR = {"text1": "The old baker found a grey umbrella.", "text2": "A grey umbrella was found by the old baker."}
JSON = {"Content-Type": "application/json"}
Measured = dict[str, float]
"""`requests`, `seconds`, `cpu_s` and `rss_mb`."""


async def bare(url: str, seconds: float) -> int:
    """Requests of the least that a client in Python can do: llhttp, bytes encoded before, no answer looked at."""
    import httptools

    loop, body = asyncio.get_running_loop(), json.dumps(PAIR).encode()
    head = "POST /similarity HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Request-Id: bench-1\r\n"
    data, until = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, time.monotonic() + seconds

    class Bare(asyncio.Protocol):
        """One connection."""

        def __init__(self) -> None:
            self.requests = 0
            self.ended = loop.create_future()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP is never less
            self._transport = transport
            self._parser = httptools.HttpResponseParser(self)
            transport.write(data)

        def data_received(self, received: bytes) -> None:
            self._parser.feed_data(received)

        def on_message_complete(self) -> None:
            self.requests += 1
            if time.monotonic() < until:
                self._parser = httptools.HttpResponseParser(self)
                self._transport.write(data)
            else:
                self._transport.close()
                self.ended.set_result(None)

    port = int(url.rsplit(":", 1)[1])
    made = [await loop.create_connection(Bare, "127.0.0.1", port) for _ in range(IN_FLIGHT)]
    await asyncio.gather(*(one.ended for _, one in made))
    return sum(one.requests for _, one in made)


async def crowd(one: Callable[[], Any], seconds: float) -> int:
    """Requests of `IN_FLIGHT` tasks that each send one after another."""
    until, done = time.monotonic() + seconds, 0

    async def work() -> None:
        nonlocal done
        while time.monotonic() < until:
            await one()
            done += 1

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return done


async def bare_aiohttp(url: str, seconds: float) -> int:
    """Requests of a plain aiohttp session."""
    import aiohttp

    body = json.dumps(PAIR).encode()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            async with session.post(f"{url}/similarity", data=body, headers=JSON) as answer:
                await answer.json()

        return await crowd(one, seconds)


async def lean(url: str, seconds: float) -> int:
    """Requests of the lean transport alone, with its stamps, time-out, outcome and checked answer."""
    from harness.client.tasks.similarity import Similarity
    from harness.client.transport.lean import LeanTransport
    from harness.client.types import Item, Outcome

    task = Similarity()
    request = task.request([Item(0, task.parse(PAIR), task)])
    async with LeanTransport(url) as send:

        async def one() -> None:
            assert (await send(request)).outcome is Outcome.ok

        return await crowd(one, seconds)


LOOPS = {"bare": bare, "lean": lean, "aiohttp": bare_aiohttp}


def loop_alone(name: str, url: str, seconds: float) -> Measured:
    """One of the loops in this process."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(LOOPS[name](url, 0.3))
        begun, used = time.monotonic(), time.process_time()
        requests = runner.run(LOOPS[name](url, seconds))
        cpu_s, took_s = time.process_time() - used, time.monotonic() - begun
    return {"requests": requests, "seconds": took_s, "cpu_s": cpu_s, "rss_mb": peak_mb()}


def without_locust(url: str, seconds: float, rate: float | None = None) -> Measured:
    """The case runner in a thread of this process, as under Locust, without Locust."""
    import tempfile
    import threading

    from harness.experiment.case_runner import CaseRunner
    from tests.bench.clients import of_end, trial

    with tempfile.TemporaryDirectory() as records:
        runner = CaseRunner(trial(url, records, "lean", seconds, rate))
        thread = threading.Thread(target=runner.run)
        thread.start()
        application = runner.join(0, 1)
        while not application.ready:
            time.sleep(0.01)
        runner.go()
        while not application.ended:
            time.sleep(0.02)
        runner.finish()
        thread.join()
    assert runner.end is not None
    return of_end(runner.end)


def main(arguments: list[str]) -> None:
    """Print the figures of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("loop", choices=[*LOOPS, "runner"])
    parser.add_argument("--url", required=True, help="of a server on this machine that answers everything")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=None, help="arrivals per second of the loop `runner`")
    given = parser.parse_args(arguments)
    if given.loop == "runner":
        print(json.dumps(without_locust(given.url, given.seconds, given.rate)))
    else:
        print(json.dumps(loop_alone(given.loop, given.url, given.seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
