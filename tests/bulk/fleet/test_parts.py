"""Parts, their journals and the shared folder: copies of earlier epochs, damage, other machines."""

from __future__ import annotations

import asyncio
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.joining import Joiner
from harness.bulk.fleet.lease_journal import CoordinatorJournal, Granted, Head, History, Joined
from harness.bulk.fleet.messages import Report
from harness.bulk.fleet.parts import Parts
from harness.bulk.journal import Mark
from harness.bulk.leases.leases import Finished
from harness.bulk.leases.range import Range
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError
from tests.bulk.fleet.inside import InsideEngine, check_whole, go, settings
from tests.bulk.helpers import Server, rows, write_input


def begun(folder: Path, number: int = 2) -> Parts:
    """A run that ended with a range that is not done."""
    write_input(folder / "in.jsonl", 250)

    def dies(worker: str, beat: Any) -> bool:
        return number in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}

    assert go(settings(folder), Server(turns=lambda index: 20), dies=dies).stopped == "worker"
    return Parts(str(folder / "out.jsonl"))


def test_an_epoch_begins_with_the_newest_part_that_is_whole(tmp_path: Path) -> None:
    """A copy without its journal was not finished, and is not used."""
    parts = Parts(str(tmp_path / "out.jsonl"))
    parts.folder.mkdir()
    for epoch, text in ((1, "one"), (2, "two")):
        parts.output(7, epoch).write_text(text)
        parts.journal_of(7, epoch).write_text(f"journal {text}")
    parts.output(7, 3).write_text("half")
    parts.adopt(7, 4)
    assert parts.output(7, 4).read_text() == "two"
    assert parts.journal_of(7, 4).read_text() == "journal two"
    parts.adopt(8, 1)
    assert not parts.output(8, 1).exists()
    parts.remove(7, keep=4)
    assert [path.name for path in parts.folder.iterdir()] == ["part-000007-4.jsonl"]


@pytest.mark.parametrize("found", [b"one\nTWO\n", b"one\n", b"one\ntwo\nthree\n"])
def test_a_changed_part_is_not_joined(tmp_path: Path, found: bytes) -> None:
    """Its size and checksum are those of the report, or the run ends and names it."""
    parts = Parts(str(tmp_path / "out.jsonl"))
    parts.folder.mkdir()
    joiner = Joiner(str(tmp_path / "out.jsonl"), str(tmp_path / "dead.jsonl"), parts)
    joiner.claim(Joined())
    joiner.cut()
    whole = b"one\ntwo\n"
    report = Report(Finished(0, 1, len(whole), zlib.crc32(whole)), Mark(3, 20, 1), RowCounts(ok=2))
    parts.output(0, 1).write_bytes(found)
    if found.startswith(whole):
        # What a late worker has appended is not part of it.
        assert joiner.append([(Range(0, 0, 20, 1, 2), report)]).output_bytes == len(whole)
        assert (tmp_path / "out.jsonl").read_bytes() == whole
    else:
        with pytest.raises(UsageError, match=r"part-000000-1.jsonl: differs from what its worker wrote"):
            joiner.append([(Range(0, 0, 20, 1, 2), report)])
    joiner.close()


def test_a_damaged_journal_of_the_coordinator_is_refused(tmp_path: Path) -> None:
    """Only its end may be torn."""
    parts = begun(tmp_path)
    whole = parts.journal.read_bytes()
    parts.journal.write_bytes(whole[:-9])
    assert journals.read(parts.journal).head.token
    lines = whole.splitlines(keepends=True)
    parts.journal.write_bytes(b"".join([lines[0], lines[1].replace(b"0", b"1", 1), *lines[2:]]))
    with pytest.raises(UsageError, match="is damaged"):
        go(settings(tmp_path, resume=True))
    parts.journal.write_bytes(whole)
    assert go(settings(tmp_path, resume=True)).passed
    check_whole(tmp_path, 250)


