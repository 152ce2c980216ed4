"""The parts of our limit: measurements, service times, the own knee, the start, and what refusals say."""

from __future__ import annotations

import math
from random import Random

import pytest

from harness.client.limits.knee import doubling, draining, phases
from harness.client.limits.knee.base import DEPTH, REMEMBERED, Base, Drain
from harness.client.limits.knee.ceiling import Ceiling
from harness.client.limits.knee.own_knee import KneeEstimate, OwnKnee
from harness.client.limits.knee.phases import _follow
from harness.client.limits.knee.plateau import Plateau
from harness.client.limits.knee.quantiles import Quantiles, low_suffice, quantiles
from harness.client.limits.knee.search import SEEK, BeforeFailures, Search
from harness.client.limits.knee.start import Start
from harness.client.limits.knee.timetable import Timetable, together
from harness.client.limits.knee.tolerance import Shares
from harness.client.limits.knee.unanswered import Unanswered
from harness.client.limits.knee.window import Window, WindowResult
from harness.client.types import Outcome, Sample


def exponential(count: int, mean_s: float = 0.1, wait_s: float = 0.0, seed: int = 1) -> list[float]:
    rng = Random(seed)
    return [wait_s + rng.expovariate(1 / mean_s) for _ in range(count)]


def answer(done: float, latency_s: float = 0.1, outcome: Outcome = Outcome.ok, work: float = 1.0) -> Sample:
    return Sample(outcome, done - latency_s, done, 4, 4, 0, None, work)


def rounds(window: Window, count: int, latency_s: float = 0.1, work: float = 1.0) -> float:
    """Four in flight all the time, answered one after the other; returns the last instant."""
    now = 0.0
    for k in range(count):
        now = (k + 1) * latency_s / 4
        window.add(answer(now, latency_s, work=work))
    return now


def measured(value: int, wait_s: float = 0.0, count: int = 200, seed: int = 2) -> WindowResult:
    """A window at a server whose exponential service takes 0.1 s."""
    return WindowResult(value, 0.1 + wait_s, quantiles(exponential(count, wait_s=wait_s, seed=seed)))


def test_waiting_is_the_difference_of_quantiles() -> None:
    """Rare long attempts, which lift the mean to the double, do not matter."""
    alone, waited = quantiles(exponential(400)), quantiles([*exponential(400, wait_s=0.05, seed=2), *[2.0] * 20])
    assert waited.low_s - alone.low_s == pytest.approx(0.05, abs=2 * (alone.error_s(True) + waited.error_s(True)))


@pytest.mark.parametrize("low", [True, False])
def test_the_standard_error_is_that_of_many_repetitions(low: bool) -> None:
    """Within 30 %, for exponential times."""
    found = [quantiles(exponential(100, seed=seed)) for seed in range(200)]
    mean_s = sum(one.mean_s(low) for one in found) / len(found)
    spread_s = math.sqrt(sum((one.mean_s(low) - mean_s) ** 2 for one in found) / len(found))
    assert sum(one.error_s(low) for one in found) / len(found) == pytest.approx(spread_s, rel=0.3)


def test_attempts_that_are_not_back_yet_are_the_longest() -> None:
    all_back = quantiles(list(range(1, 101)))
    assert quantiles(list(range(1, 91)), begun=100).low_s == pytest.approx(all_back.low_s)


def test_low_quantiles_are_not_used_for_even_times_nor_for_few_in_flight() -> None:
    uneven, even = quantiles(exponential(100)), quantiles([0.1] * 100)
    assert [low_suffice(uneven, 32), low_suffice(uneven, 3), low_suffice(even, 32)] == [True, False, False]


def test_a_window_measures_the_mean_latency() -> None:
    window = Window(4, 0.0)
    assert window.measured(rounds(window, 16)).latency_s == pytest.approx(0.1)


def test_work_is_divided_by() -> None:
    """Four times the size in four times the time is the same latency for its work."""
    window = Window(4, 0.0)
    assert window.measured(rounds(window, 16, 0.4, work=4.0)).latency_s == pytest.approx(0.1)


def test_time_of_what_failed_by_the_callers_fault_is_taken_out() -> None:
    """Half the slots spend their time on wrong requests: the others' latency is what it was."""
    window = Window(4, 0.0)
    for k in range(1, 41):
        done = k * 0.05
        # Uneven, so that answers are counted and not averaged.
        latency_s = 0.15 if k % 3 else 0.02
        window.add(answer(done, 0.1, Outcome.client_error))
        window.add(answer(done, latency_s))
    assert window.measured(2.0).latency_s == pytest.approx((4 * 2.0 - 40 * 0.1) / 40, rel=0.05)


