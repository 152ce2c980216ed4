"""A service time above the fastest answer: load, or the server's usual spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.judge.usual_spread import low_quantile_s
from harness.measure.reduce.statistics import distribution
from harness.measure.result import Distribution
from tests.simulation.kernel.servers import written

EXPONENTIAL, LOGNORMAL, CONSTANT = "{kind = 'exponential'}", "{kind = 'lognormal', cv = 0.5}", "{kind = 'constant'}"


def limited_by(tmp_path: Path, jitter: str, workers: int, strategy: str) -> tuple[str, str]:
    """The limiting factor of one strategy alone, and its text."""
    text = f"[service]\nbase_s = 0.1\njitter = {jitter}\n[capacity]\nworkers = {workers}\nqueue_max = 100000\n"
    server = str(written(tmp_path, text))
    run = prepare(RunSettings(strategies=(strategy,), server=server, items=3000, simulated=True, out=tmp_path / "run"))
    result, _ = execute(run, lambda event, facts: None, VirtualTime(run))
    found = result.cases[0].diagnosis
    return found.limited_by, found.text


@pytest.mark.parametrize("jitter", [EXPONENTIAL, LOGNORMAL, "{kind = 'gamma', cv = 0.7}"])
def test_a_server_with_room_is_not_the_limit_because_its_times_vary(jitter: str, tmp_path: Path) -> None:
    """Exponential times of the idle server are hundreds of times its fastest one."""
    factor, text = limited_by(tmp_path, jitter, 1000, "queue-stream:concurrency=8")
    assert factor == "unknown"
    assert "the fastest answer of this server, which may be caused by load or by the server's usual spread" in text


@pytest.mark.parametrize("jitter", [EXPONENTIAL, LOGNORMAL, CONSTANT])
@pytest.mark.parametrize("strategy", ["queue-stream:concurrency=64", "unbounded"])
def test_a_queue_is_seen_beyond_the_spread(jitter: str, strategy: str, tmp_path: Path) -> None:
    """Eight workers; the times lie close together, or evenly from the first to the last of a queue."""
    assert limited_by(tmp_path, jitter, 8, strategy)[0] == "server"


def test_a_pile_without_a_queue_is_not_taken_for_one(tmp_path: Path) -> None:
    """All at once on a server with a worker for each: late answers are long ones, and there are ever fewer."""
    assert limited_by(tmp_path, EXPONENTIAL, 4000, "unbounded")[0] != "server"


def test_a_low_quantile_is_read_from_the_histogram() -> None:
    """To within a bucket, which is a tenth or a fifth wide."""
    times = np.random.default_rng(1).exponential(1e8, 10_000).astype(np.int64)
    assert low_quantile_s(distribution([times])) == pytest.approx(float(np.quantile(times, 0.1)) / 1e9, rel=0.12)
    assert low_quantile_s(Distribution()) is None
