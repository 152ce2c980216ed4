"""A stop means the same in virtual time as in real time: the engine and the simulation share one player."""

from __future__ import annotations

from pathlib import Path

from harness.client.types import Outcome
from harness.experiment.player import STOP_GRACE_S
from harness.experiment.simulate import SimulatedRun, simulate
from tests.simulation.kernel import servers

STOP_S = 20.0


def _stopped(tmp_path: Path, **terms: object) -> SimulatedRun:
    given = {"rate_per_s": 100.0, "load": "constant", "duration_s": 60.0, "seed": 7, "stop_s": STOP_S, **terms}
    server = servers.written(tmp_path, servers.CONSTANT)  # eight workers, 80/s
    return simulate("queue-stream:concurrency=8", server, **given)  # type: ignore[arg-type] # a test's own terms


def test_requests_due_before_the_stop_are_sent_in_the_grace_and_not_after_it(tmp_path: Path) -> None:
    run = _stopped(tmp_path)
    sent = run.rows[run.rows["sent"] >= 0]
    late = sent[sent["sent"] > STOP_S * 1e9]
    assert len(late) > 0
    assert late["sent"].max() <= (STOP_S + STOP_GRACE_S) * 1e9
    assert late["due"].max() <= STOP_S * 1e9
    assert set(late["outcome"].tolist()) == {Outcome.ok}
    assert run.count(Outcome.not_sent) > 0
    assert run.end.scheduled == run.end.recorded + run.end.not_sent == 2001


def test_a_stop_wakes_a_client_that_waits_for_the_next_arrival(tmp_path: Path) -> None:
    run = _stopped(tmp_path, rate_per_s=0.06, duration_s=3600.0)
    assert run.virtual_s == STOP_S
    assert run.end.scheduled == len(run.rows) == 2


def test_a_client_that_would_join_after_the_stop_does_not(tmp_path: Path) -> None:
    run = _stopped(tmp_path, clients=2, joins_s=(0.0, 30.0))
    assert set(run.rows["user"].tolist()) == {0}
    assert run.virtual_s < 21


def test_without_a_drain_the_last_arrival_is_still_sent(tmp_path: Path) -> None:
    run = _stopped(tmp_path, stop_s=float("inf"), rate_per_s=10.0, duration_s=2.0, drain_s=0.0)
    assert run.end.not_sent == 0
    assert len(run.rows) == run.end.scheduled
