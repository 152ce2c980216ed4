"""Plays clients with a limit against a server's shape, in virtual time."""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.client.bound import Bound
from harness.client.gate.pace import Pace
from harness.client.gate.streak import Streak
from harness.client.gate.turnstile import SOON_S
from harness.client.limits.fixed import Fixed
from harness.client.types import Limit, Outcome, Sample
from tests.simulation.limits.server import Server, Shape

REFUSED_AFTER_S = 0.005  # a refusal comes at once, yet over a network
IN_VAIN = frozenset({Outcome.rejected, Outcome.timed_out})
"""Outcomes that a lower limit would have avoided."""


@dataclass
class Played:
    """One run's attempts. `latencies`, `done` and `owners` have an entry for each success, in order of its end."""

    ok: int = 0
    refused: int = 0  # or never answered
    errors: int = 0
    latencies: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)  # number of the client; the static one beside ours is the last
    limits: list[tuple[float, int, str]] = field(default_factory=list)  # of the first client: when, value, cause

    @property
    def p50_s(self) -> float:
        """Median latency of the successes."""
        return self.quantile_s(0.5)

    @property
    def p99_s(self) -> float:
        """Latency that one success in a hundred exceeds."""
        return self.quantile_s(0.99)

    def quantile_s(self, share: float, after_s: float = 0.0) -> float:
        """A quantile of the latencies of successes from `after_s` on; infinite without one."""
        ordered = sorted(self.latencies[bisect_left(self.done, after_s) :] if after_s else self.latencies)
        return ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))] if ordered else math.inf


def _rate_of(limit: Limit) -> float:
    """Attempts per second; infinite unless the limit paces."""
    return getattr(limit, "rate_per_s", math.inf)


class _Client:
    __slots__ = (
        *("end", "generation", "in_flight", "limit", "number", "pace", "rate_per_s", "streak", "value", "wakes_at"),
    )

    def __init__(self, number: int, limit: Limit, begin: float, end: float) -> None:
        self.number, self.limit, self.end = number, limit, end
        self.value = limit.value
        self.generation = self.in_flight = 0
        self.streak = Streak()
        self.rate_per_s = _rate_of(limit)
        self.pace = Pace(self.rate_per_s, begin)
        self.wakes_at = math.inf  # the next start at that rate


@dataclass(slots=True)
class _Attempt:
    client: _Client
    sent: float
    in_flight: int
    value: int
    generation: int
    epoch: int
    outcome: Outcome = Outcome.ok


def play(shape: Shape, new_limit: Callable[[], Limit], seed: int, refused_max: float = math.inf) -> Played:
    """One run: an endless backlog (or as much as `demand` says), one slot for each attempt, no retry inside it.

    It ends early once more than `refused_max` are refused: of a limit that is far too high.
    """
    return _Game(shape, new_limit, seed).play(refused_max)


