"""Outages and several clients over real HTTP: `python -m tests.bench.loopback_clients [--write docs/adaptive.md]`.

A mock process of 16 workers of 0.1 s (exponential). In this process run applications with the real transport, retry
layer and strategies. Outages: the seconds of a job of 1,200 items, in which the server refuses or resets everything
for a while, beside a static limit of 20. Clients: eight that join 1 s apart, and 10 s from 2.5 s after the last one
joined: p50 latency over that of the fair share (two in flight each), Jain's index, the least share. In brackets: the
same clients, server and seconds in virtual time, the mean of eight seeds. For a machine with two idle cores; it takes
three minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any, TypeVar

from harness.client.layers.retry import Retry
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Outcome, Result, Send, Strategy
from harness.experiment import target
from harness.experiment.event_loop import new_event_loop
from harness.experiment.simulate import simulate
from harness.strategies.adaptive import Adaptive
from harness.strategies.queue_stream import QueueStream
from tests.simulation.limits.score import jain

BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"
SERVER = """
[service]
base_s = {base_s}
jitter = {{kind = "exponential"}}
[capacity]
workers = 16
queue_max = 1000000
"""
FAULT = """
[[faults]]
{kind}
delay_s = 0.005
start_s = {begin}
end_s = {end}
"""
KINDS = {"503": 'kind = "status"\nstatus = 503', "reset": 'kind = "reset"'}
OUTAGES_S = (1.0, 5.0)
OUTAGE_BEGINS_S = 3.0
ITEMS = 1_200
CLIENTS = 8
ONES: dict[str, Strategy] = {"adaptive": Adaptive(), "static 20": QueueStream(20)}
SHARING: dict[str, Strategy] = {
    "adaptive: one limit": Adaptive(),
    "adaptive, own limits": Adaptive(shared=False),
    "the same, queue not reported": Adaptive(shared=False, server_queue=False),
    "static 20 each": QueueStream(20),
}
FAIR = QueueStream(2)
FORMATS = (".0f", ".1f", ".2f", ".2f")
SEEDS = range(1, 9)
"""Of the runs in virtual time."""
ROUND_S = 4.0
"""Adaptive clients drain at multiples of it on their clock; how long before one the first client joins is chance."""
T = TypeVar("T")
_TASK = Similarity()
_DATA = _TASK.parse({"text1": "a", "text2": "b"})


@dataclass(frozen=True)
class Shared:
    """Latencies of all clients and successes of each, while all were there."""

    latencies_s: list[float]
    shares: list[int]

    @property
    def least(self) -> float:
        """Of the fair share."""
        return min(self.shares) / max(1e-9, fmean(self.shares))

    def figures(self, fair: Shared, shared_s: float) -> tuple[float, float, float, float]:
        """Answers per second, p50 over that of the fair share, Jain's index, the least share."""
        p50 = median(self.latencies_s) / median(fair.latencies_s)
        return sum(self.shares) / shared_s, p50, jain(self.shares), self.least


@contextmanager
def served(text: str, folder: Path) -> Iterator[str]:
    """The URL of a mock process with this profile."""
    path = folder / "server.toml"
    path.write_text(text, encoding="utf-8")
    server = target.embedded(str(path), seed=1, log=folder / "mock_server.log")
    try:
        yield server.url
    finally:
        server.stop()


async def _items(most: int | None, stop: asyncio.Event | None = None) -> AsyncIterator[Item]:
    for index in count():
        if index == most or (stop is not None and stop.is_set()):
            return
        yield Item(index, _DATA, _TASK)


async def job(url: str, strategy: Strategy, items: int) -> tuple[float, int]:
    """Seconds that the items take, and how many failed for good."""
    loop = asyncio.get_running_loop()
    begun, failed = loop.time(), 0

    def layers(send: Send) -> Send:
        return Retry(send, retries=20)

    async with HttpTransport(url) as send:
        async for result in strategy.stream(_items(items), send, layers):
            failed += result.response.outcome is not Outcome.ok
    return loop.time() - begun, failed


async def together(url: str, strategy: Strategy, clients: int, stagger_s: float, shared_s: float) -> Shared:
    """Clients that join one after the other, each with a transport of its own."""
    stop, results = asyncio.Event(), list[tuple[int, Result]]()

    async def client(number: int) -> None:
        await asyncio.sleep(number * stagger_s)
        async with HttpTransport(url) as send:
            async for result in strategy.stream(_items(None, stop), send):
                results.append((number, result))

    loop = asyncio.get_running_loop()
    begun = loop.time()
    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    all_there = begun + _all_there_s(clients, stagger_s, shared_s)
    await asyncio.sleep(all_there + shared_s - loop.time())
    stop.set()
    await asyncio.gather(*tasks)
    found = [
        (k, one.response) for k, one in results if one.ok and all_there <= one.response.done < all_there + shared_s
    ]
    shares = Counter(k for k, _ in found)
    return Shared([one.done - one.sent for _, one in found], [shares[k] for k in range(clients)])


