"""Whole cases in virtual time against servers of every shape: what theory says must come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from harness.experiment.simulate import DeadlockError, SimulatedRun, simulate
from tests.simulation.kernel import servers


def _run(tmp_path: Path, text: str, strategy: str = "queue-stream:concurrency=8", **terms: object) -> SimulatedRun:
    return simulate(strategy, servers.written(tmp_path, text), **{"items": 400, "seed": 7, **terms})  # type: ignore[arg-type] # a test's own terms


def test_littles_law_holds_to_the_nanosecond(tmp_path: Path) -> None:
    """Eight in flight at 100 ms on eight workers: 80/s, every service time the same."""
    run = _run(tmp_path, servers.CONSTANT)
    assert run.count(Outcome.ok) == run.seen == 400
    assert run.virtual_s == pytest.approx(5.0)
    assert set(run.rows["done"] - run.rows["sent"]) == {100_000_000}


def test_more_in_flight_than_workers_wait_in_the_servers_queue(tmp_path: Path) -> None:
    """Twice the workers: the same rate, twice the service time."""
    run = _run(tmp_path, servers.CONSTANT, "queue-stream:concurrency=16", items=1600)
    assert run.ok_per_s() == pytest.approx(80.0, rel=0.02)
    assert np.median(run.service_s(5, 15)) == pytest.approx(0.2)


@pytest.mark.parametrize(("text", "before", "after"), [(servers.STEPS, 80, 20), (servers.SLOWER, 80, 26.7)])
def test_capacity_changes_at_its_instant(tmp_path: Path, text: str, before: float, after: float) -> None:
    """Fewer workers, or the same ones slower, from the tenth second on."""
    run = _run(tmp_path, text, items=5000, stop_s=20.0)
    assert run.ok_per_s(1, 10) == pytest.approx(before, rel=0.05)
    assert run.ok_per_s(12, 20) == pytest.approx(after, rel=0.08)


def test_a_server_without_a_queue_refuses_and_says_when_to_come_back(tmp_path: Path) -> None:
    """429 with the profile's own Retry-After; a retry that respects it gets through."""
    bare = _run(tmp_path, servers.NO_QUEUE, "queue-stream:concurrency=12", items=100)
    assert bare.count(Outcome.rejected) > 0
    assert set(bare.rows["status"]) == {200, 429}
    patient = _run(
        tmp_path, servers.NO_QUEUE, "queue-stream:concurrency=12", items=100, layers=LayerSettings(retries=20)
    )
    assert patient.count(Outcome.ok) == 100
    assert patient.rows["attempts"].max() > 1
    waits = patient.rows["done"] - patient.rows["first_sent"]
    assert waits[patient.rows["attempts"] > 1].min() >= 1_000_000_000


def test_a_small_queue_overflows_into_429(tmp_path: Path) -> None:
    """Eight at work and four waiting; the thirteenth is refused."""
    run = _run(tmp_path, servers.SMALL_QUEUE, "queue-stream:concurrency=12")
    assert run.count(Outcome.ok) == 400
    run = _run(tmp_path, servers.SMALL_QUEUE, "queue-stream:concurrency=13")
    assert run.count(Outcome.rejected) > 0


def test_a_rate_limit_lets_its_rate_pass_and_no_more(tmp_path: Path) -> None:
    """100/s with a burst of 20, whatever is offered."""
    run = _run(tmp_path, servers.RATE, "unbounded", items=None, rate_per_s=400.0, duration_s=5.0, load="constant")
    assert run.count(Outcome.ok) == pytest.approx(520, abs=3)
    assert run.count(Outcome.ok) + run.count(Outcome.rejected) == len(run.rows) == run.seen


@pytest.mark.no_cover
def test_random_errors_and_resets_are_outcomes(tmp_path: Path) -> None:
    """2 % of 500s, 10 % of resets: counted on both sides."""
    run = _run(tmp_path, servers.ERRORS, items=4000)
    assert run.count(Outcome.server_error) == pytest.approx(80, abs=30)
    assert run.seen == 4000
    run = _run(tmp_path, servers.RESETS, items=1000)
    assert run.count(Outcome.connection_error) == pytest.approx(100, abs=35)


