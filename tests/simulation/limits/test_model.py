"""The model of servers and clients that limits are judged in, held to what is known without it."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from harness import plugins
from harness.client.limits.fixed import Fixed
from harness.client.types import Sample
from tests.simulation.limits.references import FILE, SEEDS, SUITE_SEEDS, fingerprint, reference
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Scores, best_static, calm, fairness, scores, static_scores, swept
from tests.simulation.limits.server import OTHERS, Shape, shapes

SHORT = Shape("short", workers=8, service_s=0.1, law="constant", duration_s=10.0)


def test_the_knee_of_workers_is_their_number() -> None:
    """Constant service: below it throughput is n / s, above it nothing but waiting is added."""
    best = best_static(SHORT, swept(SHORT, 1, grid=(1, 4, 7, 8, 16)))
    assert best.limit == 8
    assert best.p50_s == pytest.approx(0.1)
    assert play(SHORT, lambda: Fixed(4), 1).ok == pytest.approx(400, abs=8)
    assert play(SHORT, lambda: Fixed(16), 1).p50_s == pytest.approx(0.2)


def test_the_reference_has_the_best_score_and_not_the_most_successes() -> None:
    """A token bucket: with 12 in flight more succeed than with 8, and many are refused."""
    shape = Shape("rate", workers=1000, rate_per_s=100.0, duration_s=20.0)
    runs = swept(shape, 1, grid=(4, 8, 12, 40))
    assert runs[12].ok > 1.1 * runs[8].ok
    assert best_static(shape, runs).limit == 8
    assert static_scores(shape, runs, calm(runs))[40] < 0.1


def test_a_score_falls_with_refusals_queueing_and_unfairness() -> None:
    """Up to twice the latency is free, of the median and of the 99th percentile."""
    assert Scores(0.9, p50=2.0, p99=1.9).score == pytest.approx(0.9)
    assert Scores(0.9, p50=1.0, p99=4.0).score == pytest.approx(0.45)
    assert Scores(0.9, p50=4.0, p99=2.0).score == pytest.approx(0.45)
    assert Scores(0.8, refusals=1.0, jain=0.5).score == pytest.approx(0.2)


def test_fairness_counts_only_while_clients_are_together() -> None:
    """Two clients that join 4 s apart are fair although the first has twice as much in all."""
    shape = dataclasses.replace(SHORT, clients=2, stagger_s=4.0, duration_s=8.0)
    played = play(shape, lambda: Fixed(4), 1)
    assert played.owners.count(0) > 1.9 * played.owners.count(1)
    jain, least = fairness(played, shape)
    assert jain > 0.999
    assert least > 0.98
    beside = dataclasses.replace(SHORT, beside=24)
    jain, least = fairness(play(beside, lambda: Fixed(8), 1), beside)
    assert (jain, least) == (pytest.approx(0.8, abs=0.02), pytest.approx(0.5, abs=0.05))


def test_a_client_that_left_sends_nothing() -> None:
    """Each stays for 3 s: after 5 s nobody is there."""
    shape = dataclasses.replace(SHORT, clients=2, stagger_s=2.0, stay_s=3.0)
    assert max(play(shape, lambda: Fixed(4), 1).done) == pytest.approx(5.1, abs=0.11)


def test_a_crowd_slows_all_alike() -> None:
    """Up to 4 do not disturb each other; 8 take 1 + 4 x 0.25 times as long."""
    shape = dataclasses.replace(SHORT, workers=100, crowd=4, crowding=0.25)
    assert [round(play(shape, lambda n=n: Fixed(n), 1).p50_s, 6) for n in (4, 8)] == [0.1, 0.2]  # type: ignore[misc]


def test_what_is_never_answered_costs_its_timeout() -> None:
    """Half of the requests hold a slot for 2 s."""
    played = play(dataclasses.replace(SHORT, silent_share=0.5, timeout_s=2.0, duration_s=60.0), lambda: Fixed(4), 1)
    assert played.refused == pytest.approx(played.ok, rel=0.5)
    assert played.ok < 6 * 60


def test_the_way_back_is_part_of_the_latency() -> None:
    """100 ms of work, 50 ms on the way: 4 in flight give 4 / 0.15 a second."""
    played = play(dataclasses.replace(SHORT, network_s=0.05), lambda: Fixed(4), 1)
    assert played.p50_s == pytest.approx(0.15)
    assert played.ok == pytest.approx(10 * 4 / 0.15, abs=5)


def test_the_references_are_those_of_the_shapes() -> None:
    """Made again with `python -m tests.simulation.limits.references` when a shape or the model changes."""
    known = json.loads(FILE.read_text(encoding="utf-8"))
    listed = shapes()
    for shape in (*listed, *shapes(OTHERS)):
        assert known[shape.name]["of"] == fingerprint(shape), shape.name
        assert len(known[shape.name]["seeds"]) == (len(SEEDS) + len(SUITE_SEEDS) if shape in listed else 3)


@pytest.mark.parametrize("name", ["constant_8", "exponential_8", "rate_limit", "quota_25_1", "outage_brief"])
def test_a_reference_can_be_played_again(name: str) -> None:
    """The file holds what the model does now."""
    shape = next(shape for shape in shapes() if shape.name == name)
    kept = reference(shape, SEEDS[0])
    assert play(shape, lambda: Fixed(kept.limit), SEEDS[0]).ok == kept.ok


class Paced:
    """Four in flight: one start in 4 s for a moment, then all at once, then 100 a second."""

    def __init__(self) -> None:
        self.value, self.rate_per_s, self.answers = 4, math.inf, 0

    def update(self, sample: Sample, /) -> None:
        self.answers += 1
        self.rate_per_s = 0.25 if 4 <= self.answers < 8 else math.inf if self.answers <= 8 else 100.0


def test_a_rate_begins_and_ends_as_in_the_product() -> None:
    """A start that was due much later, at a rate that has ended since, does not delay the next rate."""
    played = play(dataclasses.replace(SHORT, duration_s=0.45), Paced, 1)
    assert played.done == pytest.approx([0.1] * 4 + [0.2] * 4 + [0.3] * 4 + [0.4, 0.41, 0.42, 0.43])


class Carried(Paced):
    """Two starts in a second from the first one on, as with a pace that was learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.rate_per_s = 2.0

    def update(self, sample: Sample, /) -> None:
        """Keep it."""