def _all_there_s(clients: int, stagger_s: float, shared_s: float) -> float:
    """From the first join on. The last client needs some seconds to find its share."""
    return (clients - 1) * stagger_s + shared_s / 4


def simulated(server: Path, strategy: Strategy, clients: int, stagger_s: float, shared_s: float, seed: int) -> Shared:
    """The same in virtual time."""
    first_s = Random(seed).uniform(0.0, ROUND_S)
    begin = first_s + _all_there_s(clients, stagger_s, shared_s)
    joins_s = [first_s + number * stagger_s for number in range(clients)]
    run = simulate(strategy, server, stop_s=begin + shared_s, seed=seed, clients=clients, joins_s=joins_s)
    rows = run.rows[run.rows["outcome"] == Outcome.ok]
    rows = rows[(rows["done"] >= begin * 1e9) & (rows["done"] < (begin + shared_s) * 1e9)]
    shares = Counter(rows["user"].tolist())
    return Shared(((rows["done"] - rows["sent"]) / 1e9).tolist(), [shares[k] for k in range(clients)])


def outages(folder: Path, items: int, seconds: Sequence[float], base_s: float = 0.1) -> Iterator[str]:
    """The table of outages."""
    heads = [f"{one:g} s" for one in seconds]
    yield f"| {items:,} items, adaptive (static 20), an outage of | {' | '.join(heads)} |"
    yield "|---" * (len(seconds) + 1) + "|"
    for name, kind in KINDS.items():
        cells = []
        for one in seconds:
            fault = FAULT.format(kind=kind, begin=OUTAGE_BEGINS_S, end=OUTAGE_BEGINS_S + one)
            took = []
            for strategy in ONES.values():
                with served(SERVER.format(base_s=base_s) + fault, folder) as url:
                    took.append(_run(job(url, strategy, items)))
            cells.append(f"{_words(*took[0])} ({_words(*took[1])})")
        yield f"| {name} | " + " | ".join(cells) + " |"


def clients(
    folder: Path, number: int, stagger_s: float, shared_s: float, base_s: float = 0.1, seeds: Sequence[int] = SEEDS
) -> Iterator[str]:
    """The table of clients at one server; in brackets, in virtual time."""
    yield f"| {number} clients | answers/s | p50 over the fair share's | Jain | least share |"
    yield "|---|---|---|---|---|"
    profile = SERVER.format(base_s=base_s)

    def play(strategy: Strategy) -> Shared:
        with served(profile, folder) as url:
            return _run(together(url, strategy, number, stagger_s, shared_s))

    def model(strategy: Strategy) -> list[Shared]:
        path = folder / "model.toml"
        path.write_text(profile, encoding="utf-8")
        return [simulated(path, strategy, number, stagger_s, shared_s, seed) for seed in seeds]

    fair, fair_model = play(FAIR), model(FAIR)
    for name, strategy in SHARING.items():
        found = play(strategy).figures(fair, shared_s)
        runs = [one.figures(beside, shared_s) for one, beside in zip(model(strategy), fair_model, strict=True)]
        means = [fmean(values) for values in zip(*runs, strict=True)]
        cells = [f"{one:{how}} ({mean:{how}})" for one, mean, how in zip(found, means, FORMATS, strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"


def _words(seconds: float, failed: int) -> str:
    return f"{seconds:.1f} s" + (f", {failed} failed" if failed else "")


def _run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def main(argv: Sequence[str] | None = None) -> None:
    """Play, print, and write if asked."""
    parser = argparse.ArgumentParser(prog="tests.bench.loopback_clients", description="Outages and clients for real.")
    parser.add_argument("--write", type=Path, default=None, metavar="FILE.md", help="put the tables between its marks")
    arguments = parser.parse_args(argv)
    lines = []
    with tempfile.TemporaryDirectory(prefix="paceline-clients-") as folder:
        parts = outages(Path(folder), ITEMS, OUTAGES_S), [""], clients(Path(folder), CLIENTS, 1.0, 10.0)
        for line in chain.from_iterable(parts):
            print(line, flush=True)
            lines.append(line)
    if arguments.write is not None:
        old = arguments.write.read_text(encoding="utf-8")
        head, tail = old[: old.index(BEGIN)], old[old.index(END) :]
        arguments.write.write_text("\n".join([f"{head}{BEGIN}", *lines, tail]), encoding="utf-8")


if __name__ == "__main__":
    main()
