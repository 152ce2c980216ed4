"""Workers start only while ranges wait for them, and a stop does not wait for those that are starting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bulk import Summary
from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet.attending import attend
from harness.bulk.fleet.engines.local import WORKER_MB, LocalEngine
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder
from harness.bulk.fleet.starts import Starts
from harness.client.errors import UsageError
from tests.bulk.fleet.inside import InsideContact, InsideEngine, check_whole, settings
from tests.bulk.helpers import Server, write_input
from tests.virtual_time import virtually


def test_a_small_input_starts_no_more_workers_than_it_has_ranges(tmp_path: Path) -> None:
    """A thousand processes for three ranges took minutes to start."""
    write_input(tmp_path / "in.jsonl", 60)
    engine = InsideEngine(Server())
    fleet = Fleet(settings(tmp_path), FleetSettings(workers=1000, range_lines=20), engine)
    assert asyncio.run(fleet.run()).passed
    assert 1 <= len(engine.started) <= 3
    check_whole(tmp_path, 60)


def test_an_empty_input_starts_no_worker_and_is_done(tmp_path: Path) -> None:
    """As with one process: dead letters of a run that had none are such an input."""
    (tmp_path / "in.jsonl").write_text("")
    engine = InsideEngine(Server())
    summary = asyncio.run(Fleet(settings(tmp_path), FleetSettings(workers=3), engine).run())
    assert summary.nothing_to_do
    assert not engine.started


def test_a_stop_does_not_wait_for_workers_that_are_starting(tmp_path: Path) -> None:
    """They have no lines in work."""
    write_input(tmp_path / "in.jsonl", 600)

    class Slow(InsideEngine):
        async def start(self, order: WorkerOrder) -> InsideContact:
            if order.worker != "w1":
                await asyncio.get_running_loop().create_future()
            return await super().start(order)

    async def session() -> Summary:
        server = Server(turns=lambda index: 50)
        fleet = Fleet(settings(tmp_path), FleetSettings(workers=3, range_lines=20), Slow(server))
        run = asyncio.create_task(fleet.run())
        while not server.calls:
            await asyncio.sleep(0.01)
        fleet.stop()
        return await asyncio.wait_for(run, 60)

    summary = asyncio.run(session())
    assert summary.stopped == "interrupted"
    assert summary.counts["ok"] < 600


def test_more_workers_than_the_memory_holds_are_refused() -> None:
    """In one line, with the number that is possible."""
    with pytest.raises(UsageError, match=rf"--workers 1000000: each needs about {WORKER_MB} MB, .* at most \d+ here"):
        asyncio.run(LocalEngine().open(1_000_000))


@pytest.mark.parametrize(("first_s", "next_s", "ends"), [(100.0, 20.0, ""), (200.0, 1.0, "180 s"), (1.0, 40.0, "30 s")])
def test_a_worker_that_starts_slowly_is_waited_for(tmp_path: Path, first_s: float, next_s: float, ends: str) -> None:
    """A busy cluster takes minutes; once a worker has spoken, a silence of half a minute is its end."""

    class Late:
        def __init__(self) -> None:
            self.waits = [first_s, next_s]

        async def exchange(self, reply: Reply) -> Beat:
            await asyncio.sleep(self.waits.pop(0))
            return Beat("w1", leaves=not self.waits)

        async def close(self) -> None:
            coordinator.stopping = True

    async def start(order: WorkerOrder) -> Late:
        return Late()

    notes: list[str] = []
    leases = SimpleNamespace(all_done=False, ahead=1, expire=lambda now: None)
    coordinator = SimpleNamespace(leases=leases, stopping=False, beat=lambda beat: Reply(), lost=lambda name, why: None)
    order = WorkerOrder("w1", settings(tmp_path), str(tmp_path), "token", 15.0, 0.1, True)

    async def play() -> None:
        run: Any = coordinator
        engine: Any = SimpleNamespace(start=start)
        await attend(engine, run, Starts(run, 1), order, notes.append)

    virtually(play())
    assert notes == ([f"w1: no sign of life for {ends}"] if ends else [])
