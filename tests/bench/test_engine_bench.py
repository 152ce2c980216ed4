"""What the model server adds to its engine, and what batching gains: ratios of runs side by side in one process.

`pytest tests/bench/test_engine_bench.py --benchmark-only -s`. Random weights of real shapes, one torch thread.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import uvloop

from harness.load.workloads.synthetic import WORDS
from model_server.http.app import App, create_app
from model_server.http.serving import served
from model_server.main import BatchBounds, create
from model_server.scheduling.batching import BatchPolicy
from model_server.work import Work

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine

Benchmark = Any
SPECIAL_TOKENS = 2
IN_FLIGHT = 16


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchEngine]:
    pytest.importorskip("torch", reason="torch is not installed for this Python (the model extra)")
    from model_server.engines.build import build
    from model_server.engines.settings import EngineSettings, Source

    sources = (Source("embed", "minilm-l6", random=True), Source("annotate", "llama-30m", random=True))
    built = build(EngineSettings(sources, warm_s=20.0))
    yield built
    built.close()


def texts(lengths: list[int], seed: int) -> list[str]:
    """Different texts of exactly so many tokens: each word is one."""
    rng = Random(seed)
    return [" ".join(rng.choices(WORDS, k=length - SPECIAL_TOKENS)) for length in lengths]


@dataclass
class Ran:
    """One run through the server."""

    seconds: float
    batches: list[tuple[int, int]]  # items, padded length

    @property
    def items(self) -> int:
        return sum(items for items, _ in self.batches)

    @property
    def rate(self) -> float:
        return self.items / self.seconds


async def ready(app: App) -> None:
    app.open()
    while not app.engine.ready:
        await asyncio.sleep(0.05)


def serve_all(make: Callable[[], App], inputs: list[str], in_flight: int = IN_FLIGHT) -> Ran:
    """All inputs, so many in flight from another process; one request each."""

    async def main() -> Ran:
        app = make()
        await ready(app)
        async with served(app) as url:
            command = [sys.executable, "-m", "tests.bench.feeder", f"{url}/embed", str(in_flight)]
            client = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            out, _ = await client.communicate(json.dumps(inputs).encode())
            seconds = float(out)
        return Ran(seconds, [(entry.items, entry.length) for entry in app.dispatcher.log])

    ran: Ran = uvloop.run(main())
    return ran


def bare(engine: TorchEngine, batches: list[tuple[int, int]], seed: int) -> float:
    """Items per second of a loop over the same batches with nothing around it."""
    import torch

    torch.set_num_threads(1)
    piles = [
        [Work("embed", (text,)) for text in texts([length] * items, seed + place)]
        for place, (items, length) in enumerate(batches)
    ]
    begun = time.monotonic()
    with torch.inference_mode():
        for works, (_, length) in zip(piles, batches, strict=True):
            engine.compute(works, length)
    return sum(items for items, _ in batches) / (time.monotonic() - begun)


def once(benchmark: Benchmark, measure: Callable[[], Any]) -> Any:
    return benchmark.pedantic(measure, rounds=1, iterations=1)


def test_the_server_costs_little_beside_its_engine(benchmark: Benchmark, engine: TorchEngine) -> None:
    def measure() -> list[tuple[float, float]]:
        pairs = []
        for turn in range(11):
            ran = serve_all(lambda: create(engine, BatchBounds()), texts([64] * 240, turn))
            runs.append(ran)
            pairs.append((ran.rate, bare(engine, ran.batches, 1000 * (turn + 1))))
        return pairs

    runs = [serve_all(lambda: create(engine, BatchBounds()), texts([64] * 64, 99))]
    pairs = once(benchmark, measure)
    ratios = sorted(served_rate / bare_rate for served_rate, bare_rate in pairs)
    print(f"\nbatches: {Counter(items for items, _ in runs[-1].batches).most_common(5)}")
    print(f"served/bare items per second: {[f'{a:.0f}/{b:.0f}' for a, b in pairs]}, ratios {ratios}")
    print(f"dtype {engine.info.dtype}, overhead {engine.overhead_tokens:.0f} tokens")
    benchmark.extra_info["ratio_median"] = round(ratios[5], 3)
    assert ratios[5] >= 0.85  # the aim is 0.95; docs/servers.md tells what is missing and why


@pytest.mark.parametrize("in_flight", [16, 64])
def test_cost_aware_batches_beat_count_only_ones_on_mixed_lengths(
    benchmark: Benchmark, engine: TorchEngine, in_flight: int
) -> None:
    bounds = BatchBounds()

    def fifo() -> App:
        return create_app(engine, policy=BatchPolicy(bounds.items, 0, 16, window_batches=1))

    def measure() -> list[float]:
        ratios = []
        for turn in range(3):
            rng = Random(turn)
            lengths = [max(8, min(256, round(rng.lognormvariate(3.6, 0.9)))) for _ in range(320)]
            ours = serve_all(lambda: create(engine, bounds), texts(lengths, turn), in_flight)
            theirs = serve_all(fifo, texts(lengths, 100 + turn), in_flight)
            ratios.append(ours.rate / theirs.rate)
            print(f"\nours {ours.rate:.0f}/s in {len(ours.batches)} batches,", end=" ")
            print(f"count-only {theirs.rate:.0f}/s in {len(theirs.batches)}")
        return sorted(ratios)

    ratios = once(benchmark, measure)
    print(f"\ncost-aware / count-only with {in_flight} in flight: {ratios}")
    benchmark.extra_info["ratio_median"] = round(ratios[1], 2)
    assert ratios[1] >= 1.5


def test_sixteen_streams_share_their_steps(benchmark: Benchmark, engine: TorchEngine) -> None:
    tokens = 64

    async def main() -> tuple[float, float]:
        app = create(engine, BatchBounds())
        await ready(app)
        async with served(app) as url, aiohttp.ClientSession(url) as session:

            async def stream(index: int) -> None:
                body = {"text": f"{WORDS[index]} and the old city", "max_tokens": tokens, "stream": True}
                async with session.post("/annotate", json=body) as answer:
                    events = (await answer.read()).count(b'{"text"')
                    assert events == tokens

            await stream(0)
            begun = time.monotonic()
            for index in range(4):
                await stream(index)
            alone = 4 * tokens / (time.monotonic() - begun)
            begun = time.monotonic()
            await asyncio.gather(*[stream(index) for index in range(IN_FLIGHT)])
            return alone, IN_FLIGHT * tokens / (time.monotonic() - begun)

    pairs = once(benchmark, lambda: [uvloop.run(main()) for _ in range(3)])
    ratios = sorted(together / alone for alone, together in pairs)
    print(f"\ntokens/s alone/together: {[f'{a:.0f}/{b:.0f}' for a, b in pairs]}, ratios {ratios}")
    benchmark.extra_info["ratio_median"] = round(ratios[1], 2)
    assert ratios[1] >= 4
