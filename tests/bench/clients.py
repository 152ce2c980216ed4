"""Clients side by side in one run: rate, CPU per request and memory, with a server that always gives the same answer.

`python -m tests.bench.clients [--seconds S] [--rounds N] [--json FILE]`

Each client runs in a process of its own with 32 connections; the rounds take turns, and the least CPU of each counts.
The figures of wrk (8.7 µs) and k9-load (13.3 µs) in `docs/performance.md` are of another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httptools
import msgspec

from harness import plugins
from harness.client.tasks.similarity import Similarity
from harness.client.transport.lean import LeanTransport
from harness.client.types import Item, Outcome
from harness.experiment.case_runner import CaseRunner
from harness.experiment.child_process import play
from harness.experiment.event_loop import new_event_loop
from harness.experiment.spec import SAMPLE_PAIRS, Trial
from harness.measure.record.files import find
from harness.measure.record.plan import TaskShare
from harness.measure.record.rows_file import End
from harness.measure.result import Named
from tests.bench.fixed_server import fixed_server
from tests.bench.wire import request as message

IN_FLIGHT = 32
PAIR = {"text1": "The old baker found a grey umbrella.", "text2": "A grey umbrella was found by the old baker."}
Measured = dict[str, float]
"""`requests`, `seconds`, `cpu_s` and `rss_mb`."""


class Bare(asyncio.Protocol):
    """The least that a client in Python can do: llhttp, bytes that are encoded before, no answer looked at."""

    def __init__(self, data: bytes, until: float) -> None:
        self._data = data
        self._until = until
        self.requests = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP is never less
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.requests += 1
        if time.monotonic() < self._until:
            self._parser = httptools.HttpResponseParser(self)
            self._transport.write(self._data)
        else:
            self._transport.close()
            self.ended.set_result(None)


async def bare(url: str, seconds: float) -> int:
    """Requests of the bare protocol loop."""
    loop, port = asyncio.get_running_loop(), int(url.rsplit(":", 1)[1])
    data, until = message("/similarity", PAIR), time.monotonic() + seconds
    made = [await loop.create_connection(lambda: Bare(data, until), "127.0.0.1", port) for _ in range(IN_FLIGHT)]
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
    body, headers = msgspec.json.encode(PAIR), {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            async with session.post(f"{url}/similarity", data=body, headers=headers) as answer:
                await answer.json()

        return await crowd(one, seconds)


async def lean(url: str, seconds: float) -> int:
    """Requests of the lean transport alone, with its stamps, time-out, outcome and checked answer."""
    task = Similarity()
    request = task.request([Item(0, task.parse(PAIR), task)])
    async with LeanTransport(url) as send:

        async def one() -> None:
            assert (await send(request)).outcome is Outcome.ok

        return await crowd(one, seconds)


LOOPS = {"bare": bare, "lean": lean, "aiohttp": bare_aiohttp}


def loop_alone(name: str, url: str, seconds: float, rate: float | None) -> Measured:
    """One of the loops in this process."""
    if name == "runner":
        return without_locust(url, seconds, rate)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(LOOPS[name](url, 0.3))
        begun, used = time.monotonic(), time.process_time()
        requests = runner.run(LOOPS[name](url, seconds))
        cpu_s, took_s = time.process_time() - used, time.monotonic() - begun
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"requests": requests, "seconds": took_s, "cpu_s": cpu_s, "rss_mb": rss_mb}


def of_loop(name: str, rate: float | None = None) -> Callable[[str, float], Measured]:
    """The same in a process of its own."""

    def measured(url: str, seconds: float) -> Measured:
        line = [sys.executable, "-m", "tests.bench.clients", "--loop", name, "--url", url, "--seconds", str(seconds)]
        line += [] if rate is None else ["--rate", str(rate)]
        found: Measured = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
        return found

    return measured


def trial(url: str, records: str, transport: Any, seconds: float, rate: float | None) -> Trial:
    """The load of the whole harness: a backlog, or arrivals at a rate."""
    task = Named("similarity", plugins.settings_of(plugins.make("task", "similarity")))
    return Trial(
        name="whole",
        target=url,
        transport=transport,
        strategy=Named("queue-stream", {"concurrency": IN_FLIGHT * (1 if rate is None else 2)}),
        tasks=[TaskShare(task)],
        records=records,
        load=Named("backlog") if rate is None else Named("poisson", {"rate_per_s": rate}),
        duration_s=seconds,
        items=round(seconds * (20_000 if transport == "lean" else 5_000)) if rate is None else None,
        input=str(SAMPLE_PAIRS),
    )


def of_harness(transport: Any, rate: float | None = None) -> Callable[[str, float], Measured]:
    """The whole harness in its Locust process, recording everything."""

    def measured(url: str, seconds: float) -> Measured:
        with tempfile.TemporaryDirectory() as records:
            play(trial(url, records, transport, seconds, rate))
            end = msgspec.json.decode(find(Path(records))["whole"][0][0].end.read_bytes(), type=End)
        assert end.recorded == end.locust_requests, (end.recorded, end.locust_requests)
        assert end.locust_failures == 0
        return of_end(end)

    return measured


def of_end(end: End) -> Measured:
    """The figures that a process wrote of itself."""
    return {"requests": end.recorded, "seconds": end.duration_s, "cpu_s": end.cpu_s, "rss_mb": end.rss_max_mb}


def without_locust(url: str, seconds: float, rate: float | None = None) -> Measured:
    """The case runner in a thread of this process, as under Locust, without Locust."""
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


def fast_http_user(url: str, seconds: float) -> Measured:
    """Locust's own quick user; none of its requests may fail."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(msgspec.json.encode(PAIR))
        body.flush()
        users, span = str(IN_FLIGHT), f"{max(1, round(seconds))}s"
        line = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("fast_http.py")), "--headless"]
        line += ["--host", url, "-u", users, "-r", users, "-t", span, "--only-summary"]
        environment = {**os.environ, "PACELINE_BENCH_BODY": body.name}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=60 + seconds)
    return of_fast_http(done.stdout, seconds)


