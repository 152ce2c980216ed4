"""The end of a run with workers: counts, layers and tables are those of one process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.bulk import Summary
from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.fleet_status import status_of
from harness.bulk.fleet.members import Members
from harness.bulk.fleet.messages import Beat, Progress, Report
from harness.bulk.journal import Mark
from harness.bulk.leases.leases import Finished
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError
from harness.client.types import Outcome, Request, Response
from tests.bulk import helpers
from tests.bulk.fleet.inside import InsideEngine, check_whole, go, settings, work
from tests.bulk.helpers import Server, write_input


def test_figures_of_layers_are_those_of_all_workers(tmp_path: Path) -> None:
    """Each line fails once, so each is retried once."""
    write_input(tmp_path / "in.jsonl", 90)
    seen: set[str] = set()

    class Flaky(Server):
        async def __call__(self, request: Request, /) -> Response:
            text = str(request.items[0].data)
            if text in seen:
                return await super().__call__(request)
            seen.add(text)
            return Response(Outcome.server_error, 500, error="HTTP 500: no")

    summary = go(settings(tmp_path), Flaky(), range_lines=10)
    assert summary.passed
    retry = next(layer for layer in summary.layers if layer.name == "retry")
    assert retry.figures["retries"] == 90
    assert retry.figures["recovered"] == 90


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_is_that_of_one_process(tmp_path: Path, ending: str) -> None:
    """Made from the lines once all of them are done."""
    write_input(tmp_path / "in.jsonl", 120)
    table, alone = tmp_path / f"out.{ending}", tmp_path / f"alone.{ending}"
    stopped = go(settings(tmp_path, output=str(table)), dies=lambda worker, beat: bool(beat.progress or beat.reports))
    assert stopped.stopped == "worker"
    assert not table.exists()
    assert status_of(str(table)).state == "stopped"
    assert go(settings(tmp_path, output=str(table), resume=True)).complete
    helpers.go(settings(tmp_path, output=str(alone)))
    assert table.read_bytes() == alone.read_bytes()
    assert status_of(str(table)).state == "complete"
    with pytest.raises(UsageError, match="exists already"):
        go(settings(tmp_path, output=str(table)))


def test_parts_are_no_table(tmp_path: Path) -> None:
    """Which is one file."""
    write_input(tmp_path / "in.jsonl", 10)
    with pytest.raises(UsageError, match="--keep-parts: a table is one file"):
        go(settings(tmp_path, output=str(tmp_path / "out.csv")), keep_parts=True)


def test_a_stop_that_finds_nothing_left_to_do_is_no_stop(tmp_path: Path) -> None:
    """Ctrl-C just after the last part was joined said that the run had stopped."""
    write_input(tmp_path / "in.jsonl", 60)

    async def session() -> Summary:
        fleet = Fleet(settings(tmp_path), FleetSettings(workers=2, range_lines=20), InsideEngine(Server()))
        run = asyncio.create_task(fleet.run())
        while fleet._coordinator is None or not fleet._coordinator.leases.complete:
            await asyncio.sleep(0)
        fleet.stop()
        return await run

    assert asyncio.run(session()).passed
    check_whole(tmp_path, 60)


def test_a_run_that_is_cut_counts_what_its_workers_had_saved(tmp_path: Path) -> None:
    """Their last words do not arrive; their journals say it."""
    write_input(tmp_path / "in.jsonl", 2000)

    async def session() -> Summary:
        server = Server(turns=lambda index: 20)
        fleet = Fleet(settings(tmp_path), FleetSettings(workers=3, range_lines=500), InsideEngine(server))
        run = asyncio.create_task(fleet.run())
        while server.calls.total() < 600:
            await asyncio.sleep(0)
        fleet.stop()
        fleet.cut()
        return await run

    summary = asyncio.run(session())
    assert summary.stopped == "interrupted"
    assert summary.counts["ok"] == status_of(str(tmp_path / "out.jsonl")).done > 0
    assert go(settings(tmp_path, resume=True)).counts["ok"] == 2000
    check_whole(tmp_path, 2000)


def test_lines_of_a_silent_worker_are_not_counted_twice() -> None:
    """Its range is at another worker before it is given up."""
    members = Members()
    members.heard(Beat("w1", progress=[work(0, 1, 7), work(4, 1, 1)]), 0.0)
    members.heard(Beat("w2", progress=[work(0, 2, 9)]), 20.0)
    assert {number: each.counts.ok for number, each in members.newest({}).items()} == {0: 9, 4: 1}
    # The other worker has left it, too.
    members.heard(Beat("w2"), 21.0)
    assert {number: each.counts.ok for number, each in members.newest({0: work(0, 2, 9)}).items()} == {0: 9, 4: 1}


def test_lines_that_were_done_do_not_vanish_while_a_range_changes_hands() -> None:
    """The next worker has not read yet how far the one before it came, and those lines are none of its own."""
    members, left = Members(), {0: work(0, 1, 70)}
    members.heard(Beat("w2"), 0.0)
    members.granted("w2", 0, 70)
    members.heard(Beat("w2", progress=[Progress(0, 2, 0, RowCounts())]), 1.0)
    assert members.newest(left)[0].counts.ok == 70
    assert members.described(1.0)[0]["lines"] == 0
    members.heard(Beat("w2", progress=[work(0, 2, 75)]), 2.0)
    assert members.newest(left)[0].counts.ok == 75
    assert members.described(2.0)[0]["lines"] == 5
    members.heard(Beat("w2", reports=[Report(Finished(0, 2), Mark(), RowCounts(ok=100, sessions=2))]), 3.0)
    assert members.described(3.0)[0]["lines"] == 30


def test_a_worker_that_waits_for_the_server_is_no_straggler() -> None:
    """Others may have found it again a moment earlier."""
    members = Members()
    for at in (0.0, 4.0, 8.0, 12.0):
        busy = [work(0, 1, int(100 * at))]
        members.heard(Beat("w0", progress=busy), at)
        members.heard(Beat("w1", progress=busy), at)
        members.heard(Beat("w2", progress=[Progress(1, 1, 0, RowCounts())]), at)
        members.heard(Beat("w3", progress=[Progress(2, 1, 0, RowCounts())], waits_s=at), at)
    assert [worker["worker"] for worker in members.described(12.0) if worker["straggler"]] == ["w2"]


def test_few_lines_make_no_straggler() -> None:
    """Where a call takes seconds, one worker has two answers and another five by chance."""
    members = Members()
    for at in range(13):
        members.heard(Beat("w0", progress=[work(0, 1, at // 2)]), float(at))
        members.heard(Beat("w1", progress=[work(1, 1, at // 2)]), float(at))
        members.heard(Beat("w2", progress=[work(2, 1, at // 5)]), float(at))
    assert not any(worker["straggler"] for worker in members.described(12.0))
