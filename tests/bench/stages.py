"""Where the client's microseconds go, from the item to its record: CPU per request of each stage.

`python -m tests.bench.stages [--requests N] [--rounds N] [--json FILE]`

A ladder: each rung does what the one before does and one stage more, on a null `Send` that answers in the next turn of
the loop. A stage costs the difference of two rungs, the least CPU of some rounds that take turns. The transports are
measured with a server in another process, the feed of arrivals in real time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from harness import plugins
from harness.base.clock import clock
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layer_settings import LayerSettings
from harness.client.limits.fixed import Fixed
from harness.client.task_calls import request_for
from harness.client.types import Item, Outcome, Request, Response, Send, Strategy
from harness.experiment.application import ClientApplication
from harness.experiment.case_runner import RealPlayer
from harness.experiment.event_loop import new_event_loop
from harness.experiment.spec import SAMPLE_PAIRS, Trial
from harness.load.feed import Feed
from harness.load.schedule import Schedule, compute
from harness.load.timer import Alarm
from harness.measure.record.plan import TaskShare
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.result import Named
from tests.bench.fixed_server import fixed_server

IN_FLIGHT = 32
RETRIES = 3
ARRIVALS_PER_S = (1_000.0, 10_000.0, 20_000.0, 30_000.0)
Rung = Callable[[int], Awaitable[None]]


class NullSend:
    """Answers every request in the next turn of the loop, all of them together, as a socket would."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Send:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def __call__(self, request: Request, /) -> Response:
        sent = time.monotonic()
        turn = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._answer)
        self._waiting.append(turn)
        await turn
        at = time.monotonic()
        return Response(Outcome.ok, 200, (0.5,), sent, at, at)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.set_result(None)


class NullPlayer(RealPlayer):
    """The real player on a null `Send`."""

    def _transport(self, strategy: Strategy) -> Any:
        return NullSend()


def trial(folder: Path, items: int | None, from_file: bool, retries: int = RETRIES) -> Trial:
    """A backlog of sentence pairs, made up or from the sample file."""
    return Trial(
        name="stages",
        target="http://127.0.0.1:9",
        strategy=Named("queue-stream", {"concurrency": IN_FLIGHT}),
        tasks=[TaskShare(Named("similarity", plugins.settings_of(plugins.make("task", "similarity"))))],
        records=str(folder),
        items=items,
        input=str(SAMPLE_PAIRS) if from_file else None,
        layers=LayerSettings(retries=retries),
    )