def of_fast_http(said: str, seconds: float) -> Measured:
    """The figures that `fast_http.py` printed. Raises AssertionError if a request failed."""
    words = next(text for text in said.splitlines() if text.startswith("cpu_us_per_request")).split()
    found = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert found["failures"] == 0, f"{found['failures']:.0f} of {found['requests']:.0f} requests failed"
    cpu_s = found["cpu_us_per_request"] * found["requests"] / 1e6
    return {"requests": found["requests"], "seconds": seconds, "cpu_s": cpu_s, "rss_mb": found["rss_mb"]}


CLIENTS: dict[str, Callable[[str, float], Measured]] = {
    "bare Protocol loop": of_loop("bare"),
    "lean transport alone": of_loop("lean"),
    "bare aiohttp loop": of_loop("aiohttp"),
    "paceline, lean, backlog": of_harness("lean"),
    "the same without Locust": of_loop("runner"),
    "paceline, lean, 10,000 arrivals/s": of_harness("lean", 10_000.0),
    "paceline, lean, 20,000 arrivals/s": of_harness("lean", 20_000.0),
    "paceline, aiohttp, backlog": of_harness("asyncio"),
    "Locust FastHttpUser": fast_http_user,
}


def side_by_side(
    seconds: float, rounds: int, clients: dict[str, Callable[[str, float], Measured]]
) -> dict[str, Measured]:
    """Each client's round with the least CPU per request."""
    best: dict[str, Measured] = {}
    with fixed_server() as url:
        for number in range(rounds):
            for name, client in clients.items():
                found = client(url, seconds)
                found["cpu_us"] = 1e6 * found["cpu_s"] / found["requests"]
                found["per_s"] = found["requests"] / found["seconds"]
                print(
                    f"  round {number + 1} of {rounds}: {name}: {found['cpu_us']:.1f} µs", file=sys.stderr, flush=True
                )
                if name not in best or found["cpu_us"] < best[name]["cpu_us"]:
                    best[name] = found
    return best


def table(found: dict[str, Measured]) -> Iterator[str]:
    """The lines of the table; ratios to the first client."""
    least = next(iter(found.values()))["cpu_us"]
    yield f"{'client':<36} {'requests/s':>10} {'CPU/request':>12} {'of first':>8} {'memory':>8}"
    for name, one in found.items():
        cost = f"{one['cpu_us']:.1f} µs"
        yield f"{name:<36} {one['per_s']:>10,.0f} {cost:>12} {one['cpu_us'] / least:>7.1f}x {one['rss_mb']:>5.0f} MB"


def main(arguments: list[str]) -> None:
    """Print the table; write the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--loop", choices=[*LOOPS, "runner"], default=None, help="one loop alone, with --url")
    parser.add_argument("--url", default="")
    parser.add_argument("--rate", type=float, default=None, help="arrivals per second of the loop `runner`")
    options = parser.parse_args(arguments)
    if options.loop:
        print(json.dumps(loop_alone(options.loop, options.url, options.seconds, options.rate)))
        return
    found = side_by_side(options.seconds, options.rounds, CLIENTS)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
