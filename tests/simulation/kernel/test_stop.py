"""A stop means the same in virtual time as in real time: the engine and the simulation share one player."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from harness.cli.signals import stopped_as_by_ctrl_c
from harness.client.errors import UsageError
from harness.client.types import Outcome
from harness.experiment.player import STOP_GRACE_S
from harness.experiment.simulate import SimulatedRun, simulate
from harness.experiment.simulate.case import play
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.virtual_loop import run as run_virtual
from harness.experiment.spec import CaseSpec
from harness.measure.record.plan import PlanCase, TaskShare
from harness.measure.result import Named
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stop_signal_cancels_and_is_never_raised_inside_a_task(number: signal.Signals) -> None:
    """Raised there, it would be an error of the layer or application that happened to run, and the run would go on."""
    seen: list[type[BaseException]] = []

    async def layer() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.sleep(1.0)
        except BaseException as error:
            seen.append(type(error))
            raise

    async def main() -> None:
        await asyncio.gather(asyncio.create_task(layer()), return_exceptions=True)
        await asyncio.sleep(1e6)

    with stopped_as_by_ctrl_c():
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            run_virtual(main())
        assert signal.getsignal(number) is before
    assert seen == [asyncio.CancelledError]


def test_a_stop_that_the_main_task_swallows_still_ends_the_run() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            return

    with stopped_as_by_ctrl_c(), pytest.raises(KeyboardInterrupt):
        run_virtual(main())


@pytest.mark.parametrize(("concurrency", "drain_s"), [(8, 30.0), (64, 30.0), (64, 0.1)])
def test_a_planned_stop_ends_a_backlog_without_unsent_items(tmp_path: Path, concurrency: int, drain_s: float) -> None:
    """Items given out before it are sent and answered. Only a drain that is too short leaves some."""
    spec = CaseSpec(
        name="level",
        strategy=Named("queue-stream", {"concurrency": concurrency}),
        tasks=[TaskShare(Named("similarity"))],
        synthetic={},
        items=100_000,
        stop_s=5.0,
        drain_s=drain_s,
        transport="simulated",
    )
    server = SimulatedServer(servers.written(tmp_path, servers.CONSTANT), seed=1)
    (tmp_path / "records").mkdir()
    run = play(spec.trial("simulated:", tmp_path / "records"), server)
    # Eight workers, 80/s.
    assert run.end.scheduled == run.end.pulled == run.end.recorded + run.end.not_sent
    assert run.end.interrupted is None
    assert (run.end.not_sent + run.count(Outcome.unfinished) > 0) is (drain_s < 1)
    assert run.count(Outcome.ok) >= 5.0 * 80
    assert run.virtual_s <= 5.0 + min(drain_s, 3 * concurrency / 80) + 0.1


def test_only_a_backlog_has_a_planned_stop() -> None:
    with pytest.raises(UsageError, match="stop_s=5"):
        PlanCase(name="a", strategy=Named("sync"), tasks=[], load=Named("poisson", {"rate_per_s": 1.0}), stop_s=5.0)