class Ladder:
    """The rungs; each is a coroutine function of the number of requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._task = trial(folder, 1, True).build_mix().tasks[0]
        self._pair = self._task.parse({"text1": "a quick brown fox", "text2": "a slow red dog"})

    def rungs(self) -> dict[str, Rung]:
        """The name of the stage that each adds, and the rung."""
        return {
            f"{IN_FLIGHT} tasks on a null send": self._bare,
            "item and encoded request": self._encoded,
            "gate (concurrency limit)": self._gated,
            "layers (retry)": self._layered,
            "stop and record": self._recorded,
            "strategy (queue-stream)": self._strategy,
            "feed (backlog from a JSONL file)": self._file,
        }

    async def _crowd(self, requests: int, one: Callable[[], Awaitable[object]]) -> None:
        left = requests

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await one()

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    async def _through(self, requests: int, send: Send) -> None:
        task, pair = self._task, self._pair

        async def one() -> None:
            await send(request_for(Item(1, pair, task, 0, 0.0, 0.0)))

        await self._crowd(requests, one)

    async def _bare(self, requests: int) -> None:
        request, send = request_for(Item(1, self._pair, self._task)), NullSend()
        await self._crowd(requests, lambda: send(request))

    async def _encoded(self, requests: int) -> None:
        await self._through(requests, NullSend())

    async def _gated(self, requests: int) -> None:
        await self._through(requests, ConcurrencyLimit(NullSend(), Fixed(IN_FLIGHT)))

    async def _layered(self, requests: int) -> None:
        retry = plugins.load("layer", "retry")(ConcurrencyLimit(NullSend(), Fixed(IN_FLIGHT)), RETRIES)
        await self._through(requests, retry)

    async def _recorded(self, requests: int) -> None:
        async with self._player(requests, False) as (player, recorder):
            async with AsyncExitStack() as closing:
                layers = player._layers(ClientApplication(0, 1), recorder, closing, "")
                await self._through(requests, layers(ConcurrencyLimit(NullSend(), Fixed(IN_FLIGHT))))
            assert recorder.ok == requests

    async def _strategy(self, requests: int) -> None:
        await self._played(requests, plugins.make("strategy", f"queue-stream:concurrency={IN_FLIGHT}"))

    async def adaptive(self, requests: int) -> None:
        """The rung of the strategy with a limit that learns from every answer."""
        await self._played(requests, plugins.make("strategy", f"adaptive:maximum={IN_FLIGHT}"))

    async def _played(self, requests: int, strategy: Strategy) -> None:
        task, pair = self._task, self._pair

        async def items() -> AsyncIterator[Item]:
            for index in range(requests):
                yield Item(index, pair, task, 0, 0.0, 0.0)

        async with self._player(requests, False) as (player, recorder):
            async with AsyncExitStack() as closing:
                layers = player._layers(ClientApplication(0, 1), recorder, closing, "")
                async for _ in strategy.stream(items(), NullSend(), layers):
                    pass
            assert recorder.ok == requests

    async def _file(self, requests: int) -> None:
        async with self._player(requests, True) as (player, recorder):
            await player.play(ClientApplication(0, 1))
            assert player.failure is None
            assert recorder.ok == requests

    @contextlib.asynccontextmanager
    async def _player(self, requests: int, from_file: bool) -> AsyncIterator[tuple[NullPlayer, Recorder]]:
        player = NullPlayer(trial(self._folder, requests, from_file), asyncio.get_running_loop(), None)
        zero = clock()()
        recorder = Recorder(self._folder, case="stages", t0=zero, t0_unix_s=time.time())
        player.begin(zero, recorder)
        yield player, recorder
        recorder.end(player.summary(recorder, 1.0, None))


def adaptive_us(folder: Path, requests: int, rounds: int) -> dict[str, float]:
    """CPU microseconds per request that the adaptive strategy costs more than queue-stream."""
    ladder = Ladder(folder)
    rungs = {"queue-stream": ladder._strategy, "adaptive": ladder.adaptive}
    found = least_us(rungs, requests, rounds)
    return {"strategy adaptive, more than queue-stream": found["adaptive"] - found["queue-stream"]}


def ladder_us(folder: Path, requests: int, rounds: int) -> dict[str, float]:
    """CPU microseconds per request of each rung."""
    return least_us(Ladder(folder).rungs(), requests, rounds)


def least_us(rungs: dict[str, Rung], requests: int, rounds: int) -> dict[str, float]:
    """CPU microseconds per request of each rung, the least of the rounds."""
    best = dict.fromkeys(rungs, float("inf"))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for _ in range(rounds):
            for name, rung in rungs.items():
                best[name] = min(best[name], cpu_us(lambda rung=rung: runner.run(rung(requests)), requests))
    return best


def cpu_us(call: Callable[[], object], requests: int) -> float:
    """CPU microseconds per request of a call."""
    begun = time.process_time()
    call()
    return 1e6 * (time.process_time() - begun) / requests


def feeds_us(seconds: float = 1.0) -> dict[str, float]:
    """CPU microseconds per arrival of the feed alone, in real time."""
    found: dict[str, float] = {}
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for rate in ARRIVALS_PER_S:
            schedule = compute("poisson", {"rate_per_s": rate}, seconds, None, 1)
            call = lambda schedule=schedule: runner.run(arrivals(schedule))  # noqa: E731 - one call, timed
            found[f"feed of {rate:,.0f} arrivals/s"] = cpu_us(call, len(schedule))
    return found


async def arrivals(schedule: Schedule) -> int:
    """Pull the arrivals, each at its due time; their number."""
    case = trial(Path(), None, True, 0)
    source = case.build_source(case.build_strategy())
    pulled = 0
    async with Alarm() as alarm:
        async for _ in Feed(source, case.build_mix(), schedule, clock()(), alarm.until, grain_s=alarm.grain_s):
            pulled += 1
    return pulled


def transports_us(requests: int, rounds: int) -> dict[str, float]:
    """CPU microseconds per request of each transport with a server that always gives the same answer."""
    found: dict[str, float] = {}
    with fixed_server() as url, asyncio.Runner(loop_factory=new_event_loop) as runner:
        for name, make in TRANSPORTS.items():
            with contextlib.suppress(ImportError):
                call = lambda make=make: runner.run(exchanges(make(url), requests))  # noqa: E731
                found[f"transport {name}"] = min(cpu_us(call, requests) for _ in range(rounds))
    return found


def _aiohttp(url: str) -> Any:
    from harness.client.transport.async_http import HttpTransport

    return HttpTransport(url)


def _lean(url: str) -> Any:
    from harness.client.transport.lean import LeanTransport

    return LeanTransport(url)


TRANSPORTS: dict[str, Callable[[str], Any]] = {"aiohttp": _aiohttp, "lean": _lean}


async def exchanges(transport: Any, requests: int) -> None:
    """So many exchanges, `IN_FLIGHT` at a time."""
    task = plugins.make("task", "similarity")
    request = request_for(Item(1, task.parse({"text1": "a quick brown fox", "text2": "a slow red dog"}), task))
    left = requests

    async def work(send: Send) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert (await send(request)).outcome is Outcome.ok

    async with transport as send:
        await asyncio.gather(*(work(send) for _ in range(IN_FLIGHT)))


def locust_us(requests: int, batch: int = 500) -> dict[str, float]:
    """CPU microseconds per request of the hand-over to Locust's statistics. Importing Locust patches this process."""
    import numpy as np
    from locust.stats import RequestStats

    from scenarios.locust_bridge.locust_statistics import merge

    rng = np.random.default_rng(1)
    rows = np.zeros(batch, REQUEST_DTYPE)
    rows["done"] = rng.lognormal(15, 0.5, batch).astype(np.int64)
    stats = RequestStats()

    def hand_over() -> None:
        for at in range(requests // batch):
            merge(stats, rows, float(at), "similarity")

    return {"hand-over to Locust's statistics": min(cpu_us(hand_over, requests) for _ in range(3))}


def table(ladder: dict[str, float], others: dict[str, float]) -> Iterator[str]:
    """The lines of the table: each stage, and the sum so far."""
    before = 0.0
    yield f"{'stage':<44} {'µs':>7} {'sum':>7}"
    for name, total in ladder.items():
        yield f"{name:<44} {total - before:7.2f} {total:7.2f}"
        before = total
    yield ""
    for name, cost in others.items():
        yield f"{name:<44} {cost:7.2f}"


def measured(requests: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """The rungs of the ladder, and what is measured alone: CPU microseconds per request."""
    with tempfile.TemporaryDirectory() as folder:
        ladder = ladder_us(Path(folder), requests, rounds)
        others = adaptive_us(Path(folder), requests, rounds)
    others |= feeds_us() | transports_us(requests // 2, rounds) | locust_us(requests)
    return ladder, others


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    ladder, others = measured(options.requests, options.rounds)
    print("\n".join(table(ladder, others)))
    if options.json:
        options.json.write_text(json.dumps({"ladder_us": ladder, "others_us": others}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
