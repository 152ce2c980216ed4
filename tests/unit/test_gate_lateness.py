"""A limit sees the server's latency, not its own client's lateness; checked against what the server itself says."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from statistics import fmean

import pytest
import uvloop

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.lateness import LATE_S, PERIOD_S, LoopLag
from harness.client.types import Sample
from tests.unit.gate_helpers import Paced, ask_now
from tests.unit.lag_helpers import played, server
from tests.unit.layer_helpers import Server, virtually

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def blocked() -> float:
    time.sleep(0.1)
    return 0.06


def always_busy() -> float:
    time.sleep(0.012)
    return 0.0


def at_rest() -> float:
    return 60.0


def lateness(loop: str, disturb: Callable[[], float]) -> tuple[float, float, float]:
    """Mean seconds of (delay added by the client after the answer was sent, estimated lag, raw latency)."""
    answered: dict[int, float] = {}
    with server(answered) as url, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        samples = runner.run(played(url, 160, 16, disturb))
    added = fmean(sample.done - answered[number] for number, sample in enumerate(samples))
    assert all(0.0 <= sample.lag_s <= sample.done - sample.sent for sample in samples)
    raw_s = fmean(sample.done - sample.sent for sample in samples)
    assert math.isclose(fmean(sample.latency_s for sample in samples) + fmean(s.lag_s for s in samples), raw_s)
    return added, fmean(sample.lag_s for sample in samples), raw_s


@pytest.mark.slow
@pytest.mark.parametrize("disturb", [blocked, always_busy])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_lag_of_the_client_is_seen_for_the_most_part_and_never_more(
    loop: str, disturb: Callable[[], float]
) -> None:
    found = []
    # Other programs delay client and server at different times: one measurement of three has to be undisturbed.
    for _ in range(3):
        added_s, lag_s, raw_s = lateness(loop, disturb)
        assert added_s > 0.2 * raw_s  # it was disturbed indeed
        found.append(lag_s / added_s)
        if 0.4 <= found[-1] <= 1.2:
            return
    pytest.fail(f"lag / delay added by the client: {found}")


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_at_rest_has_no_lag(loop: str) -> None:
    """But what a stalled machine may add, which the control sees as well."""
    added_s, lag_s, raw_s = lateness(loop, at_rest)
    assert lag_s <= added_s + 0.1 * raw_s


def test_in_virtual_time_nothing_ticks() -> None:
    """So a wait that nothing can end stays an error, and a simulation costs no more."""

    async def main() -> None:
        samples: list[Sample] = []
        limit = Paced(2)
        limit.update = samples.append  # type: ignore[method-assign] # keeps them
        gate = ConcurrencyLimit(Server(lambda n: 5.0), limit)
        tasks = ask_now(gate, 4)
        await asyncio.sleep(1.0)
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined] # what is to come
        assert {round(timer.when(), 3) for timer in timers if not timer.cancelled()} == {5.0}
        await asyncio.gather(*tasks)
        assert [sample.lag_s for sample in samples] == [0.0] * 4

    virtually(main())


class Owner:
    """Somebody with something in flight."""

    in_flight = 1
    sampled = False


class Clockwork:
    """A loop of which the test makes every turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("harness.client.gate.lateness.get_running_loop", lambda: self)
        monkeypatch.setattr("harness.client.gate.lateness.clock", lambda: lambda: self.now)
        self.timers = 0
        self.soon: list[Callable[[], None]] = []
        self.tick: Callable[[], None] | None = None

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.tick = callback
        self.timers += 1

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def to(self, instant: float) -> None:
        """The timer rings then."""
        self.now, tick = instant, self.tick
        assert tick is not None
        tick()

    def turn(self, *instants: float) -> None:
        """A turn that ends at each."""
        for self.now in instants:
            ready, self.soon = self.soon, []
            for callback in ready:
                callback()


def test_an_arrival_in_a_long_turn_counts_from_its_expected_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, owner, lag = Clockwork(monkeypatch), Owner(), LoopLag()
    lag.watch(owner)
    loop.to(0.01)
    assert not lag.aftermath  # in time
    assert lag.due == pytest.approx(0.01 + PERIOD_S + LATE_S)
    assert lag.around(0.0, 0.1) == pytest.approx(0.1 - 0.015)  # in the late turn itself: since it began
    loop.to(0.12)
    assert lag.aftermath
    assert lag.around(0.0, 0.121) == pytest.approx(0.121 - (0.015 + 0.12) / 2)  # nothing is known: in the middle
    assert lag.around(0.0, 0.121, 0.01) == pytest.approx(0.121 - 0.025, abs=1e-4)  # soon after the turn began
    assert lag.around(0.119, 0.121, 0.01) == pytest.approx(0.0015, abs=1e-4)  # sent in it
    assert lag.around(0.1205, 0.121) == 0.0  # sent after it
    loop.turn(0.121, 0.122, 0.123)
    assert not lag.aftermath
    assert lag.around(0.0, 0.124) == 0.0
    owner.in_flight = 0
    loop.to(1.0)
    assert (owner.sampled, lag.due) == (False, math.inf)  # nothing is in flight any more


def test_any_number_of_gates_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, first, second, lag = Clockwork(monkeypatch), Owner(), Owner(), LoopLag()
    lag.watch(first)
    lag.watch(second)
    assert loop.timers == 1
    first.in_flight = 0
    loop.to(0.01)
    assert (first.sampled, second.sampled, loop.timers) == (False, True, 2)
    second.in_flight = 0
    loop.to(0.02)
    assert (second.sampled, loop.timers) == (False, 2)
    lag.watch(first)
    assert loop.timers == 3


def test_while_turns_stay_long_an_answer_is_held_to_have_come_two_turns_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, lag = Clockwork(monkeypatch), LoopLag()
    lag.watch(Owner())
    loop.to(0.02)
    loop.turn(*(0.02 + 0.02 * k for k in range(1, 10)))
    assert lag.aftermath
    assert lag.around(0.0, 0.201) == pytest.approx(0.201 - 0.17)
    loop.turn(0.2001, 0.2002, 0.2003)
    assert not lag.aftermath
