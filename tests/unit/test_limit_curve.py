"""The parts of our limit: a measurement, what is known of a server, and what refusals say."""

from __future__ import annotations

import pytest

from harness.client.limits.knee.block import Block
from harness.client.limits.knee.ceiling import Ceiling
from harness.client.limits.knee.curve import Curve
from harness.client.types import Outcome, Sample


def answer(done: float, latency_s: float = 0.1, outcome: Outcome = Outcome.ok, work: float = 1.0) -> Sample:
    return Sample(outcome, done - latency_s, done, 4, 4, 0, None, work)


def rounds(block: Block, count: int, latency_s: float = 0.1, work: float = 1.0) -> float:
    """Four in flight all the time, answered one after the other; returns the last instant."""
    now = 0.0
    for k in range(count):
        now = (k + 1) * latency_s / 4
        block.add(answer(now, latency_s, work=work), True)
    return now


def test_a_block_measures_the_mean_latency() -> None:
    """Counted over time or averaged: the same where the server is even."""
    block = Block(4, 16, since=0.0)
    now = rounds(block, 16)
    assert block.measured(now) == (pytest.approx(0.1), 0.02)


def test_what_was_before_is_washed_out() -> None:
    """Four answers of the limit before it begins, and those that were admitted earlier do not count as its own."""
    block = Block(4, 4, 4)
    full = [block.add(answer(k / 40), k % 2 == 0) for k in range(1, 20)]
    assert full.index(True) > 8
    assert block.timed < block.seen


def test_work_is_divided_by() -> None:
    """Four times the size in four times the time is the same latency for its work."""
    block = Block(4, 16, since=0.0)
    assert block.measured(rounds(block, 16, 0.4, work=4.0))[0] == pytest.approx(0.1)


def test_time_of_what_failed_by_the_callers_fault_is_taken_out() -> None:
    """Half the slots spend their time on wrong requests: the others' latency is what it was."""
    block = Block(4, 1, since=0.0)
    for k in range(1, 41):
        done = k * 0.05
        latency_s = 0.1 if k % 3 else 0.02  # uneven, so that answers are counted and not averaged
        block.add(answer(done, 0.1, Outcome.client_error), True)
        block.add(answer(done, latency_s), True)
    spent_s = 4 * 2.0 - 40 * 0.1
    assert block.measured(2.0)[0] == pytest.approx(spent_s / 40, rel=0.05)


@pytest.mark.parametrize(("knee", "steep"), [(1, 0.0), (16, 0.0), (50, 0.0), (64, 1.0)])
def test_the_curve_finds_the_knee(knee: int, steep: float) -> None:
    """From measurements below and above it, with or without a slope before it."""
    curve = Curve()
    for value in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        free = 0.1 * (1 + steep * min(value, knee) / knee)
        curve.add(value, free * max(1.0, value / knee), 0.03)
    curve.fit()
    assert curve.quantile(0.5) == pytest.approx(knee, rel=0.1)
    assert curve.free(knee) == pytest.approx(0.1 * (1 + steep), rel=0.06)
    assert curve.at(4 * knee) == pytest.approx(4 * curve.free(knee), rel=0.1)


def test_noise_makes_the_answer_wide() -> None:
    """The same measurements, less sure: the knee may be anywhere around."""
    widths = []
    for noise in (0.04, 0.4):
        curve = Curve()
        for value in (4, 8, 16, 32):
            curve.add(value, 0.1 * max(1.0, value / 12), noise)
        curve.fit()
        widths.append(curve.quantile(0.9) / curve.quantile(0.1))
    assert widths[0] < 1.5 < widths[1]


def test_what_contradicts_replaces_and_what_agrees_is_pooled() -> None:
    curve = Curve()
    curve.add(8, 0.1, 0.1)
    curve.add(8, 0.1, 0.1)
    pooled = curve.seen[8][0]
    curve.add(8, 0.5, 0.1)
    assert pooled == pytest.approx(200)
    assert curve.seen[8][0] == pytest.approx(100)


def refusal(done: float, in_flight: int = 9) -> Sample:
    return Sample(Outcome.rejected, done - 0.005, done, in_flight, 16, 0, 1.0)


def test_refusals_in_one_instant_are_one() -> None:
    """A burst met an empty bucket; only what comes again counts."""
    ceiling = Ceiling()
    assert not any(ceiling.refused(refusal(10.0 + k / 1000), 16, 0.1) for k in range(9))
    assert ceiling.refused(refusal(10.05), 16, 0.1)
    assert ceiling.cut(16, 10.05) == 8


def test_a_ceiling_holds_as_long_as_the_server_asks_and_is_lifted_when_passed() -> None:
    ceiling = Ceiling()
    for at in (10.0, 10.05):
        ceiling.refused(Sample(Outcome.rejected, at, at, 9, 16, 0, 20.0), 16, 0.1)
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
            ceiling.refused(refusal(at + later, value), value, 0.1)
        cuts.append(ceiling.cut(value, at))
        value = cuts[-1] or value
    assert cuts == [15, 14, 0]
