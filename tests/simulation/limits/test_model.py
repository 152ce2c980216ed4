"""The model of servers and clients that limits are judged in, held to what is known without it."""

from __future__ import annotations

import dataclasses

import pytest

from harness import plugins
from harness.client.limits.fixed import Fixed
from tests.simulation.limits.run import play, reference, scores
from tests.simulation.limits.server import Shape, shapes

SHORT = Shape("short", workers=8, service_s=0.1, law="constant", duration_s=10.0)


def test_the_knee_of_workers_is_their_number() -> None:
    """Constant service: below it throughput is n / s, above it nothing but waiting is added."""
    best = reference(SHORT, grid=(1, 4, 7, 8, 16))
    assert best.knee == 8
    assert best.p50_s == pytest.approx(0.1)
    assert play(SHORT, lambda: Fixed(4), 1).ok == pytest.approx(400, abs=8)
    assert play(SHORT, lambda: Fixed(16), 1).p50_s == pytest.approx(0.2)


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
    found = scores(play(SHORT, lambda: plugins.build("limit", name, {}), 1), SHORT, reference(SHORT, grid=(4, 8)))
    assert found.efficiency > 0.8
    assert found.refusals == 0


def test_every_shape_loads_and_is_described() -> None:
    assert len(shapes()) >= 25
    assert all(shape.about for shape in shapes())