def test_a_window_is_full_by_answers_or_by_time() -> None:
    """At least one latency, and thirty-two answers, or eight within three latencies."""
    many, few = Window(40, 0.0), Window(4, 0.0)
    for k in range(32):
        many.add(answer(0.001 * k))
    for k in range(8):
        few.add(answer(0.001 * k))
    assert [many.full(0.09, 0.1), many.full(0.11, 0.1)] == [False, True]
    assert [few.full(0.11, 0.1), few.full(0.31, 0.1)] == [False, True]


def drain(latencies_s: list[float], before: Quantiles | None = None, together: bool = True) -> Drain:
    return Drain(0.0, 1.0, 1.5, 0.7, before, False, together, latencies_s, len(latencies_s))


def test_drains_are_pooled_and_the_oldest_forgotten() -> None:
    base = Base()
    for seed in range(REMEMBERED + 5):
        base.learn(drain(exponential(30, seed=seed)), 20)
    assert base.count == 30 * REMEMBERED
    assert not base.soon


def test_a_faster_drain_replaces_at_once_and_a_slower_one_when_confirmed() -> None:
    """A queue can only make a drain look slower."""
    base = Base()
    base.learn(drain(exponential(60)), 20)
    assert not base.learn(drain(exponential(60, 0.3, seed=2)), 20)
    assert base.count == 60
    assert base.learn(drain(exponential(60, 0.3, seed=3)), 20)
    slower = base.known
    base.learn(drain(exponential(60, seed=4)), 20)
    assert slower is not None
    assert base.known is not None
    assert slower.wide_s > 2 * base.known.wide_s
    assert base.count == 60


def test_a_slower_drain_of_one_client_alone_has_to_be_confirmed_more_often() -> None:
    base = Base()
    base.learn(drain(exponential(60)), 20)
    slower = [base.learn(drain(exponential(60, 0.3, seed=seed), together=False), 20) for seed in range(2, 8)]
    assert slower == [False] * 5 + [True]


def test_a_queue_that_did_not_end_is_drained_deeper() -> None:
    """Latency fell as the number in flight did."""
    base = Base()
    base.soon = 0
    base.learn(drain(exponential(60, 0.07), quantiles(exponential(60, 0.1))), 20)
    assert base.depth < 0.5
    assert base.soon


def test_drains_alone_never_lower_the_limit() -> None:
    """They have few answers. With times that vary, two thirds of the attempts may seem to answer as many."""
    search = Search(24, 1, 256, SEEK["balanced"])
    search.phase = "rest"
    for seed in range(4):
        before = quantiles(exponential(64, 0.12, seed=100 + seed))
        one = drain(exponential(40, 0.08, seed=seed), before)
        one.value = 24.0
        draining.learn(search, one)
    assert (search.value, search.wanted) == (24, 24.0)


def test_the_own_knee_is_the_limit_without_those_that_wait() -> None:
    """Forty in flight, a third of the latency waiting: about 27 are served."""
    service = quantiles(exponential(400))
    estimate = OwnKnee().add(measured(40, wait_s=0.05), service)
    assert estimate is not None
    assert abs(estimate.knee - 40 * 2 / 3) < 3 * estimate.error


def test_a_smaller_knee_has_to_be_confirmed_and_a_larger_one_counts_at_once() -> None:
    """A single slow window may be a passing stall."""
    service, knee = quantiles(exponential(400)), OwnKnee()
    knee.add(measured(40, wait_s=0.02), service)
    assert knee.add(measured(40, wait_s=0.4), service) is None
    again = knee.add(measured(40, wait_s=0.02), service)
    assert again is not None
    assert not again.smaller
    assert knee.add(measured(40, wait_s=0.4), service) is None
    smaller = knee.add(measured(40, wait_s=0.4, seed=3), service)
    assert smaller is not None
    assert smaller.smaller
    assert smaller.knee < 15
    larger = knee.add(measured(40, wait_s=0.0), service)
    assert larger is not None
    assert larger.knee > 30


def grow(plateau: Plateau, per_s: float, value: int, now: float) -> float:
    """Windows at a limit, until it says where to return to."""
    for k in range(8):
        back = plateau.add(WindowResult(value, value / per_s, quantiles(exponential(32, seed=k))), now)
        if back:
            return back
    return 0.0


