"""The pace of `knee`, streaks of failures, and outages, each on samples made by hand."""

import math

import pytest

from harness.client.gate.streak import Streak
from harness.client.limits.knee import Knee
from harness.client.limits.knee.outage import PROBE_FIRST_S, PROBE_MAX_S, Outage
from harness.client.limits.knee.pacing import Pacing
from harness.client.types import Outcome, Sample


def ended(done: float, outcome: Outcome = Outcome.ok, took_s: float = 0.005, streak: int = 0) -> Sample:
    return Sample(outcome, done - took_s, done, 4, 4, 0, streak=streak)


def window(pacing: Pacing, begin: float, per_s: float, refused_every: int = 0, seconds: float = 2.05) -> None:
    """Answers at a steady rate; each `refused_every`-th is a refusal."""
    for k in range(1, int(per_s * seconds) + 1):
        refused = refused_every and k % refused_every == 0
        pacing.add(ended(begin + k / per_s, Outcome.rejected if refused else Outcome.ok))


def test_a_pace_that_is_not_refused_grows_slowly() -> None:
    pacing = Pacing(100.0, 0.0)
    window(pacing, 0.0, 100.0, seconds=0.55)
    assert 100 < pacing.rate_per_s < 103


def test_a_refused_pace_falls_to_the_accepted_rate_but_not_by_more_than_a_third() -> None:
    """One window in which everything was refused says little on the rate."""
    pacing = Pacing(100.0, 0.0)
    window(pacing, 0.0, 100.0, refused_every=5, seconds=0.55)
    assert pacing.rate_per_s == pytest.approx(80.0, abs=2.0)
    window(pacing, 1.0, 100.0, refused_every=1, seconds=0.55)
    assert pacing.rate_per_s == pytest.approx(56.0, abs=2.0)


def test_a_slow_pace_is_judged_within_seconds_and_not_within_fifty_answers() -> None:
    pacing = Pacing(3.0, 0.0)
    window(pacing, 0.0, 3.0)
    assert pacing.rate_per_s > 3.0


def test_a_pace_is_regained_quickly_up_to_where_it_was_refused() -> None:
    """It fell to below a third; seconds lead back to 90 % of where refusals began, and from there it grows slowly."""
    pacing, at = Pacing(100.0, 0.0), 0.0
    while pacing.rate_per_s > 30.0:
        window(pacing, at, pacing.rate_per_s, refused_every=1, seconds=0.1)
        at += 0.1
    begun = at
    while pacing.rate_per_s < 89.0:
        window(pacing, at, pacing.rate_per_s, seconds=0.2)
        at += 0.2
    assert at - begun < 10.0
    assert pacing.rate_per_s == pytest.approx(90.0)
    window(pacing, at, pacing.rate_per_s, seconds=0.7)
    assert 90.0 < pacing.rate_per_s < 93.0


def test_a_pace_that_was_not_used_does_not_grow() -> None:
    pacing = Pacing(100.0, 0.0)
    window(pacing, 0.0, 10.0, seconds=10.0)
    assert pacing.rate_per_s == 100.0


def test_a_streak_is_certain_when_the_attempts_of_before_are_back() -> None:
    """Three were in flight at the first failure; one of them is cancelled, the others fail."""
    streak = Streak()
    assert streak.failed(0, others=3, sent=1.0) == 0
    assert streak.epoch == 1
    assert streak.failed(1, others=3, sent=1.1) == 0
    streak.left(0)
    assert streak.failed(0, others=3, sent=0.9) == 0
    assert streak.failed(0, others=3, sent=0.9) == 4
    assert streak.failed(1, others=3, sent=1.2) == 5
    streak.accepted(1.3)
    assert streak.failed(1, others=1, sent=1.4) == 0
    assert streak.epoch == 2


def test_an_attempt_that_is_cancelled_without_a_streak_changes_nothing() -> None:
    streak = Streak()
    streak.left(0)
    assert streak.failed(0, others=0, sent=1.0) == 1


def test_a_time_out_of_an_attempt_from_before_the_last_accepted_one_is_no_failure_of_now() -> None:
    streak = Streak()
    streak.accepted(10.0)
    assert [streak.failed(0, others=0, sent=5.0) for _ in range(3)] == [0, 0, 0]
    assert streak.failed(0, others=0, sent=10.1) == 1


def test_probes_of_an_outage_become_rarer_and_obey_retry_after() -> None:
    outage = Outage()
    assert not outage.failed(ended(1.0, Outcome.rejected, streak=2))
    assert outage.failed(ended(1.0, Outcome.rejected, streak=3))
    assert outage.interval_s == PROBE_FIRST_S
    # Attempts from before the outage was found are no probes.
    assert not outage.failed(ended(1.001, Outcome.rejected, streak=4))
    for at in range(20):
        outage.failed(ended(2.0 + at, Outcome.connection_error, streak=5 + at))
    assert outage.interval_s == PROBE_MAX_S
    outage.failed(Sample(Outcome.rejected, 30.0, 30.1, 1, 4, 0, 7.0, streak=30))
    assert outage.interval_s == 7.0
    outage.end(31.0)
    assert not outage.active


def test_outages_that_follow_each_other_are_a_quota() -> None:
    """60 answers within a second, then nothing for the rest of ten: six a second."""
    outage = Outage()
    for period in range(5):
        start = 10.0 * period
        outage.failed(ended(start + 1.0, Outcome.rejected, streak=3))
        outage.end(start + 10.0)
        outage.count = 60
    assert outage.quota_per_s() == pytest.approx(6.0)


def test_successes_of_probes_are_no_quota() -> None:
    """A server that fails again and again lets one probe through now and then."""
    outage = Outage()
    for period in range(9):
        outage.failed(ended(2.0 * period + 0.5, Outcome.rejected, streak=3))
        outage.end(2.0 * period + 1.5)
        outage.count = 1
    assert math.isinf(outage.quota_per_s())


def test_outages_far_apart_are_no_quota() -> None:
    outage = Outage()
    for restart in range(5):
        outage.failed(ended(100.0 * restart, Outcome.connection_error, streak=3))
        outage.end(100.0 * restart + 5.0)
        outage.count = 1000
    assert math.isinf(outage.quota_per_s())


def learnt() -> Knee:
    """A limit that has found four in flight at a server with 0.1 s."""
    limit = Knee(initial=4, maximum=4)
    for k in range(200):
        limit.update(Sample(Outcome.ok, k / 40, k / 40 + 0.1, 4, 4, 0))
    return limit


@pytest.mark.parametrize("outcome", [Outcome.rejected, Outcome.connection_error, Outcome.timed_out])
def test_after_an_outage_the_limit_is_what_it_was(outcome: Outcome) -> None:
    """Whatever kind of failure it was, at once and without a pace."""
    limit = learnt()
    for k in range(1, 60):
        at = 5.1 + k / 20
        limit.update(Sample(outcome, at - 0.005, at, 4, 4, 0, streak=k))
    assert limit.cause == "outage"
    assert limit.rate_per_s <= 10.0
    limit.update(Sample(Outcome.ok, 9.0, 9.1, 1, 4, 0))
    assert (limit.value, limit.rate_per_s) == (4, math.inf)