class _Game:
    """The clients, the server, and what is on its way from one to the other."""

    def __init__(self, shape: Shape, new_limit: Callable[[], Limit], seed: int) -> None:
        self.shape = shape
        # With the name, so that shapes of one law do not all replay one stream.
        self.rng = random.Random(f"{shape.name}:{seed}")
        self.server = Server(shape, self.rng)
        spans = shape.presence()
        limits = [new_limit() for _ in range(shape.clients)]
        if shape.beside:
            limits.append(Fixed(shape.beside))
        self.clients = [_Client(k, limit, *spans[k]) for k, limit in enumerate(limits)]
        self.played = Played(limits=[(0.0, limits[0].value, "start")])
        self.attempts: dict[int, _Attempt] = {}
        # Heaps: answers on their way (when, attempt), and clients that will send (when, client).
        self.answers: list[tuple[float, int]] = []
        self.starts = [(begin, k) for k, (begin, _) in enumerate(spans)]
        heapq.heapify(self.starts)
        self.number = 0

    def play(self, refused_max: float) -> Played:
        """All events in their order, until the end."""
        server, answers, starts, end = self.server, self.answers, self.starts, self.shape.duration_s
        while True:
            event, answer = server.next_event(), answers[0][0] if answers else math.inf
            begin = starts[0][0] if starts else math.inf
            now = min(event, answer, begin)
            if now >= end or self.played.refused > refused_max:
                return self.played
            if begin <= now:
                at, number = heapq.heappop(starts)
                self._wake(self.clients[number], at, now)
            elif answer <= event:
                self._learn(heapq.heappop(answers)[1], now)
            else:
                self._step(now)

    def _step(self, now: float) -> None:
        """An event at the server."""
        shape = self.shape
        job = self.server.step(now)
        lost, self.server.lost = self.server.lost, []
        for one in lost:
            self._answer(one, Outcome[shape.outage_as], now)
        if job is not None:
            wrong = shape.error_share and self.rng.random() < shape.error_share
            self._answer(job, Outcome.server_error if wrong else Outcome.ok, now)

    def _answer(self, number: int, outcome: Outcome, now: float) -> None:
        self.attempts[number].outcome = outcome
        if self.shape.network_s:
            heapq.heappush(self.answers, (now + self.shape.network_s, number))
        else:
            self._learn(number, now)

    def _wake(self, client: _Client, at: float, now: float) -> None:
        """A start that was planned for `at`; an earlier one may have been planned since."""
        if at == client.wakes_at:
            client.wakes_at = math.inf
        if client.wakes_at == math.inf:
            self._admit(client, now)

    def _admit(self, client: _Client, now: float) -> None:
        """Send as much as the limit, the pace and the demand allow."""
        demand = self.shape.demand
        if now >= client.end:
            return
        most = client.limit.value if demand is None else min(client.limit.value, demand)
        while client.in_flight < most:
            if client.rate_per_s < math.inf:
                at = client.pace.earliest(now)
                if at > now + SOON_S:
                    if at < client.wakes_at:
                        client.wakes_at = at
                        heapq.heappush(self.starts, (at, client.number))
                    return
                client.pace.take(now)
            self._send(client, now)

    def _send(self, client: _Client, now: float) -> None:
        shape, server = self.shape, self.server
        self.number += 1
        client.in_flight += 1
        attempt = _Attempt(client, now, client.in_flight, client.value, client.generation, client.streak.epoch)
        self.attempts[self.number] = attempt
        if server.drops():
            attempt.outcome = Outcome.timed_out
            heapq.heappush(self.answers, (now + shape.timeout_s, self.number))
        elif not server.offer(self.number, now):
            attempt.outcome = Outcome[shape.outage_as] if shape.is_out(now) else Outcome.rejected
            heapq.heappush(self.answers, (now + REFUSED_AFTER_S + shape.network_s, self.number))

    def _learn(self, number: int, now: float) -> None:
        """The client has the answer, counts it, and goes on."""
        attempt = self.attempts.pop(number)
        client, outcome, sent = attempt.client, attempt.outcome, attempt.sent
        client.in_flight -= 1
        streak = 0
        if outcome is Outcome.ok:
            client.streak.accepted(sent)
        else:
            streak = client.streak.failed(attempt.epoch, client.in_flight, sent)
        hint_s = self.shape.retry_after_s if outcome is Outcome.rejected else None
        client.limit.update(
            Sample(
                *(outcome, sent, now, attempt.in_flight, attempt.value, attempt.generation, hint_s),
                streak=streak,
                bound=Bound.limit if client.limit.value <= (self.shape.demand or math.inf) else Bound.demand,
                **self._reported(number),
            )
        )
        self._count(attempt, now)
        if (rate_per_s := _rate_of(client.limit)) != client.rate_per_s:
            client.rate_per_s = rate_per_s
            client.pace.change(rate_per_s, now)
        if client.limit.value != client.value:
            client.value = client.limit.value
            client.generation += 1
            if not client.number:
                self.played.limits.append((now, client.value, getattr(client.limit, "cause", "")))
        self._admit(client, now)

    def _reported(self, number: int) -> dict[str, float]:
        """What the answer says of the server's queue."""
        shape = self.shape
        waited_s = self.server.waited_s.pop(number, None)
        if waited_s is None:
            return {}
        return {"queue_s": waited_s} if shape.reports == "queue" else {"first_s": waited_s + shape.first_s}

    def _count(self, attempt: _Attempt, now: float) -> None:
        played = self.played
        if attempt.outcome is Outcome.ok:
            played.ok += 1
            played.owners.append(attempt.client.number)
            played.latencies.append(now - attempt.sent)
            played.done.append(now)
        elif attempt.outcome in IN_VAIN:
            played.refused += 1
        else:
            played.errors += 1
