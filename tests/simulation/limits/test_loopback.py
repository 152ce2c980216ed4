"""What compares the limits over real HTTP with the simulation: its words, and that it plays at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from harness.strategies.adaptive import Adaptive
from harness.strategies.queue_stream import QueueStream
from tests.bench import loopback_clients
from tests.bench.loopback_limits import fitted, reference
from tests.bench.loopback_report import BEGIN, END, Compared, report, written
from tests.bench.real_play import RealPlay
from tests.simulation.limits.profiles import toml
from tests.simulation.limits.run import Played
from tests.simulation.limits.score import Reference, Scores
from tests.simulation.limits.server import Shape, shapes

SHAPES = {shape.name: shape for shape in shapes()}
QUICK = Shape("quick", about="8 workers", workers=8, service_s=0.02, law="constant", duration_s=2.0)
BEST = Reference(8, 400, 0.02, 0.02, 0.02)


def worth(efficiency: float) -> Scores:
    return Scores(efficiency)


def two_ways(real: dict[str, float], lean: dict[str, float]) -> Compared:
    return Compared(
        QUICK,
        BEST,
        BEST,
        {name: worth(score) for name, score in real.items()},
        {name: [worth(score)] * 2 for name, score in lean.items()},
        0.004,
    )


def test_equal_rankings_agree_and_opposite_ones_do_not() -> None:
    """Tau from 1 to -1; pairs that the simulation cannot tell apart do not count."""
    order = {"knee": 0.9, "arc": 0.7, "aimd": 0.69, "vegas": 0.3}
    same = two_ways({"knee": 0.8, "arc": 0.6, "aimd": 0.5, "vegas": 0.4}, order)
    assert (same.tau, same.pairs, same.ours_first) == (pytest.approx(1.0), (5, 5), (True, True))
    turned = two_ways({"knee": 0.1, "arc": 0.2, "aimd": 0.3, "vegas": 0.4}, order)
    assert (turned.tau, turned.pairs, turned.ours_first) == (pytest.approx(-1.0), (0, 5), (False, True))
    assert two_ways({"arc": 0.5, "aimd": 0.5}, {"arc": 0.5, "aimd": 0.5}).ours_first is None
    assert "1 shapes 5 of 5 pairs" in report([same])
    assert "| knee | 0.80 (0.90) | 1.00 (1.00) | 0.00 (0.00) | 0.80 (0.90) |" in report([same])
    assert "on 1 of 2." in report([same, turned])


def test_the_tables_go_between_their_marks(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    written(document, "new")
    assert document.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_shape_is_made_as_fast_as_allowed_and_a_schedule_is_kept_whole() -> None:
    """160/s may become 480/s in 10 s; 32-8-32 needs its three thirds."""
    fast = fitted(SHAPES["constant_16"], 10.0, 480.0)
    assert fast.duration_s == 10.0
    assert fast.service_s == pytest.approx(0.1 / 3, rel=0.02)
    steps = fitted(SHAPES["capacity_steps"], 10.0, 640.0)
    assert steps.service_s == pytest.approx(0.05, rel=0.03)
    assert steps.steps == ((pytest.approx(10.0), 8), (pytest.approx(20.0), 32))
    assert steps.duration_s == pytest.approx(30.0)


def test_the_reference_has_the_best_score() -> None:
    played = {n: Played(ok=ok, latencies=[n / 100], limits=[(0.0, n, "")]) for n, ok in ((4, 300), (8, 395), (16, 400))}
    assert reference(played, QUICK) == Reference(8, 395, 0.04, 0.04, 0.02)
    with pytest.raises(SystemExit, match="no static number had"):
        reference({4: replace(played[4], ok=0)}, QUICK)


@pytest.mark.slow
def test_a_shape_is_played_for_real(tmp_path: Path) -> None:
    """A mock process, a client process, two seconds: no rate is asserted, that is for a quiet machine."""
    profile = tmp_path / "quick.toml"
    profile.write_text(toml(QUICK), encoding="utf-8")
    with RealPlay(profile, QUICK, 1, tmp_path) as real:
        played = real.play("4")
    assert played.ok > 0
    assert played.refused == played.errors == 0
    assert played.p50_s > 0.015
    assert max(played.done) < QUICK.duration_s
    assert list(tmp_path.iterdir()) == [profile]


def test_the_clients_of_the_bench_are_played_in_virtual_time_too(tmp_path: Path) -> None:
    """Two with five in flight each at a server of sixteen workers: no one waits, and each has half."""
    profile = tmp_path / "server.toml"
    profile.write_text(loopback_clients.SERVER.format(base_s=0.1), encoding="utf-8")
    shared = loopback_clients.simulated(profile, QueueStream(5), 2, 1.0, 20.0, seed=1)
    per_s, p50, fair, least = shared.figures(shared, 20.0)
    assert per_s == pytest.approx(100.0, rel=0.15)
    assert p50 == 1.0
    assert fair == pytest.approx(1.0, abs=0.02)
    assert least == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_clients_and_an_outage_are_played_for_real(tmp_path: Path) -> None:
    """Two clients for half a second, and a short job; no figure is asserted, that is for a quiet machine."""
    fault = loopback_clients.FAULT.format(kind=loopback_clients.KINDS["503"], begin=0.6, end=0.7)
    with loopback_clients.served(loopback_clients.SERVER.format(base_s=0.02) + fault, tmp_path) as url:
        shared = asyncio.run(loopback_clients.together(url, Adaptive(), 2, 0.1, 0.4))
        _, failed = asyncio.run(loopback_clients.job(url, Adaptive(), 60))
    assert len(shared.latencies_s) == sum(shared.shares) > 0
    assert 0.0 <= shared.least <= 1.0
    assert failed == 0


@pytest.mark.slow
def test_the_table_of_clients_has_the_simulation_in_brackets(tmp_path: Path) -> None:
    """A line a strategy, with each figure twice."""
    lines = list(loopback_clients.clients(tmp_path, 2, 0.1, 0.4, 0.02, seeds=[1]))
    assert len(lines) == 2 + len(loopback_clients.SHARING)
    assert {line.count(" (") for line in lines[2:]} == {4}
