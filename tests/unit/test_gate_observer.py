"""Decisions of a limit reach the observer, and nothing else changes."""

from __future__ import annotations

import math

from harness.client import watching
from harness.client.gate.observer import ObservedLimit, observed
from harness.client.hooks import LimitDetails
from harness.client.limits.aimd import Aimd
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Sample


def _sample(done: float, outcome: Outcome = Outcome.ok) -> Sample:
    return Sample(outcome, done - 0.1, done, 1, 1, 0)


class Scripted:
    """A limit that takes the values of a list."""

    def __init__(self, steps: list[tuple[int, float, str]]) -> None:
        self.value, self.rate_per_s, self.cause = 4, math.inf, "start"
        self.uses_work = True
        self._steps = iter(steps)

    def update(self, sample: Sample, /) -> None:
        self.value, self.rate_per_s, self.cause = next(self._steps)


def test_value_and_pace_are_reported_when_they_change_and_only_then() -> None:
    changes: list[LimitDetails] = []
    steps = [(4, math.inf, "x"), (8, math.inf, "more"), (8, 50.0, "pace"), (8, 50.1, "pace"), (8, 60.0, "pace")]
    limit = ObservedLimit(Scripted([*steps, (2, 60.0, "slower")]), changes.append)
    seen = []
    for number in range(6):
        limit.update(_sample(float(number)))
        seen.append((limit.value, limit.rate_per_s))
    assert changes == [
        LimitDetails(1.0, 4, 8, "more", math.inf),
        LimitDetails(2.0, 8, 8, "pace", 50.0),
        LimitDetails(4.0, 8, 8, "pace", 60.0),
        LimitDetails(5.0, 8, 2, "slower", 60.0),
    ]
    assert seen[3] == (8, 50.1), "what the gate reads is exact, though it was not worth telling"
    assert limit.uses_work


def test_a_limit_without_causes_is_explained_by_its_last_sample() -> None:
    changes: list[LimitDetails] = []
    steps = [(value, math.inf, "") for value in (8, 4, 2, 1)]
    limit = ObservedLimit(Scripted(steps), changes.append)
    for number, outcome in enumerate((Outcome.ok, Outcome.ok, Outcome.rejected, Outcome.timed_out)):
        limit.update(_sample(float(number), outcome))
    assert [change.cause for change in changes] == ["raised", "lowered", "refused", "failed"]


def test_nobody_watches_and_fixed_limits_stay_what_they_are() -> None:
    learning, fixed = Aimd(), Fixed(3)
    assert observed(learning) is learning
    assert not hasattr(ObservedLimit(learning, lambda change: None), "rate_per_s")
    with watching(lambda change: None):
        assert observed(fixed) is fixed
        assert isinstance(observed(learning), ObservedLimit)
    assert observed(learning) is learning
