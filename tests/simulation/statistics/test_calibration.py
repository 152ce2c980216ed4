"""Intervals contain the truth as often as they say, and simulated queues wait as long as theory says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.client.types import Outcome
from harness.experiment.cases import cases, describe
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.case import play
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.measure.reduce import columns
from tests.simulation.statistics.calibration import FIGURES, REQUESTS, coverage

SERVICE_S = 0.01
PROFILE = """[service]
base_s = 0.01
[service.jitter]
kind = "{jitter}"
[capacity]
workers = {workers}
"""


@pytest.mark.parametrize("load", REQUESTS)
def test_95_percent_intervals_contain_the_truth_in_92_to_98_percent_of_300_experiments(load: float) -> None:
    """A side without a bound counts as a miss."""
    found = coverage(load)
    assert {name: share for name, share in found.items() if not 0.92 <= share <= 0.98} == {}, found
    assert set(found) == set(FIGURES)


def erlang_c(servers: int, load: float) -> float:
    """The probability of a wait in M/M/c; `load` is per server."""
    below, term = 0.0, 1.0
    for k in range(servers):
        below += term
        term *= servers * load / (k + 1)
    return term / (term + (1 - load) * below)


@pytest.mark.parametrize(
    ("jitter", "workers", "load", "wait"),
    [
        ("exponential", 1, 0.5, 0.5 / 0.5),
        ("constant", 1, 0.7, 0.7 / (2 * (1 - 0.7))),
    ],
    ids=["M/M/1", "M/D/1"],
)
def test_the_mean_wait_of_a_simulated_queue_is_within_3_percent_of_theory(
    jitter: str, workers: int, load: float, wait: float, tmp_path: Path
) -> None:
    """`wait` is in units of the mean service time: Erlang C, and Pollaczek and Khinchine."""
    path = tmp_path / "queue.toml"
    path.write_text(PROFILE.format(jitter=jitter, workers=workers))
    settings = RunSettings(
        strategies=("unbounded",),
        server=str(path),
        load="poisson",
        rate=load * workers / SERVICE_S,
        duration=ITEMS * SERVICE_S / (load * workers),
        seed=SEED,
        simulated=True,
    )
    (case,) = cases(settings, describe("backlog"))
    played = play(case.trial("", tmp_path), SimulatedServer(str(path), settings.seed))
    ok = played.rows[played.rows["outcome"] == Outcome.ok]
    assert len(ok) == len(played.rows)
    mean_wait = columns.latency(ok).mean() / 1e9 / SERVICE_S - 1
    assert mean_wait == pytest.approx(wait, rel=0.03)


ITEMS = 30_000
SEED = 1
