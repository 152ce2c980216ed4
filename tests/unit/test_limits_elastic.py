"""Our limit that keeps a small queue: what may never move it, its bounds, and that it finds plain knees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.client.limits.elastic import Elastic
from harness.client.types import Outcome, Sample
from tests.simulation.limits.run import play, reference, scores
from tests.simulation.limits.server import Shape

HARMLESS = (Outcome.client_error, Outcome.cancelled, Outcome.not_sent, Outcome.bad_response)


def test_what_the_caller_did_never_moves_it() -> None:
    limit = Elastic()
    for k in range(1000):
        limit.update(Sample(HARMLESS[k % 4], k, k + 9.0, 100, limit.value, 0))
    assert limit.value == 4


def test_refusals_under_an_older_limit_are_not_counted() -> None:
    limit = Elastic(initial=8)
    for k in range(100):
        limit.update(Sample(Outcome.rejected, k, k + 0.01, 8, 8, 7))
    assert limit.value == 8


def test_an_idle_application_never_grows_it() -> None:
    """Two in flight under a limit of 4 say nothing about 8."""
    limit = Elastic()
    for k in range(1000):
        limit.update(Sample(Outcome.ok, k, k + 0.1, 2, 4, 0))
    assert limit.value == 4


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="maximum=3 must be at least minimum=5"):
        Elastic(minimum=5, maximum=3)
    with pytest.raises(SettingError, match="seek='fast'"):
        Elastic(seek="fast")  # type: ignore[arg-type]  # the mistake that is tested


@given(st.lists(st.tuples(st.sampled_from(list(Outcome)), st.floats(0.0, 10.0), st.integers(1, 64)), max_size=400))
def test_it_stays_within_its_bounds(steps: list[tuple[Outcome, float, int]]) -> None:
    """Whatever is told, in any order, also answers that took no time at all."""
    limit, generation, now = Elastic(minimum=2, maximum=40), 0, 0.0
    for outcome, latency_s, in_flight in steps:
        before = limit.value
        now += latency_s / 7
        limit.update(Sample(outcome, now - latency_s, now, in_flight, before, generation))
        generation += limit.value != before
        assert 2 <= limit.value <= 40


@pytest.mark.parametrize("workers", [8, 24])
def test_it_finds_the_knee_of_plain_workers(workers: int) -> None:
    """Nine tenths of the best static limit at most at twice its latency, the start included."""
    shape = Shape("plain", workers=workers, law="lognormal", sigma=0.5, duration_s=40.0)
    found = scores(play(shape, Elastic, 3), shape, reference(shape, grid=(workers, 2 * workers)))
    assert found.efficiency > 0.88
    assert found.p50 < 2.0
    assert found.overshoot_start <= 4