def test_growth_that_does_not_pay_is_taken_back_and_avoided_for_longer_each_time() -> None:
    plateau = Plateau()
    grow(plateau, 100.0, 20, 0.0)
    assert grow(plateau, 100.0, 30, 1.0) == pytest.approx(20.0)
    assert [plateau.top(8.9), plateau.top(9.1)] == [pytest.approx(20.0), math.inf]
    grow(plateau, 100.0, 20, 10.0)
    grow(plateau, 100.0, 30, 10.0)
    assert [plateau.top(25.9), plateau.top(26.1)] == [pytest.approx(20.0), math.inf]


def test_growth_that_pays_is_kept() -> None:
    plateau = Plateau()
    grow(plateau, 100.0, 20, 0.0)
    assert not grow(plateau, 150.0, 30, 1.0)
    assert not plateau.waits(30)
    assert plateau.top(1.0) == math.inf


def judged(start: Start, value: int, latencies_s: list[float]) -> float | None:
    """A block of the start in which all are sent and back."""
    block = start.begin(value, value + 1)
    block.wanted = len(latencies_s)
    for k, latency_s in enumerate(latencies_s):
        block.add(Sample(Outcome.ok, 0.001 * k, 0.001 * k + latency_s, value, value, 0), True)
    return start.judge(block)


def test_the_start_ends_where_attempts_wait() -> None:
    """Sixteen workers: no delay up to sixteen in flight, half of the latency with thirty-two.

    The quantiles up to 80 % leave out the longest attempts, so the share is a little too large; growth corrects it.
    """
    start = Start()
    shares = [
        judged(start, value, exponential(96, wait_s=wait_s, seed=value))
        for value, wait_s in ((4, 0.0), (8, 0.0), (16, 0.0), (32, 0.1))
    ]
    assert shares == [0.0, 0.0, 0.0, pytest.approx(0.55, abs=0.15)]


def test_the_start_ends_where_service_slows_down_more_than_the_limit_grows() -> None:
    """Nothing waits, every attempt takes four times as long: a server that collapses. It had doubled on, to 256."""
    start = Start()
    shares = [judged(start, value, exponential(96, mean_s, seed=value)) for value, mean_s in ((16, 0.1), (32, 0.4))]
    assert shares == [0.0, pytest.approx(0.75, abs=0.1)]


def test_a_drain_in_the_start_that_hardly_ended_any_is_followed_by_a_block_of_few() -> None:
    """128 in flight take longer than the drain: a block with a burst of 67 that were never sent is never complete."""
    search = Search(128, 1, 256, SEEK["balanced"])
    search.begin.fastest = quantiles([0.1] * 16)
    search.last = None
    search.timetable.at = 1.0
    assert doubling.learn(search, Sample(Outcome.ok, 0.9, 1.01, 128, 128, 0))
    drain = search.drain
    assert drain is not None
    assert search.value < 80
    for k in range(9):
        phases.learn(search, Sample(Outcome.ok, 0.9, 1.02 + 0.01 * k, 128, 128, 0))
    phases.learn(search, Sample(Outcome.ok, 0.9, drain.ends, 128, 128, 0))
    assert (search.phase, search.value) == ("start", 128)
    block = search.begin.block
    assert block is not None
    assert block.grown == 10


def test_an_unclear_block_of_the_start_wants_more_attempts() -> None:
    start = Start()
    judged(start, 4, exponential(16, seed=4))
    assert judged(start, 8, exponential(16, wait_s=0.04, seed=8)) is None
    assert start.block is not None
    assert start.block.wanted > 16


def test_quick_answers_do_not_come_first() -> None:
    """Sixteen were sent; the block is complete when most are back, and the last had the time to be."""
    block = Start().begin(16)
    latencies_s = sorted(exponential(16))
    complete = [block.add(Sample(Outcome.ok, 0.0, latency_s, 16, 16, 0), True) for latency_s in latencies_s]
    assert complete.index(True) >= 11
    assert block.quantiles.wide_s > 0.8 * quantiles(latencies_s).wide_s


@pytest.mark.parametrize("service_s", [0.002, 0.1, 0.3, 1.0])
def test_clients_that_start_at_different_times_drain_together(service_s: float) -> None:
    """Also if one measures half as much again."""
    one, other = Timetable(), Timetable()
    one.plan(100.3, service_s, service_s, soon=False)
    other.plan(101.7, 1.1 * service_s, 1.1 * service_s, soon=False)
    later = max(one.at, other.at)
    for table in (one, other):
        if table.at < later:
            table.plan(table.at + 0.01, service_s, service_s, soon=False)
    assert one.at == other.at
    assert together(one.at + 0.01, service_s)


