"""What each wrong order of layers costs, in virtual time; prints the table of docs/layers.md.

    python -m tests.bench.layer_orders

A server of 8 workers (100 ms, one in twenty 1 s) with room for 2 more, then 503. In the first table it also refuses all
for 1.5 s of each 10, in the second 30 % at random. 3,000 questions are asked 10,000 times by popularity (Zipf), 80 and
70 arrivals a second. Every order has the same layers with the same settings and sees the same arrivals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers.cache import Cache
from harness.client.layers.coalesce import Coalesce
from harness.client.layers.deadline import Deadline
from harness.client.layers.hedge import Hedge
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import Retry
from harness.client.limits.fixed import Fixed
from harness.client.tasks.annotate import Annotate
from harness.client.types import Item, Outcome, Request, Response, Send
from tests.virtual_time import virtually

TASK = Annotate()
QUESTIONS = 3_000
RIGHT = "cache coalesce deadline retry hedge rate-limit limit"
ORDERS = {
    "the order of these docs": RIGHT,
    "limit outside of retry": "cache coalesce deadline limit retry hedge rate-limit",
    "rate limit outside of retry": "cache coalesce deadline rate-limit retry hedge limit",
    "deadline inside of retry": "cache coalesce retry deadline hedge rate-limit limit",
    "cache inside of the rate limit": "coalesce deadline retry hedge rate-limit cache limit",
    "cache inside of the limit": "coalesce deadline retry hedge rate-limit limit cache",
    "coalesce inside of the limit": "cache deadline retry hedge rate-limit limit coalesce",
    "hedge outside of retry": "cache coalesce deadline hedge retry rate-limit limit",
    "hedge inside of the limit": "cache coalesce deadline retry rate-limit limit hedge",
}


@dataclass
class Cost:
    """What came of one order."""

    ok_per_s: float
    p50_s: float
    p99_s: float
    exchanges: float  # for each ok
    refused: int  # exchanges answered with 503
    most_in_flight: int


class Server:
    """8 workers, two places to wait, then 503; and it refuses without need."""

    def __init__(self, rng: Random, outages: bool) -> None:
        self._rng = rng
        self._outages = outages
        self._workers = asyncio.Semaphore(8)
        self.seen = self.refused = self.inside = self.most = 0

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        self.seen += 1
        if request.progress is not None:
            request.progress.sent = sent
        if self.inside >= 10 or self._refuses(sent):
            self.refused += 1
            return Response(Outcome.rejected, 503, sent=sent, done=loop.time())
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            async with asyncio.timeout_at(request.deadline), self._workers:
                await asyncio.sleep(1.0 if self._rng.random() < 0.05 else self._rng.uniform(0.08, 0.12))
        except TimeoutError:
            return Response(Outcome.timed_out, sent=sent, done=loop.time())
        finally:
            self.inside -= 1
        return Response(Outcome.ok, 200, ("x",), sent, loop.time(), loop.time())

    def _refuses(self, now: float) -> bool:
        return now % 10.0 < 1.5 if self._outages else self._rng.random() < 0.3


def chain(order: str, send: Send, seed: int) -> Send:
    """The layers outside in, as named."""
    make: dict[str, Callable[[Send], Send]] = {
        "cache": lambda inner: Cache(inner, ttl_s=20.0),
        "coalesce": Coalesce,
        "deadline": lambda inner: Deadline(inner, 4.0),
        "retry": lambda inner: Retry(inner, 5, throttle_base_s=0.5, rng=Random(seed)),
        "hedge": lambda inner: Hedge(inner, calm_s=0.2),
        "rate-limit": lambda inner: RateLimit(inner, 60.0, burst=10),
        "limit": lambda inner: ConcurrencyLimit(inner, Fixed(12)),
    }
    for name in reversed(order.split()):
        send = make[name](send)
    return send


def play(order: str, outages: bool, requests: int = 10_000, seed: int = 7) -> Cost:
    """One order under the arrivals of this seed."""
    rng, rate_per_s = Random(seed), 80.0 if outages else 70.0
    weights = [1.0 / (rank + 1) ** 0.7 for rank in range(QUESTIONS)]
    arrivals, at = list[tuple[float, int]](), 0.0
    for _ in range(requests):
        at += rng.expovariate(rate_per_s)
        arrivals.append((at, rng.choices(range(QUESTIONS), weights)[0]))
    latencies: list[float] = []

    async def main() -> Server:
        server = Server(Random(seed + 1), outages)
        send, loop = chain(order, server, seed), asyncio.get_running_loop()

        async def one(due: float, question: int) -> None:
            await asyncio.sleep(due)
            response = await send(TASK.request((Item(0, f"question {question}", TASK, due=due),)))
            if response.outcome is Outcome.ok and loop.time() - due <= 4.0:
                latencies.append(loop.time() - due)

        await asyncio.gather(*(one(due, question) for due, question in arrivals))
        return server

    server = virtually(main())
    latencies.sort()
    return Cost(
        len(latencies) / arrivals[-1][0],
        latencies[len(latencies) // 2],
        latencies[int(len(latencies) * 0.99)],
        server.seen / len(latencies),
        server.refused,
        server.most,
    )


def table(outages: bool) -> str:
    """Markdown."""
    lines = [
        "| order | ok/s | p50 | p99 | exchanges per ok | refused | most in flight |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, order in ORDERS.items():
        cost = play(order, outages)
        lines.append(
            f"| {name} | {cost.ok_per_s:.1f} | {cost.p50_s * 1e3:.0f} ms | {cost.p99_s:.2f} s | {cost.exchanges:.3f} "
            f"| {cost.refused} | {cost.most_in_flight} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(outages=True), table(outages=False), sep="\n\n")
