"""Sweeps of servers whose curve is known: the knee within one step of the grid, the right model, no peak made up.

More seeds: python -m tests.simulation.sweep.table
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment.sweep import SweepSettings
from harness.measure.sweep_result import SweepResult
from mock_server.profiles import load
from tests.simulation.sweep.known import HERE, RATES, is_near, swept, truth


def judged(directory: Path, profile: str, wanted: SweepSettings | None = None, **more: object) -> SweepResult:
    """The judgement of a valid sweep."""
    result = swept(directory / "run", profile, wanted, **more)
    assert result.verdict.status == "valid"
    assert result.sweep is not None
    return result.sweep


def test_a_flat_cap(tmp_path: Path) -> None:
    profile = load(HERE / "flat_cap.toml")
    limit = profile.capacity.workers / profile.service.base_s
    found = judged(tmp_path, "flat_cap", duration=6.0, slo="p99<250ms")
    assert found.knee == truth("flat_cap").knee == 16
    assert (found.model, found.peak, found.cliff, found.edge) == ("capped-linear", None, None, None)
    capped = next(one for one in found.fits if one.model == "capped-linear").parameters
    assert capped["limit_per_s"].value == pytest.approx(limit, rel=0.03)
    assert found.stopped is not None
    assert found.not_played == [128, 256]
    assert all(abs(point.little_residual or 0) < 0.01 for point in found.points)
    # The SLO is on the service time, because every item of a backlog is due at once.
    assert found.slo == "service_p99<250ms,errors<1%"
    assert (found.capacity, found.fails_from) == (16, 32)
    assert found.advice.startswith("Set concurrency to 16 (")
    assert "beyond 16 you only add latency" in found.advice


def test_a_scalability_law(tmp_path: Path) -> None:
    found = judged(tmp_path, "usl", seed=2)
    assert is_near(found.knee, truth("usl").knee)
    assert (found.model, found.cliff) == ("usl", None)
    assert found.peak is not None
    assert found.peak.value == pytest.approx(truth("usl").knee, rel=0.1)
    assert f"beyond {found.knee:.0f} throughput falls" in found.advice


def test_no_peak_outside_the_measured_range(tmp_path: Path) -> None:
    found = judged(tmp_path, "usl", SweepSettings(concurrency="1:16:x2"), seed=2)
    assert (found.model, found.peak, found.edge) == ("usl", None, "highest")
    assert "Extend --concurrency upwards" in found.advice


def test_a_cliff(tmp_path: Path) -> None:
    found = judged(tmp_path, "cliff", duration=6.0)
    assert (found.knee, found.cliff) == (16, 32)
    assert is_near(found.knee, truth("cliff").knee)
    assert (found.model, found.peak) == ("capped-linear", None)
    assert "collapses at 32" in found.advice


def test_by_rate_the_highest_rate_that_is_kept_up_with(tmp_path: Path) -> None:
    found = judged(tmp_path, "flat_cap", SweepSettings(rates=RATES), slo="p99<1s", repeats=1)
    assert found.knee in {130, 160}
    assert found.capacity in {130, 160}
    assert found.fails_from == 190
    assert found.not_played == [250, 260]
    assert "at 190/s a queue grows" in found.advice