def test_a_stall_holds_what_is_due_in_it(tmp_path: Path) -> None:
    """Nothing is answered between 5 and 6 s, 15 and 16 s."""
    run = _run(tmp_path, servers.STALLS, items=2000, stop_s=20.0)
    done = run.rows["done"] / 1e9
    assert not ((done % 10 > 5.001) & (done % 10 < 5.999)).any()
    assert ((done > 14) & (done < 15)).sum() == pytest.approx(80, abs=9)


def test_a_stream_gives_the_times_of_its_tokens(tmp_path: Path) -> None:
    """First token, the others, and a slower step when more run beside it."""
    one = _run(tmp_path, servers.LLM, "sync", items=3, task="annotate:max_tokens=20,stream=true")
    assert one.count(Outcome.ok) == 3
    assert (one.rows["chunks"] == 20).all()
    assert (one.rows["first_byte"] - one.rows["sent"] == 50_000_000).all()
    many = _run(
        tmp_path, servers.LLM, "queue-stream:concurrency=64", items=64, task="annotate:max_tokens=20,stream=true"
    )
    assert many.service_s().mean() > 1.5 * one.service_s().mean()


def test_a_server_that_collapses_is_slower_with_more_in_flight(tmp_path: Path) -> None:
    """The universal scalability law: past its peak more in flight is less throughput."""
    best = _run(tmp_path, servers.COLLAPSE, "queue-stream:concurrency=24", items=1000)
    much = _run(tmp_path, servers.COLLAPSE, "queue-stream:concurrency=120", items=1000)
    assert much.ok_per_s() < 0.6 * best.ok_per_s()


def test_a_server_that_never_answers_is_a_time_out_and_then_no_deadlock(tmp_path: Path) -> None:
    """Time-outs are those of the transport, in virtual time."""
    run = _run(tmp_path, servers.HANGS, "queue-stream:concurrency=2", items=4, layers=LayerSettings(timeout_s=5.0))
    late = run.rows[run.rows["outcome"] == Outcome.timed_out]
    assert len(late) >= 1
    assert (late["done"] - late["sent"]).min() == pytest.approx(5e9, abs=2e6)


def test_several_clients_share_the_load_and_join_late(tmp_path: Path) -> None:
    """Each has a strategy of its own; the second begins ten seconds later."""
    run = _run(
        tmp_path, servers.CONSTANT, "queue-stream:concurrency=4", items=None, clients=2, joins_s=(0, 10), stop_s=20
    )
    second = run.rows[(run.rows["user"] == 1) & (run.rows["sent"] >= 0)]
    assert second["sent"].min() == 10_000_000_000
    assert run.ok_per_s(1, 10) == pytest.approx(40, rel=0.05)
    assert run.ok_per_s(11, 20) == pytest.approx(80, rel=0.05)


def test_what_the_server_cannot_do_in_time_is_unfinished_after_the_drain(tmp_path: Path) -> None:
    """Arrivals at twice the capacity; the drain ends and the rest is counted, none is lost."""
    run = _run(
        tmp_path,
        servers.CONSTANT,
        "unbounded",
        items=None,
        rate_per_s=160.0,
        duration_s=10.0,
        load="constant",
        drain_s=2.0,
    )
    assert run.count(Outcome.unfinished) > 0
    assert len(run.rows) == run.end.scheduled == 1600


class Stuck:
    """Waits for what never comes."""

    blocking = False

    async def stream(self, items, send, /, layers=None):  # type: ignore[no-untyped-def] # a strategy with a bug
        import asyncio

        async for _ in items:
            await asyncio.get_running_loop().create_future()
        yield


def test_a_strategy_that_waits_for_ever_is_reported_as_a_deadlock(tmp_path: Path) -> None:
    """The simulation does not hang, and names the application."""
    with pytest.raises(DeadlockError, match="application 0"):
        simulate(Stuck(), servers.written(tmp_path, servers.CONSTANT), items=3)
