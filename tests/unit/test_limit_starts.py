"""Starts of our limit that few answers could mislead, and the first drains after them."""

from __future__ import annotations

import pytest

from harness.client.limits.knee import Knee, draining
from harness.client.limits.knee.quantiles import quantiles
from harness.client.limits.knee.search import SEEK, Search
from harness.client.limits.knee.start import ANSWERS_MAX, Start
from harness.client.types import Outcome, Sample
from tests.unit.test_limit_parts import exponential, judged, measured


def ends_early(seed: int) -> bool:
    """Whether a start ends although nothing waits, with the few answers that its blocks have."""
    start = Start()
    for value in (4, 8, 16, 32):
        share = judged(start, value, exponential(16, seed=1000 * seed + value))
        if share is None:
            share = judged(start, value, exponential(ANSWERS_MAX, seed=1000 * seed + value))
        if share:
            return True
    return False


def test_few_answers_of_exponential_times_hardly_ever_end_the_start() -> None:
    """A lucky first block made one start in twenty end at a quarter of what the server takes."""
    assert sum(ends_early(seed) for seed in range(400)) <= 4


def test_a_wait_longer_than_the_mean_of_those_that_are_back_does_not_break_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The longest are not back yet, so the share of waiting can exceed one; a root of a negative number was taken."""
    knee = Knee(initial=16)
    knee._search.begin._rates.append((16, 100.0))
    monkeypatch.setattr(Start, "judge", lambda *_: 1.2)
    for k in range(24):
        knee.update(Sample(Outcome.ok, 0.0, 0.1 + 0.01 * k, 16, 16, 0))
    assert knee._search.phase == "rest"
    assert knee.value == 8


@pytest.mark.parametrize(("value", "known"), [(40, True), (20, False)])
def test_a_drain_is_compared_only_with_latencies_at_its_own_limit(value: int, known: bool) -> None:
    """Those of a limit that was just given up hold its queue: the drain then seemed to answer as many with half."""
    search = Search(value, 1, 256, SEEK["balanced"])
    search.begin.fastest = quantiles(exponential(64))
    search.phase, search.last = "rest", (9.9, measured(40))
    assert draining.begin(search, 10.0)
    assert search.drain is not None
    assert (search.drain.before is not None) is known


def test_a_first_drain_too_short_for_any_answer_is_followed_by_a_longer_one() -> None:
    """A block of the start that is fast by chance gives a service time far too short, and growth waited for a drain."""
    search = Search(20, 1, 256, SEEK["balanced"])
    search.begin.fastest = quantiles([0.001] * 16)
    search.phase, search.latency_s = "rest", 0.2
    assert draining.begin(search, 10.0)
    first = search.drain
    assert first is not None
    draining.learn(search, first)
    search.phase, search.value = "rest", 20
    assert draining.begin(search, 12.0)
    assert search.drain is not None
    assert search.drain.ends - search.drain.begins > 0.3 > first.ends - first.begins
