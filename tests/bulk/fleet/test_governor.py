"""One concurrency limit for all workers: what it learns from, and how its value is divided."""

from __future__ import annotations

from random import Random

import pytest

from harness import plugins
from harness.bulk.fleet.governor import Governor, limit_of
from harness.bulk.fleet.messages import Beat, Progress
from harness.bulk.tally import RowCounts
from harness.client.types import Outcome, Sample

WORK = [Progress(0, 1, 0, RowCounts())]


class Notes:
    """A limit that notes its calls, and does what the test says."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.samples: list[Sample] = []

    def update(self, sample: Sample, /) -> None:
        self.samples.append(sample)


def seen(done: float, in_flight: int = 1, generation: int = 0) -> Sample:
    return Sample(Outcome.ok, done - 0.1, done, in_flight, limit=5, generation=generation)


def test_the_limit_sees_the_calls_of_all_workers_in_the_order_of_their_ends() -> None:
    """On the coordinator's clock, with all calls in flight; only what nobody can precede any more."""
    limit = Notes(20)
    governor = Governor(limit, None, None)
    # The clock of w2 is 1000 s ahead, and its messages take 5 ms less.
    governor.hear(Beat("w1", now=9.99, progress=WORK, in_flight=4), 10.0)
    governor.hear(Beat("w2", now=1009.995, progress=WORK, in_flight=6), 10.0)
    governor.hear(Beat("w1", now=10.09, progress=WORK, in_flight=4, seen=[seen(10.02, 4), seen(10.06, 3)]), 10.1)
    assert limit.samples == [], "w2 may still tell of earlier ones"
    governor.hear(Beat("w2", now=1010.095, progress=WORK, in_flight=6, seen=[seen(1010.04, 5)]), 10.1)
    assert [round(sample.done, 3) for sample in limit.samples] == [10.03, 10.045, 10.07]
    assert [sample.in_flight for sample in limit.samples] == [10, 9, 9]
    assert all(sample.limit == 20 for sample in limit.samples)


def test_a_worker_that_is_silent_does_not_hold_back_the_others() -> None:
    """After a second the limit learns without it."""
    limit = Notes(20)
    governor = Governor(limit, None, None)
    governor.hear(Beat("w1", now=0.0, progress=WORK), 0.0)
    governor.hear(Beat("w2", now=0.0, progress=WORK), 0.0)
    governor.hear(Beat("w2", now=0.5, progress=WORK, seen=[seen(0.4)]), 0.5)
    assert len(limit.samples) == 0
    governor.hear(Beat("w2", now=1.2, progress=WORK), 1.2)
    assert len(limit.samples) == 1


def test_samples_name_the_limit_under_which_they_started() -> None:
    """A worker hears of a change a moment later."""
    limit = Notes(20)
    governor = Governor(limit, None, None)
    governor.hear(Beat("w1", now=0.0, progress=WORK), 0.0)
    limit.update = lambda sample: setattr(limit, "value", 30)  # type: ignore[method-assign] # the test's own
    grant = governor.hear(Beat("w1", now=0.1, progress=WORK, seen=[seen(0.05)]), 0.1)
    assert grant.generation == 1
    assert grant.slots == 30
    del limit.update
    governor.hear(Beat("w1", now=0.3, progress=WORK, seen=[seen(0.2, generation=0), seen(0.25, generation=1)]), 0.3)
    assert [sample.limit for sample in limit.samples] == [20, 30]


@pytest.mark.parametrize("seed", range(4))
def test_no_more_calls_start_than_the_limit_allows(seed: int) -> None:
    """Whatever the workers want and however the limit moves: a smaller limit waits for calls to end."""
    rng, limit = Random(seed), Notes(24)
    governor = Governor(limit, None, None)
    held = dict.fromkeys(("w1", "w2", "w3"), 0)
    now = 0.0
    for _ in range(400):
        now += 0.03
        limit.value = max(1, min(60, limit.value + rng.choice([-6, 0, 0, 3])))
        name = rng.choice(list(held))
        grant = governor.hear(Beat(name, now=now, progress=WORK, in_flight=held[name], slots_short=True), now)
        started = max(0, grant.slots - held[name])
        assert sum(held.values()) + started <= max(limit.value, sum(held.values()))
        held[name] += started
        for other in held:
            held[other] -= rng.randint(0, held[other])


def test_an_idle_worker_leaves_its_slots_and_a_lost_one_too() -> None:
    """Nobody waits for slots that nobody uses."""
    governor = Governor(Notes(12), None, None)
    for now in (0.0, 0.1, 0.2):
        for name in ("w1", "w2", "w3"):
            busy = name != "w3"
            grant = governor.hear(Beat(name, now=now, progress=WORK if busy else [], slots_short=busy), now)
            if name == "w1":
                first = grant.slots
    assert first == 6
    governor.leave("w2")
    grant = governor.hear(Beat("w1", now=0.3, progress=WORK, in_flight=6, slots_short=True), 0.3)
    assert grant.slots == 12


def test_strategies_whose_concurrency_is_shared() -> None:
    """Others have their own numbers in each worker."""
    shared = {"queue-stream:concurrency=7": 7, "priority:concurrency=9": 9}
    assert {text: limit_of(plugins.make("strategy", text)).value for text in shared} == shared  # type: ignore[union-attr]
    assert limit_of(plugins.make("strategy", "adaptive:maximum=50")) is not None
    assert limit_of(plugins.make("strategy", "sync")) is None
    assert Governor(None, None, None).hear(Beat("w1"), 0.0).rate_per_s is None
