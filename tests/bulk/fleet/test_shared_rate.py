"""One rate limit for several workers, in virtual time: exact in sum, fair, and slowed for all by a refusal of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from harness import plugins
from harness.bulk.fleet.governor import VALID_S, Governor, limit_of
from harness.bulk.fleet.messages import Beat, Progress
from harness.bulk.fleet.pacer import Pacer
from harness.bulk.tally import RowCounts
from harness.client.text.tokens import tokens_of
from harness.client.types import Item, Request
from tests.virtual_time import virtually

TASK = plugins.make("task", "annotate")
REQUEST = TASK.request((Item(1, TASK.parse({"text": "a b c"}), TASK),))
BEAT_S = 0.1
COST = tokens_of(REQUEST)


class Sender:
    """A worker that only starts requests: as fast as it may, or at a pace of its own."""

    def __init__(self, name: str, governor: Governor, every_s: float = 0.0, count: int = 8) -> None:
        self.name = name
        self.pacer = Pacer()
        self.starts: list[float] = []
        # What the next beat says.
        self.all_refused = False
        self.pause_s = 0.0
        self._governor = governor
        self._every_s = every_s
        self._count = count
        self._last = 0

    async def beat(self, rng: Random) -> None:
        """Beats at slightly different times."""
        now = asyncio.get_running_loop().time
        await asyncio.sleep(rng.uniform(0, BEAT_S))
        while True:
            pacer, sent = self.pacer, now()
            started, self._last = (pacer.started - self._last) / BEAT_S, pacer.started
            beat = Beat(
                self.name,
                now=sent,
                progress=[Progress(1, 1, 0, RowCounts())],
                rate_short=pacer.short or pacer.waiting > 0,
                started_per_s=started,
                tokens_per_s=started * COST,
                attempts=round(started * BEAT_S),
                refused=round(started * BEAT_S) if self.all_refused else 0,
                pause_s=self.pause_s,
            )
            pacer.short, self.all_refused, self.pause_s = False, False, 0.0
            grant = self._governor.hear(beat, now())
            pacer.set(grant.rate_per_s, grant.tokens_per_s, grant.pause_s, sent + VALID_S)
            await asyncio.sleep(BEAT_S * rng.uniform(0.9, 1.3))

    async def send(self) -> None:
        """Start one request after the other."""
        while True:
            await self.pacer.turn(REQUEST)
            self.starts.append(asyncio.get_running_loop().time())
            await asyncio.sleep(self._every_s or 0.01)

    def tasks(self, rng: Random) -> list[asyncio.Task[None]]:
        """Its beats and its requests."""
        return [asyncio.create_task(self.beat(rng)), *(asyncio.create_task(self.send()) for _ in range(self._count))]


def played(governor: Governor, senders: list[Sender], seconds: float, at: dict[float, Callable[[], None]]) -> None:
    """Let them send for so long; `at` has what happens in between."""

    async def play() -> None:
        rng = Random(1)
        tasks = [task for sender in senders for task in sender.tasks(rng)]
        loop = asyncio.get_running_loop()
        for when, what in at.items():
            loop.call_at(loop.time() + when, what)
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtually(play())


def between(senders: list[Sender], low: float, high: float) -> list[int]:
    """Starts of each in a span of time."""
    return [sum(low <= start < high for start in sender.starts) for sender in senders]


def jain(counts: list[int]) -> float:
    """Jain's index of fairness."""
    return sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))


def governed(rate_per_s: float | None, tokens_per_s: float | None = None) -> Governor:
    return Governor(limit_of(plugins.make("strategy", "queue-stream:concurrency=64")), rate_per_s, tokens_per_s)


@pytest.mark.no_cover
@pytest.mark.parametrize("workers", [4, 7])
def test_the_sum_is_the_rate_limit_and_the_shares_are_equal(workers: int) -> None:
    """Within two percent, and Jain's index at least 0.95."""
    governor = governed(200.0)
    senders = [Sender(f"w{number}", governor) for number in range(workers)]
    played(governor, senders, 32.0, {})
    counts = between(senders, 2.0, 32.0)
    assert sum(counts) / 30.0 == pytest.approx(200.0, rel=0.02)
    assert jain(counts) >= 0.95
    starts = sorted(start for sender in senders for start in sender.starts)
    assert all(starts[n + 220] - starts[n] >= 0.9 for n in range(0, len(starts) - 220, 10)), "no second has more"


def test_tokens_per_second_are_shared_too() -> None:
    """By the estimate of each request; the tighter of the two limits holds."""
    governor = governed(500.0, tokens_per_s=100.0 * COST)
    senders = [Sender(f"w{number}", governor) for number in range(4)]
    played(governor, senders, 22.0, {})
    counts = between(senders, 2.0, 22.0)
    assert sum(counts) / 20.0 == pytest.approx(100.0, rel=0.02)
    assert jain(counts) >= 0.95