def test_a_share_of_refusals_that_stays_when_the_limit_is_halved_is_known_as_such() -> None:
    """At a rate that is limited, half of the load brings the share down to less than a half."""
    verdicts = []
    for before, after in ((10, 9), (10, 2), (50, 45)):
        shares = Shares()
        for _ in range(before):
            shares.refused()
        shares.ok += 100 - before
        shares.lowered(8, first=True)
        for _ in range(after):
            shares.refused()
        shares.ok += 100 - after
        assert shares.halved(4)
        verdicts.append(shares.stayed)
    assert verdicts == [True, False, False]


def test_a_limit_with_time_outs_has_passed_only_when_they_had_the_time_to_come() -> None:
    """They take 5 s, so a window without them says nothing."""
    ceiling = Ceiling()
    for at in (10.0, 10.5):
        ceiling.refused(Sample(Outcome.timed_out, at - 5.0, at, 9, 16, 0), 16, 0.1, 0, alone=True)
    assert ceiling.cut(16, 10.5) == 8
    assert ceiling.top(20.0) == pytest.approx(10.0)
    ceiling.passed(9, 20.0)
    ceiling.passed(9, 21.0)
    assert ceiling.at == 9
    ceiling.passed(9, 27.5)
    assert ceiling.at == math.inf


def refusal(done: float, in_flight: int = 9) -> Sample:
    return Sample(Outcome.rejected, done - 0.005, done, in_flight, 16, 0, 1.0)


def test_refusals_in_one_instant_are_one() -> None:
    """A burst met an empty bucket; only what comes again counts."""
    ceiling = Ceiling()
    assert not any(ceiling.refused(refusal(10.0 + k / 1000), 16, 0.1, 0) for k in range(9))
    assert ceiling.refused(refusal(10.05), 16, 0.1, 8)
    assert ceiling.cut(16, 10.05) == 8


@pytest.mark.parametrize(("accepted", "falls"), [(3, True), (12, False)])
def test_refusals_among_many_more_successes_are_not_those_of_a_full_server(accepted: int, falls: bool) -> None:
    """Attempts start 1.5 times as often as they end, so a full server refuses a third."""
    ceiling, found = Ceiling(), False
    for k in range(4):
        found = ceiling.refused(refusal(10.0 + k / 25), 16, 0.1, accepted * k)
    assert found == falls


def test_a_ceiling_holds_as_long_as_the_server_asks_and_is_lifted_when_passed() -> None:
    ceiling = Ceiling()
    for at in (10.0, 10.05):
        ceiling.refused(Sample(Outcome.rejected, at, at, 9, 16, 0, 20.0), 16, 0.1, 0)
    ceiling.cut(16, 10.05)
    assert ceiling.top(30.0) == 8
    assert not ceiling.holds(31.0)
    ceiling.passed(9, 31.0)
    assert ceiling.at == float("inf")


def test_three_cuts_in_a_row_are_a_rate() -> None:
    """Fewer were in flight each time, and it was refused again."""
    ceiling, value, cuts = Ceiling(), 16, []
    for at in (10.0, 11.0, 12.0):
        ceiling.clear()
        for later in (0.0, 0.05):
            ceiling.refused(refusal(at + later, value), value, 0.1, 0)
        cuts.append(ceiling.cut(value, at))
        value = cuts[-1] or value
    assert cuts == [15, 14, 0]


@pytest.mark.parametrize("at", [4.0, 8.0, 12.0, 16.05, 20.0, 32.1])
def test_where_refusals_keep_the_queue_away_all_clients_still_drain_together_now_and_then(at: float) -> None:
    """At every fourth instant: one that takes the queue of others for service would never see a shorter one."""
    search = Search(40, 1, 256, SEEK["balanced"])
    search.begin.fastest, search.phase, search.base.soon = quantiles(exponential(64)), "rest", 0
    search.ceiling.met, search.grown = True, 1
    drains = draining.begin(search, at)
    assert drains == (at in (16.05, 32.1))
    assert (search.value < 40) is drains
    if drains:
        assert search.drain is not None
        assert search.drain.together
    else:
        # The next instant is that of all clients.
        assert together(search.timetable.at, search.service_s)


def test_without_refusals_each_instant_is_one_of_a_drain() -> None:
    search = Search(40, 1, 256, SEEK["balanced"])
    search.begin.fastest, search.phase, search.base.soon = quantiles(exponential(64)), "rest", 0
    assert draining.begin(search, 4.0)


