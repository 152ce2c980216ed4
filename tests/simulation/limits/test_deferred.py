"""Our limit learns from most successes later and together; that changes nothing that it does."""

from __future__ import annotations

import pytest

from harness.client.limits.knee import Knee
from harness.client.limits.knee.deferred import Deferred
from harness.client.types import Outcome, Sample
from tests.simulation.limits.run import play
from tests.simulation.limits.server import shapes

SHAPES = {shape.name: shape for shape in shapes()}
PLAYED = ("exponential_16", "mixture_12", "outage_brief", "random_500s", "small_queue_429", "clients_8_leave")


@pytest.mark.parametrize("name", PLAYED)
def test_a_limit_that_defers_does_the_same_as_one_that_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deferring = play(SHAPES[name], Knee, 31)
    monkeypatch.setattr(Deferred, "plan", lambda *_: None)
    prompt = play(SHAPES[name], Knee, 31)
    assert deferring.limits == prompt.limits
    assert deferring.done == prompt.done


def test_most_successes_are_deferred_and_the_next_failure_learns_from_them_first() -> None:
    """A time-out is judged beside all answers before it."""
    kept: list[int] = []

    class Counting(Knee):
        def update(self, sample: Sample, /) -> None:
            super().update(sample)
            kept.append(len(self._deferred.samples))

    limits: list[Counting] = []

    def new() -> Counting:
        limits.append(Counting())
        return limits[-1]

    played = play(SHAPES["exponential_16"], new, 31)
    assert sum(count > 0 for count in kept) > 0.6 * len(kept)
    limit, now = limits[0], played.done[-1]
    for _ in range(1_000):
        if limit._deferred.samples:
            break
        now += 0.001
        limit.update(Sample(Outcome.ok, now - 0.1, now, 16, limit.value, 10**6))
    assert limit._deferred.samples
    limit.update(Sample(Outcome.timed_out, now - 0.05, now + 0.001, 16, limit.value, 10**6))
    assert not limit._deferred.samples
    assert limit._search.done[-1] == now
