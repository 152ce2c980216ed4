"""Plays clients with a limit against a server's shape, in virtual time, and measures what the limit was worth."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from harness.client.gate.streak import Streak
from harness.client.limits.fixed import Fixed
from harness.client.types import Limit, Outcome, Sample
from tests.simulation.limits.server import Server, Shape

GRID = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256)
REFUSED_AFTER_S = 0.005  # a refusal comes at once, yet over a network


@dataclass
class Played:
    """What came of one run."""

    ok: int = 0
    refused: int = 0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)  # of the successes
    by_client: list[int] = field(default_factory=list)
    limits: list[tuple[float, int, str]] = field(default_factory=list)  # of the first client: when, value, cause

    @property
    def p50_s(self) -> float:
        return median(self.latencies) if self.latencies else float("inf")


class _Client:
    __slots__ = ("generation", "in_flight", "limit", "next_at", "start", "streak", "value", "waking")

    def __init__(self, limit: Limit, start: float) -> None:
        self.limit, self.start = limit, start
        self.value = limit.value
        self.generation = self.in_flight = 0
        self.streak = Streak()
        self.next_at = 0.0  # when it may send again, if the limit paces
        self.waking = False


def play(shape: Shape, new_limit: Callable[[], Limit], seed: int) -> Played:
    """One run: an endless backlog (or as much as `demand` says), one slot for each attempt, no retry inside it."""
    # With the name, so that shapes of one law do not all replay one stream.
    rng = random.Random(f"{shape.name}:{seed}")
    server = Server(shape, rng)
    clients = [_Client(new_limit(), k * shape.stagger_s) for k in range(shape.clients)]
    played = Played(by_client=[0] * len(clients), limits=[(0.0, clients[0].value, "start")])
    jobs: dict[int, tuple[_Client, float, int, int, int, int]] = {}
    refusals: list[tuple[float, int]] = []
    dropped: set[int] = set()
    starts = [(client.start, k) for k, client in enumerate(clients)]  # a heap: of who has to send, and when
    number = 0
    now = 0.0

    def admit(client: _Client) -> None:
        nonlocal number
        most = client.limit.value if shape.demand is None else min(client.limit.value, shape.demand)
        while client.in_flight < most:
            rate_per_s = getattr(client.limit, "rate_per_s", math.inf)
            if rate_per_s < math.inf:
                if client.next_at > now:
                    if not client.waking:
                        client.waking = True
                        heapq.heappush(starts, (client.next_at, clients.index(client)))
                    return
                client.next_at = max(client.next_at, now) + 1.0 / rate_per_s
            number += 1
            client.in_flight += 1
            jobs[number] = (client, now, client.in_flight, client.value, client.generation, client.streak.epoch)
            if server.drops:
                dropped.add(number)
                heapq.heappush(refusals, (now + shape.timeout_s, number))
            elif not server.offer(number, now):
                heapq.heappush(refusals, (now + REFUSED_AFTER_S, number))

    def fails(now: float) -> Outcome:
        if any(begin <= now < end for begin, end in shape.outages):
            return Outcome[shape.outage_as]
        return Outcome.rejected

    def learn(job: int, outcome: Outcome) -> None:
        client, sent, in_flight, value, generation, epoch = jobs.pop(job)
        client.in_flight -= 1
        streak = 0
        if outcome is Outcome.ok:
            client.streak.accepted(sent)
        else:
            streak = client.streak.failed(epoch, client.in_flight, sent)
        retry_after_s = shape.retry_after_s if outcome is Outcome.rejected else None
        client.limit.update(Sample(outcome, sent, now, in_flight, value, generation, retry_after_s, streak=streak))
        if outcome is Outcome.ok:
            played.ok += 1
            played.by_client[clients.index(client)] += 1
            played.latencies.append(now - sent)
            played.done.append(now)
        elif outcome is Outcome.rejected:
            played.refused += 1
        else:
            played.errors += 1
        if client.limit.value != client.value:
            client.value = client.limit.value
            client.generation += 1
            if client is clients[0]:
                played.limits.append((now, client.value, getattr(client.limit, "cause", "")))
        admit(client)

    while True:
        event, refusal = server.next_event(), refusals[0][0] if refusals else float("inf")
        begin = starts[0][0] if starts else float("inf")
        now = min(event, refusal, begin)
        if now >= shape.duration_s:
            return played
        if begin <= now:
            client = clients[heapq.heappop(starts)[1]]
            client.waking = False
            admit(client)
        elif refusal <= event:
            job = heapq.heappop(refusals)[1]
            learn(job, Outcome.timed_out if job in dropped else fails(jobs[job][1]))
        else:
            job = server.step(now)
            lost, server.lost = server.lost, []
            for one in lost:
                learn(one, Outcome[shape.outage_as])
            if job is not None:
                wrong = shape.error_share and rng.random() < shape.error_share
                learn(job, Outcome.server_error if wrong else Outcome.ok)


@dataclass(frozen=True)
class Reference:
    """The best static limit of a sweep: the smallest with at least 99 % of the most successes.

    Clients that share a server have as many in flight each, as they must when they are alone; the latency to compare
    with is that of the fair share: the number divided by the clients.
    """

    knee: int
    ok: int
    p50_s: float
    base_s: float  # latency of one alone


def reference(shape: Shape, seed: int = 1, grid: Iterable[int] = GRID) -> Reference:
    """Sweep the static limits."""
    swept = {n: play(shape, lambda n=n: Fixed(n), seed) for n in grid}  # type: ignore[misc]  # a loop variable as default
    most = max(played.ok for played in swept.values())
    knee = min(n for n, played in swept.items() if played.ok >= 0.99 * most)
    share = swept[knee] if shape.clients == 1 else play(shape, lambda: Fixed(max(1, knee // shape.clients)), seed)
    return Reference(knee, most, share.p50_s, shape.service_s)


@dataclass(frozen=True)
class Scores:
    """What a limit was worth on a shape."""

    efficiency: float
    p50: float  # inflation over the reference
    refusals: float  # per success
    jain: float
    overshoot_start: float  # most in the first fifth, over the knee
    overshoot_later: float
    ninety_bases: float  # base latencies to 90 % of the best rate

    @property
    def score(self) -> float:
        return self.efficiency * min(1.0, 2.0 / max(self.p50, 1e-9)) / (1.0 + self.refusals)


def scores(played: Played, shape: Shape, best: Reference) -> Scores:
    """Measure a run against the best static limit."""
    fifth = shape.duration_s / 5
    early = [value for at, value, _ in played.limits if at < fifth]
    late = [value for at, value, _ in played.limits if at >= fifth] or [early[-1]]
    squares = sum(n * n for n in played.by_client)
    jain = sum(played.by_client) ** 2 / (len(played.by_client) * squares) if squares else 0.0
    return Scores(
        min(1.0, played.ok / best.ok),
        played.p50_s / best.p50_s,
        played.refused / max(1, played.ok),
        jain,
        max(early) / best.knee,
        max(late) / best.knee,
        _ninety(played, shape, best),
    )


def _ninety(played: Played, shape: Shape, best: Reference) -> float:
    """The first instant after which a window of max(50, 2 knee) successes came at 90 % of the best rate."""
    size, rate = max(50, 2 * best.knee), 0.9 * best.ok / shape.duration_s
    for i in range(len(played.done) - size):
        if size / max(1e-9, played.done[i + size] - played.done[i]) >= rate:
            return played.done[i] / best.base_s
    return float("inf")