def room_after(freed: int, in_flight: int, wanted: float = 18.0) -> bool:
    """Whether the server had room: at 1.0 the first was refused, `freed` older ones end, then new ones are accepted."""
    before = BeforeFailures(1.0, in_flight, wanted, "rest", Ceiling(), None, math.inf)
    for count in range(freed):
        assert not before.had_room(Sample(Outcome.ok, 0.95, 1.01 + 0.01 * count, 9, 9, 0))
    for _ in range(5):
        assert not before.had_room(Sample(Outcome.ok, 1.2, 1.3, 9, 9, 0))
    return before.had_room(Sample(Outcome.ok, 1.2, 1.3, 9, 9, 0))


def test_a_server_that_accepts_nothing_while_many_older_attempts_end_is_not_full() -> None:
    assert room_after(freed=9, in_flight=19)
    assert not room_after(freed=8, in_flight=19)


def test_a_refusal_in_a_drain_is_an_outage_when_half_of_the_few_in_flight_have_ended() -> None:
    """Nine of seven could not end, so the limit stayed at the few of the drain."""
    assert room_after(freed=4, in_flight=7)
    assert not room_after(freed=3, in_flight=7)
    assert room_after(freed=2, in_flight=3)
    assert not room_after(freed=1, in_flight=3)


def test_a_limit_at_its_maximum_may_want_to_grow_in_any_number_of_windows() -> None:
    """A quick server that never has a queue: the doubled step overflowed after a thousand of them."""
    search = Search(8, 1, 8, next(iter(SEEK.values())))
    search.grown = 5_000
    _follow(search, KneeEstimate(8.0, 0.0, False), 1.0, False)
    assert (search.value, search.grown) == (8, 5_001)


def timed_out(unanswered: Unanswered, done: float) -> bool:
    """An attempt that held its slot for 5 s."""
    return unanswered.timed_out(Sample(Outcome.timed_out, done - 5.0, done, 20, 32, 0))


@pytest.mark.parametrize(("every", "many"), [(100, False), (10, True)])
def test_a_few_per_cent_of_time_outs_are_not_too_many(every: int, many: bool) -> None:
    """One in a hundred is never too many, one in ten soon is."""
    unanswered, found = Unanswered(), []
    for k in range(30):
        unanswered.since += every - 1
        found.append(timed_out(unanswered, 5.0 + k))
    assert any(found) == many


def test_growth_waits_for_the_time_of_a_time_out() -> None:
    """It is free without one, and again when none came for a while."""
    unanswered = Unanswered()
    assert unanswered.top(32.0, 4.0) == math.inf
    timed_out(unanswered, 5.0)
    first = unanswered.top(32.0, 6.0)
    assert 32.0 < first < 48.0
    assert unanswered.top(first, 7.0) == first
    assert unanswered.top(first, 11.1) > first
    assert unanswered.top(first, 100.0) == math.inf


def test_those_that_hold_a_slot_are_those_of_the_last_time() -> None:
    unanswered = Unanswered()
    for at in (5.0, 6.0, 9.0):
        timed_out(unanswered, at)
    assert [unanswered.under_way(now) for now in (9.0, 11.5, 20.0)] == [3, 1, 0]


def test_growth_that_is_noticed_not_to_be_answered_stops_until_the_first_is_timed_out() -> None:
    unanswered = Unanswered()
    unanswered.noticed(32, 1.0)
    assert (unanswered.recent(2.0), unanswered.under_way(2.0), unanswered.top(64.0, 2.0)) == (True, 32, 64.0)
    for k in range(32):
        timed_out(unanswered, 6.0 + k / 100)
    assert unanswered.top(64.0, 6.5) > 64.0


@pytest.mark.parametrize(("value", "again"), [(8.0, True), (40.0, False)])
def test_a_drain_of_many_that_finds_a_known_service_time_is_not_repeated(value: float, again: bool) -> None:
    """It looks as if the queue had not ended. A client with few in flight drains again, as it needs every answer."""
    base, before = Base(), quantiles(exponential(200, wait_s=0.1, seed=3))
    for seed in range(10, 10 + REMEMBERED):
        base.learn(drain(exponential(20, seed=seed)), value)
    base.soon = 0
    last = drain(exponential(20, seed=9), before)
    last.value = value
    base.learn(last, value)
    assert (base.soon > 0) == again
    assert (base.depth < DEPTH) == again