def test_a_worker_that_sees_other_files_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with its host and the file: exit code 2, and nothing stays."""
    write_input(tmp_path / "in.jsonl", 100)
    elsewhere = Parts(str(tmp_path / "elsewhere.jsonl"))
    monkeypatch.setattr("harness.bulk.fleet.range_worker.Parts", lambda output: elsewhere)
    with pytest.raises(UsageError, match=r"run: No such file or directory, seen by worker w\d on .*share"):
        go(settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    elsewhere.folder.mkdir()
    (elsewhere.folder / "run").write_text("another run")
    with pytest.raises(UsageError, match="it belongs to another run"):
        go(settings(tmp_path))


def test_an_input_that_is_shorter_at_a_worker_is_a_mistake(tmp_path: Path) -> None:
    """As where a file system has not caught up."""
    from harness.bulk.source import InputSource
    from harness.load.rows import RowReader

    path = write_input(tmp_path / "in.jsonl", 10)
    size = path.stat().st_size
    with pytest.raises(UsageError, match=f"has {size} bytes where {size + 1} were found"):
        InputSource(str(path), RowReader(path), Range(0, 0, size + 1))


def test_epochs_are_never_used_twice(tmp_path: Path) -> None:
    """The journal says which were given out, whatever became of them."""
    journal = CoordinatorJournal(tmp_path / "journal")
    journal.create(History(Head({"input": 1}, "token", 10)))
    journal.append(journals.RANGE, Range(0, 0, 10))
    for epoch in (1, 2, 3):
        journal.append(journals.LEASE, Granted(0, epoch, f"w{epoch}"))
    journal.close()
    history = journals.read(tmp_path / "journal")
    assert history.epochs[0] == Granted(0, 3, "w3")
    assert not history.ended
    again = CoordinatorJournal(tmp_path / "journal")
    again.create(history)
    again.append(journals.ENDED, {})
    again.close()
    assert journals.read(tmp_path / "journal").epochs[0].epoch == 3
    assert journals.read(tmp_path / "journal").ended


def test_two_runs_cannot_write_one_output(tmp_path: Path) -> None:
    """The second one is refused while the first one has the output."""
    from harness.bulk.sinks import Sink

    write_input(tmp_path / "in.jsonl", 50)
    held = Sink(str(tmp_path / "out.jsonl"))
    held.open()
    with pytest.raises(UsageError, match="another process is writing it"):
        go(settings(tmp_path))
    held.close()
    shutil.rmtree(tmp_path / "out.jsonl.parts", ignore_errors=True)
    assert go(settings(tmp_path)).passed
    assert len(rows(tmp_path / "out.jsonl")) == 50


def stopped(folder: Path) -> Parts:
    """A run that was stopped in the middle of ranges."""
    write_input(folder / "in.jsonl", 250)

    async def session() -> None:
        server = Server(turns=lambda index: 20)
        fleet = Fleet(settings(folder), FleetSettings(workers=3, range_lines=50), InsideEngine(server))
        run = asyncio.create_task(fleet.run())
        while server.calls.total() < 80:
            await asyncio.sleep(0)
        fleet.stop()
        assert (await run).stopped == "interrupted"

    asyncio.run(session())
    return Parts(str(folder / "out.jsonl"))


def with_range(above: Path, finished: bool) -> tuple[Path, Parts, History, int]:
    """A run with a range that is done and not joined, or begun. Where a run stops is a matter of timing."""
    for number in range(20):
        folder = above / str(number)
        folder.mkdir()
        parts = begun(folder, number=1) if finished else stopped(folder)
        history = journals.read(parts.journal)
        for place in history.epochs:
            if (place in history.reports) == finished:
                return folder, parts, history, place
    raise AssertionError("no run stopped in such a state")


@pytest.mark.parametrize("what", ["journal", "output", "missing"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_part_is_made_again_on_resume(tmp_path: Path, finished: bool, what: str) -> None:
    """Of a range that is done and not joined, or begun: its lines are sent again, and nothing else is lost."""
    folder, parts, history, number = with_range(tmp_path, finished)
    epoch = parts.newest_epoch(number, history.epochs[number].epoch)
    path = parts.journal_of(number, epoch) if what == "journal" else parts.output(number, epoch)
    data = bytearray(path.read_bytes())
    assert len(data) > 200
    if what == "missing":
        path.unlink()
    else:
        data[100:150] = b"?" * 50
        path.write_bytes(data)
    notes: list[str] = []
    go_on = settings(folder, resume=True)
    summary = go(go_on, tell=lambda event, facts: notes.append(facts["text"]) if event == "note" else None)
    assert summary.passed, summary.text
    # The journal of a part that is finished is not needed any more.
    if not (finished and what == "journal"):
        first, last = 1 + 50 * number, 50 + 50 * number
        assert any(note.endswith(f"is damaged or missing; lines {first} to {last} are sent again") for note in notes)
    check_whole(folder, 250)