def test_what_a_slow_worker_leaves_the_others_use() -> None:
    """It has no queue, so it needs no share."""
    governor = governed(200.0)
    senders = [Sender("slow", governor, every_s=0.2, count=2), *(Sender(f"w{n}", governor) for n in range(3))]
    played(governor, senders, 22.0, {})
    slow, *others = between(senders, 2.0, 22.0)
    assert slow == pytest.approx(10 * 20, rel=0.1)
    assert 0.95 * 190 <= sum(others) / 20.0 <= 190


@pytest.mark.no_cover
def test_a_worker_that_is_refused_slows_all_within_two_seconds() -> None:
    """The common rate follows the share of refused calls, and comes back when nothing is refused."""
    governor = governed(200.0)
    senders = [Sender(f"w{number}", governor) for number in range(4)]
    refuse = {8.0 + 0.1 * step: lambda: setattr(senders[2], "all_refused", True) for step in range(30)}
    played(governor, senders, 40.0, refuse)
    others = [senders[0], senders[1], senders[3]]
    assert sum(between(others, 5.0, 7.0)) / 2 == pytest.approx(150, rel=0.05)
    assert sum(between(others, 10.0, 11.0)) <= 0.85 * 150
    assert sum(between(others, 30.0, 40.0)) / 10 == pytest.approx(150, rel=0.05)


@pytest.mark.no_cover
def test_a_server_that_refuses_everybody_pauses_all_within_two_seconds() -> None:
    """For the time of its Retry-After; afterwards the rate comes back."""
    governor = governed(200.0)
    senders = [Sender(f"w{number}", governor) for number in range(4)]

    def refuse() -> None:
        for sender in senders:
            sender.all_refused = True
        senders[2].pause_s = 3.0

    played(governor, senders, 40.0, {8.0 + 0.1 * step: refuse for step in range(12)})
    assert sum(between(senders, 10.0, 11.9)) == 0
    assert sum(between(senders, 35.0, 40.0)) / 5 == pytest.approx(200, rel=0.05)


def test_a_share_that_is_not_renewed_ends() -> None:
    """A worker that hears nothing stops sending: others may have its share."""

    async def play() -> int:
        pacer = Pacer()
        now = asyncio.get_running_loop().time()
        pacer.set(100.0, None, 0.0, now + VALID_S)
        turns = [asyncio.create_task(pacer.turn(REQUEST)) for _ in range(1000)]
        await asyncio.sleep(10.0)
        started = pacer.started
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        return started

    assert virtually(play()) == pytest.approx(200, abs=15)


def test_a_request_whose_deadline_passes_is_not_sent() -> None:
    """It uses no share."""

    async def play() -> str:
        pacer = Pacer()
        late = Request(REQUEST.items, TASK, REQUEST.path, REQUEST.body, deadline=asyncio.get_running_loop().time() + 1)
        response = await pacer.turn(late)
        assert pacer.started == 0
        assert response is not None
        return response.outcome.name

    assert virtually(play()) == "not_sent"


@pytest.mark.no_cover
@pytest.mark.parametrize(("rate_per_s", "more"), [(200.0, 20), (4.0, 2)])
def test_only_what_was_not_used_just_before_is_made_up_for(rate_per_s: float, more: int) -> None:
    """The first second had a tenth more than the limit."""

    async def play() -> list[float]:
        pacer, now = Pacer(), asyncio.get_running_loop().time
        await asyncio.sleep(3.0)
        pacer.set(rate_per_s, None, 0.0, now() + 100.0)
        starts = []
        while now() < 13.0:
            await pacer.turn(REQUEST)
            starts.append(now())
        await asyncio.sleep(5.0)
        while now() < 30.0:
            await pacer.turn(REQUEST)
            starts.append(now())
        return starts

    starts = virtually(play())
    first = [start for start in starts if start < 15.0]
    assert all(count <= rate_per_s * (start - 3.0) + 1.001 for count, start in enumerate(first, 1))
    spans = [sum(begin <= start < begin + 1.0 - 1e-6 for start in starts) for begin in starts]
    assert max(spans[: len(first)]) <= rate_per_s
    assert max(spans) == rate_per_s + more


def test_tokens_are_not_made_up_for_before_the_first_share() -> None:
    """As requests."""

    async def play() -> list[float]:
        pacer, now = Pacer(), asyncio.get_running_loop().time
        await asyncio.sleep(3.0)
        pacer.set(None, 100.0 * COST, 0.0, now() + 100.0)
        starts = []
        while now() < 5.0:
            await pacer.turn(REQUEST)
            starts.append(now() - 3.0)
        return starts

    starts = virtually(play())
    assert all(count <= 100.0 * start + 1.001 for count, start in enumerate(starts, 1))
