"""One rate limit and one concurrency for all workers: what each may use until its next beat. No clock of its own.

Rules of this file
  1. One concurrency limit learns from the attempts of all workers, in the order of their ends, and its value is divided
     among them. Limits of their own would compete: the early one keeps the most, and each takes the queue of the others
     for the latency of the server.
  2. Requests and tokens per second are divided in the same way, after a common factor and pause for refusals.
"""

from __future__ import annotations

import heapq
import math

import msgspec

from harness.bulk.fleet.messages import Beat
from harness.bulk.leases.shares import Shares
from harness.bulk.leases.throttle import Throttle
from harness.client.gate.memory import LimitMemory
from harness.client.limits.fixed import Fixed
from harness.client.protocols import PacedLimit, SizedLimit
from harness.client.types import Limit, Sample, Strategy
from harness.strategies.adaptive import Adaptive
from harness.strategies.priority import Priority
from harness.strategies.queue_stream import QueueStream

VALID_S = 2.0
"""Seconds until a share that is not renewed ends."""
# What a worker may use more than it used last, if it was not short of it.
_GROWTH, _MORE = 1.25, 2.0
# Weight of the last beat in what a worker uses.
_NEWEST = 0.1
_LATE_S = 1.0
# So long ago an accepted call of another worker still counts.
_ACCEPTED_S = 1.0
_KEPT_VALUES = 1000


class Grant(msgspec.Struct, frozen=True):
    """The limits of one worker."""

    slots: int
    generation: int
    rate_per_s: float | None
    tokens_per_s: float | None
    pause_s: float
    others_accepted: bool


def limit_of(strategy: Strategy, memory: LimitMemory | None = None, server: str = "") -> Limit | None:
    """The concurrency limit of a strategy, to be shared; None if the strategy has none that can be shared.

    With a memory it begins with the saved knowledge of the server, and its own can be saved.
    """
    if isinstance(strategy, QueueStream):
        return Fixed(strategy.concurrency)
    if not isinstance(strategy, Adaptive | Priority):
        return None
    if memory is None or not server:
        return strategy.new_limit()
    name = strategy.memory_name if isinstance(strategy, Adaptive) else strategy.limit
    return memory.limit(server, name, strategy.new_limit)


class Governor:
    """Divides limits among workers. All instants are those of one clock of the caller."""

    def __init__(self, limit: Limit | None, rate_per_s: float | None, tokens_per_s: float | None) -> None:
        self.limit = limit
        self.throttle = Throttle()
        self.generation = 0
        self._slots = Shares(limit.value if limit is not None else 0, VALID_S, whole=True)
        self._rate_per_s, self._tokens_per_s = rate_per_s, tokens_per_s
        self._rates = Shares(rate_per_s or 0.0, VALID_S)
        self._tokens = Shares(tokens_per_s or 0.0, VALID_S)
        self._in_flight: dict[str, int] = {}
        # Difference between the clocks of coordinator and worker; the least one seen has the least delay in it.
        self._offsets: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        # When calls of a worker were last accepted.
        self._accepted_at: dict[str, float] = {}
        self._waiting: list[tuple[float, int, Sample]] = []
        # Generation -> value of the limit, of the last changes.
        self._values: dict[int, int] = {0: limit.value if limit is not None else 0}
        self._count = 0
        self._used: dict[tuple[int, str], float] = {}

    @property
    def learns(self) -> bool:
        """Whether the limit needs to see the attempts."""
        return self.limit is not None and not isinstance(self.limit, Fixed)

    @property
    def uses_work(self) -> bool:
        """Whether the limit needs the sizes of the attempts."""
        return isinstance(self.limit, SizedLimit) and bool(self.limit.uses_work)

    def hear(self, beat: Beat, now: float) -> Grant:
        """Take a worker's news, and divide again."""
        name = beat.worker
        self._in_flight[name] = beat.in_flight
        self._heard_at[name] = now
        if beat.attempts > beat.refused:
            self._accepted_at[name] = now
        # A pause is for all only while nobody is accepted: else the server is full, and less has to be sent.
        alone = all(now - at > _ACCEPTED_S for other, at in self._accepted_at.items() if other != name)
        self.throttle.report(beat.attempts, beat.refused, beat.pause_s if alone else 0.0, now)
        self._learn(beat, now)
        return Grant(
            int(self._ask_slots(beat, now)),
            self.generation,
            self._ask(self._rates, self._rate(), beat.started_per_s, beat, now),
            self._ask(self._tokens, self._tokens_per_s, beat.tokens_per_s, beat, now),
            self.throttle.pause_s(now),
            not alone,
        )

    def leave(self, worker: str) -> None:
        """A worker is gone."""
        for shares in (self._slots, self._rates, self._tokens):
            shares.leave(worker)
        for table in (self._in_flight, self._offsets, self._heard_at, self._accepted_at):
            table.pop(worker, None)
        for shares in (self._rates, self._tokens):
            self._used.pop((id(shares), worker), None)

    @property
    def in_flight(self) -> int:
        """Calls in flight at all workers, as they last said."""
        return sum(self._in_flight.values())

    def _ask_slots(self, beat: Beat, now: float) -> float:
        if self.limit is None:
            return 0.0
        self._slots.total = self.limit.value
        demand = math.inf if beat.slots_short else beat.peak * _GROWTH + _MORE if beat.progress else beat.in_flight
        return self._slots.ask(beat.worker, demand, now, in_use=beat.in_flight)

    def _rate(self) -> float | None:
        pace = self.limit.rate_per_s if isinstance(self.limit, PacedLimit) else math.inf
        if self._rate_per_s is None:
            return None if pace == math.inf else pace
        return min(self._rate_per_s * self.throttle.factor, pace)

    def _ask(self, shares: Shares, total: float | None, used: float, beat: Beat, now: float) -> float | None:
        if total is None:
            return None
        shares.total = total
        # A beat is short: the demand is judged by several.
        key = (id(shares), beat.worker)
        usual = self._used[key] = self._used.get(key, used) + _NEWEST * (used - self._used.get(key, used))
        wanted = usual * _GROWTH + _MORE if beat.progress else 0.0
        return shares.ask(beat.worker, math.inf if beat.rate_short else wanted, now)

    # What the limit learns.

    def _learn(self, beat: Beat, now: float) -> None:
        if self.limit is None or not self.learns:
            return
        offset = self._offsets[beat.worker] = min(self._offsets.get(beat.worker, math.inf), now - beat.now)
        others = self.in_flight - beat.in_flight
        for seen in beat.seen:
            self._count += 1
            limit = self._values.get(seen.generation, self.limit.value)
            # On the coordinator's clock, among all calls in flight.
            sample = msgspec.structs.replace(
                seen, sent=seen.sent + offset, done=seen.done + offset, in_flight=seen.in_flight + others, limit=limit
            )
            heapq.heappush(self._waiting, (sample.done, self._count, sample))
        # Everything before the earliest last beat has arrived.
        known = min(heard for heard in self._heard_at.values() if now - heard < _LATE_S)
        before = self.limit.value
        while self._waiting and self._waiting[0][0] <= known:
            self.limit.update(heapq.heappop(self._waiting)[2])
            if self.limit.value != before:
                before, self.generation = self.limit.value, self.generation + 1
                self._values[self.generation] = before
                self._values.pop(self.generation - _KEPT_VALUES, None)
