"""The pace of `knee`, streaks of failures, and outages, each on samples made by hand."""

import math

import pytest

from harness.client.gate.streak import Streak
from harness.client.limits.knee import Knee, refusals
from harness.client.limits.knee.outage import PROBE_FIRST_S, PROBE_MAX_S, Outage
from harness.client.limits.knee.pacing import Pacing
from harness.client.limits.knee.search import SEEK, Search
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


def spent(outage: Outage, begin: float, lasted: float, count: int) -> None:
    """After `count` successes nothing is accepted from `begin` on; the first of them ended the outage before.

    As in `knee`, a success is counted, and then ends the outage.
    """
    outage.count += count - 1
    outage.failed(ended(begin, Outcome.rejected, streak=3))
    outage.count += 1
    outage.end(begin + lasted)


def quota() -> Outage:
    """60 answers within a second, then nothing for the rest of ten."""
    outage = Outage()
    for period in range(4):
        spent(outage, 10.0 * period + 1.0, 9.0, 60)
    return outage


def test_outages_that_follow_each_other_are_a_quota() -> None:
    outage = quota()
    assert outage.quota_per_s(math.inf) == pytest.approx(6.0)
    assert outage.period_s == pytest.approx(10.0)


def test_a_short_outage_at_the_end_of_a_period_corrects_the_pace() -> None:
    """At a pace of 6.3 a second the quota lasts for 9.5 s. The period before it was not spent."""
    outage = quota()
    spent(outage, 59.5, 0.5, 110)
    assert outage.quota_per_s(6.3) == pytest.approx(6.0, abs=0.05)
    spent(outage, 65.0, 0.5, 30)
    assert math.isinf(outage.quota_per_s(6.3))


def test_successes_of_probes_are_no_quota() -> None:
    """A server that fails again and again lets one probe through now and then."""
    outage = Outage()
    for period in range(9):
        spent(outage, 2.0 * period + 0.5, 1.0, 1)
    assert math.isinf(outage.quota_per_s(math.inf))


def test_outages_far_apart_are_no_quota() -> None:
    outage = Outage()
    for restart in range(5):
        spent(outage, 100.0 * restart, 5.0, 1000)
    assert math.isinf(outage.quota_per_s(math.inf))


def test_outages_at_uneven_intervals_are_no_quota() -> None:
    """The places of a client with few in flight are taken by others now and then."""
    outage = Outage()
    for begin in (1.0, 3.0, 4.0, 6.5, 7.0, 9.0, 9.5):
        spent(outage, begin, 0.3, 5)
    assert math.isinf(outage.quota_per_s(math.inf))


def test_the_pace_of_a_quota_grows_once_in_a_period() -> None:
    """That it is too high shows only at the end."""
    pacing = Pacing(100.0, 0.0, period_s=10.0)
    window(pacing, 0.0, 100.0, seconds=9.9)
    assert pacing.rate_per_s == 100.0
    window(pacing, 9.9, 100.0, seconds=9.9)
    assert 100.5 < pacing.rate_per_s < 101.5


def learnt() -> Knee:
    """A limit that has found four in flight at a server with 0.1 s."""
    limit = Knee(initial=4, maximum=4)
    for k in range(200):
        limit.update(Sample(Outcome.ok, k / 40, k / 40 + 0.1, 4, 4, 0))
    return limit


def refused(at: float, in_flight: int) -> Sample:
    return Sample(Outcome.rejected, at - 0.005, at, in_flight, 4, 0)


def test_a_limit_that_refusals_lowered_is_regained_quickly() -> None:
    """All cuts in a row count as one: it is the limit before the first of them."""
    search = Search(20, 1, 256, SEEK["balanced"])
    for value, in_flight, at in ((20, 12, 1.0), (11, 6, 1.5)):
        search.value = value
        for instant in (at, at + 0.05, at + 0.1):
            search.ceiling.refused(refused(instant, in_flight), value, 0.1, 0)
        refusals.lower(search, at + 0.1)
    assert (search.value, search.regain) == (5, 20.0)


def test_a_refusal_bounds_the_rate_until_attempts_are_accepted_again() -> None:
    """Its place is free after 5 ms, and would be refused 200 times a second."""
    limit = learnt()
    limit.update(refused(5.3, 4))
    assert 30 <= limit.rate_per_s <= 80
    for k in range(6):
        limit.update(Sample(Outcome.ok, 5.31 + k / 40, 5.41 + k / 40, 4, 4, 0))
    assert limit.rate_per_s == math.inf


def test_an_outage_is_known_before_all_older_attempts_have_ended() -> None:
    """Of 32 in flight 14 have ended, and each attempt in their place is refused."""
    limit = Knee(initial=32, maximum=32)
    limit.update(refused(1.0, 32))
    for k in range(14):
        limit.update(Sample(Outcome.ok, 0.9, 1.0 + k / 100, 20, 32, 0))
        limit.update(refused(1.009 + k / 100, 31 - k))
    assert limit.cause == "outage"
    assert limit.rate_per_s <= 1.0 / PROBE_FIRST_S


def test_a_full_server_is_no_outage() -> None:
    """A new attempt takes the place of each that ends, and the next is refused."""
    limit = Knee(initial=32, maximum=32)
    limit.update(refused(1.0, 32))
    for k in range(14):
        limit.update(Sample(Outcome.ok, 0.9, 1.0 + k / 100, 20, 32, 0))
        limit.update(refused(1.009 + k / 100, 32))
    assert limit.cause != "outage"


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


def test_an_error_of_the_server_bounds_the_rate_at_once() -> None:
    """Its place is free at once, so each error would start an attempt that fails, too."""
    knee = Knee()
    knee.update(ended(1.0))
    knee.update(ended(1.1, Outcome.server_error))
    assert knee.rate_per_s < math.inf
