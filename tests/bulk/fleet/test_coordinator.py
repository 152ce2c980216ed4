"""The coordinator alone: joins that are cancelled or fail, and messages of workers whose lease has ended."""

from __future__ import annotations

import asyncio
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.ending import EarlyEnd
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.cutter import Cuts
from harness.bulk.fleet.governor import Governor
from harness.bulk.fleet.joining import Joiner, total
from harness.bulk.fleet.lease_journal import CoordinatorJournal, Head, History, Joined
from harness.bulk.fleet.messages import Beat, Progress, Report, Stopped
from harness.bulk.fleet.parts import Parts
from harness.bulk.fleet.range_coordinator import RangeCoordinator
from harness.bulk.journal import Mark
from harness.bulk.leases import Lease, Leases
from harness.bulk.leases.leases import Finished
from harness.bulk.leases.range import Range
from harness.bulk.tally import RowCounts
from tests.bulk.fleet.inside import work

LINE = b'{"line":%d}\n'
SIZE = len(LINE % 0)


class NoCuts(Cuts):
    """All ranges were cut before."""

    def next(self) -> Range | None:
        return None

    def lines_expected(self, size: int) -> float | None:
        return None


class Run:
    """A coordinator on real files, with ranges of one line each."""

    def __init__(self, folder: Path, ranges: int = 3) -> None:
        self.output = folder / "out.jsonl"
        self.parts = Parts(str(self.output))
        self.parts.folder.mkdir()
        history = History(Head({}, "token", 1))
        self.journal = CoordinatorJournal(self.parts.journal)
        self.journal.create(history)
        self.joiner = Joiner(str(self.output), str(folder / "dead.jsonl"), self.parts)
        self.joiner.claim(Joined())
        self.joiner.cut()
        self.leases = Leases(15.0)
        for number in range(ranges):
            self.leases.add(Range(number, number * SIZE, (number + 1) * SIZE, number + 1, 1))
        self.end = EarlyEnd(str(self.output))
        governor = Governor(None, None, None)
        more = (self.joiner, NoCuts(), governor, self.leases, self.end)
        self.coordinator = RangeCoordinator(history, self.parts, self.journal, *more, lambda text: None)

    def lease(self, worker: str) -> Lease:
        """One range for a worker."""
        return self.coordinator.beat(Beat(worker, hungry=True)).leases[0]

    def finish(self, lease: Lease, changed: bool = False) -> None:
        """Its worker has written the part and reports it."""
        number, line = lease.range.number, LINE % lease.range.number
        self.parts.output(number, lease.epoch).write_bytes(line)
        done = Finished(number, lease.epoch, SIZE, 1 if changed else zlib.crc32(line))
        report = Report(done, Mark(), RowCounts(ok=1))
        self.coordinator.beat(Beat(lease.worker, reports=[report]))

    def written(self) -> list[int]:
        """The lines of the output; the state in the journal is that of the file."""
        found = self.output.read_bytes()
        joined = journals.read(self.parts.journal).joined
        assert (joined.output_bytes, joined.output_crc) == (len(found), zlib.crc32(found))
        assert joined == self.joiner.state
        return [int(line[8:-1]) for line in found.splitlines()]

    async def end_while(self, begun: threading.Event, go_on: threading.Event) -> None:
        """End the run early while a thread of it is in the middle of its work, as `Fleet` does."""
        work = asyncio.create_task(self.coordinator.work())
        await asyncio.to_thread(begun.wait, 20)
        self.coordinator.stop("drain")
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        asyncio.get_running_loop().call_soon(go_on.set)
        await self.coordinator.join_ended()
        await self.coordinator.join_rest()