def test_a_rate_that_a_limit_begins_with_holds_from_the_first_start() -> None:
    played = play(dataclasses.replace(SHORT, duration_s=1.2), Carried, 1)
    assert played.done == pytest.approx([0.1, 0.6, 1.1])


def test_a_full_queue_refuses_and_counts() -> None:
    """8 in service, 2 places: of 12 in flight two are always refused."""
    played = play(dataclasses.replace(SHORT, queue=2), lambda: Fixed(12), 1)
    assert played.refused > 0
    assert played.ok == pytest.approx(800, abs=16)


def test_contention_lowers_the_best() -> None:
    """With the universal scalability law more in flight gives less beyond its optimum."""
    shape = dataclasses.replace(SHORT, workers=1000, contention=0.02, coherence=0.0015)
    done = [play(shape, lambda n=n: Fixed(n), 1).ok for n in (4, 24, 128)]  # type: ignore[misc]  # loop variable
    assert done[0] < done[1] > done[2]


def test_a_stall_stops_everything_and_no_work_is_lost() -> None:
    """One second in five stands still: four fifths are done."""
    stalled = dataclasses.replace(SHORT, stall_every_s=5.0, stall_s=1.0)
    assert play(stalled, lambda: Fixed(8), 1).ok == pytest.approx(720, abs=16)


def test_the_same_seed_gives_the_same_run() -> None:
    shape = dataclasses.replace(SHORT, law="lognormal", clients=2, stagger_s=1.0)
    runs = [play(shape, lambda: plugins.build("limit", "aimd", {}), 7) for _ in range(2)]
    assert runs[0].done == runs[1].done


@pytest.mark.parametrize("name", [name for name in plugins.names("limit") if name != "fixed"])
def test_every_limit_keeps_a_plain_server_busy(name: str) -> None:
    """Constant service on 8 workers is the easiest shape there is; nobody may fail it."""
    found = scores(play(SHORT, lambda: plugins.build("limit", name, {}), 1), SHORT, reference(SHORT))
    assert found.efficiency > 0.8
    assert found.refusals == 0


def test_every_shape_loads_and_is_described() -> None:
    assert len(shapes()) >= 60
    assert all(shape.about for shape in shapes())