def slow(monkeypatch: pytest.MonkeyPatch, what: Any, name: str) -> tuple[threading.Event, threading.Event]:
    """Let a method wait in its thread: when it has begun, and until it may go on."""
    begun, go_on, inner = threading.Event(), threading.Event(), getattr(what, name)

    def method(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return inner(*arguments)

    monkeypatch.setattr(what, name, method)
    return begun, go_on


@pytest.mark.parametrize("where", ["append", "remove"])
def test_a_join_that_is_cut_off_is_not_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Its thread goes on: the lines were in the output twice, also for the journal."""

    async def session() -> Run:
        run = Run(tmp_path)
        begun, go_on = slow(monkeypatch, run.joiner if where == "append" else run.parts, where)
        for lease in [run.lease("w1") for _ in range(3)]:
            run.finish(lease)
        await run.end_while(begun, go_on)
        return run

    run = asyncio.run(session())
    assert run.written() == [0, 1, 2]
    assert total(run.coordinator.counts).ok == 3
    assert not list(run.parts.folder.glob("part-*"))


def test_nothing_is_counted_twice_while_it_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress was shown for more lines than there are."""

    async def session() -> int:
        run = Run(tmp_path)
        begun, go_on = slow(monkeypatch, run.joiner.dead_letter, "sync")
        run.finish(run.lease("w1"))
        work = asyncio.create_task(run.coordinator.work())
        await asyncio.to_thread(begun.wait, 20)
        counted = total(run.coordinator.counts).ok
        go_on.set()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await run.coordinator.join_ended()
        return counted

    assert asyncio.run(session()) == 1


def test_a_changed_part_leaves_the_output_as_the_journal_says(tmp_path: Path) -> None:
    """The good parts before it were written twice, and the bad one with them."""

    async def session() -> Run:
        run = Run(tmp_path, ranges=4)
        run.finish(run.lease("w1"))
        assert await run.coordinator._join()
        for lease in [run.lease("w1") for _ in range(3)]:
            run.finish(lease, changed=lease.range.number == 2)
        await run.coordinator.work()
        await run.coordinator.join_rest()
        return run

    run = asyncio.run(session())
    assert run.end.reason is not None
    assert "part-000002-1.jsonl: differs from what its worker wrote" in run.end.reason[1]
    assert run.written() == [0]
    assert total(run.coordinator.counts).ok == 4


def test_work_that_fails_in_an_unforeseen_way_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers went on with nobody to join their parts, and the run never ended."""

    def broken(ready: Any) -> Joined:
        raise ZeroDivisionError("by zero\nmore lines")

    async def session() -> Run:
        run = Run(tmp_path)
        monkeypatch.setattr(run.joiner, "append", broken)
        run.finish(run.lease("w1"))
        await run.coordinator.work()
        await run.coordinator.join_rest()
        return run

    run = asyncio.run(session())
    assert run.end.reason == ("worker", "unexpected ZeroDivisionError: by zero")
    assert run.coordinator.stopping


@pytest.mark.parametrize("why", ["interrupted", "disk", "input"])
def test_the_stop_of_a_lease_that_has_ended_changes_nothing(tmp_path: Path, why: str) -> None:
    """Its lines were counted twice, and its reason ended the run, which another worker had continued."""

    async def session() -> Run:
        run = Run(tmp_path, ranges=1)
        old = run.lease("silent")
        run.leases.lost("silent")
        new = run.lease("w2")
        late = Beat("silent", stopped=[Stopped(0, old.epoch, why, "its own reason", RowCounts(ok=1))])
        run.coordinator.beat(late)
        assert run.leases.renew("w2", 0, new.epoch, run.coordinator._now())
        run.finish(new)
        run.coordinator.beat(late)
        assert total(run.coordinator.counts).ok == 1
        return run

    run = asyncio.run(session())
    assert not run.end
    assert not run.coordinator.stopping


def test_the_stop_of_a_lease_that_is_held_ends_the_run(tmp_path: Path) -> None:
    """And what it has saved is counted."""

    async def session() -> Run:
        run = Run(tmp_path, ranges=1)
        lease = run.lease("w1")
        saved = RowCounts(ok=1, sessions=1)
        run.coordinator.beat(Beat("w1", stopped=[Stopped(0, lease.epoch, "disk", "full", saved)]))
        return run

    run = asyncio.run(session())
    assert run.end.reason == ("disk", "full")
    assert total(run.coordinator.counts).ok == 1


def test_lines_are_counted_once_whoever_has_their_range(tmp_path: Path) -> None:
    """One worker is silent, another dies, a third has not begun: each of their lines counts, and none twice."""

    async def session() -> None:
        run = Run(tmp_path, ranges=1)
        counted = lambda: total(run.coordinator.counts).ok  # noqa: E731 - three letters of a test
        old = run.lease("silent")
        run.coordinator.beat(Beat("silent", progress=[work(0, old.epoch, 4)]))
        run.leases.lost("silent")
        new = run.lease("w2")
        run.coordinator.beat(Beat("w2", progress=[work(0, new.epoch, 6)]))
        assert counted() == 6
        run.coordinator.lost("w2", "signal 9")
        assert counted() == 6
        third = run.lease("w3")
        assert counted() == 6
        run.coordinator.beat(Beat("w3", progress=[Progress(0, third.epoch, 0, RowCounts())]))
        assert counted() == 6
        run.coordinator.lost("w3", "signal 9")
        assert counted() == 6
        run.finish(run.lease("w4"))
        # The report says 1; the silent worker is still there.
        assert counted() == 1

    asyncio.run(session())
