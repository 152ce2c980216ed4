"""A run with several workers: the same output as of one process, whatever happens to a worker."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.bulk import Summary
from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder
from harness.bulk.fleet.range_worker import Worker
from harness.bulk.leases import Lease
from harness.bulk.leases.range import Range
from harness.bulk.processing import Process
from harness.client.errors import UsageError
from harness.client.types import Outcome
from tests.bulk import helpers
from tests.bulk.fleet.inside import InsideContact, InsideEngine, check_whole, go, settings
from tests.bulk.helpers import Server, rows, write_input

LINES = 420


def touches(beat: Beat, number: int) -> bool:
    """Whether a worker works on a range, or has just finished it."""
    return number in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}


def test_the_output_is_that_of_one_process(tmp_path: Path) -> None:
    """Byte by byte: lines, numbers and order; each line is sent once."""
    write_input(tmp_path / "in.jsonl", LINES)
    server = Server()
    summary = go(settings(tmp_path), server)
    assert summary.passed
    assert summary.counts["ok"] == LINES
    check_whole(tmp_path, LINES)
    assert sum(server.calls.values()) == LINES
    assert server.in_flight_max <= 16, "the concurrency is that of all workers"
    alone = tmp_path / "alone.jsonl"
    helpers.go(settings(tmp_path, output=str(alone)))
    assert alone.read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_a_complete_run_has_nothing_left_to_do_for_workers_and_for_one_process(tmp_path: Path) -> None:
    """The files that stay are those of a run in one process; new lines may be added with or without workers."""
    write_input(tmp_path / "in.jsonl", 120)
    wanted = settings(tmp_path, resume=True)
    assert go(wanted).passed
    assert go(wanted).nothing_to_do
    assert helpers.go(wanted).nothing_to_do
    write_input(tmp_path / "in.jsonl", 200)
    server = Server()
    assert go(wanted, server).passed
    assert sum(server.calls.values()) == 80
    check_whole(tmp_path, 200)
    write_input(tmp_path / "in.jsonl", 230)
    server = Server()
    assert helpers.go(wanted, server).passed
    assert sum(server.calls.values()) == 30
    check_whole(tmp_path, 230)


def test_workers_that_die_are_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    """Only what was in flight is sent again."""
    write_input(tmp_path / "in.jsonl", LINES)
    rng, deaths = Random(3), []

    def dies(worker: str, beat: Beat) -> bool:
        if len(deaths) < 4 and beat.progress and rng.random() < 0.25:
            deaths.append(beat.in_flight)
            return True
        return False

    server = Server(turns=lambda index: 30 + index % 7)
    assert go(settings(tmp_path), server, dies=dies).passed
    assert deaths
    check_whole(tmp_path, LINES)
    assert sum(server.calls.values()) - LINES <= len(deaths) * 16


@pytest.mark.no_cover
def test_a_worker_that_nobody_hears_stops_and_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works on only as long as its lease lives; what it then does is in a part that nobody reads."""
    monkeypatch.setattr("harness.bulk.fleet.fleet.TTL_S", 1.5)
    write_input(tmp_path / "in.jsonl", LINES)
    mute: list[str] = []

    def hangs(worker: str, beat: Beat) -> bool:
        if not mute and beat.progress and beat.progress[0].counts.ok > 5:
            mute.append(worker)
        return worker in mute

    notes: list[str] = []
    server = Server(turns=lambda index: 60)
    tell = lambda event, facts: notes.append(facts.get("text", ""))  # noqa: E731 - one line
    summary = go(settings(tmp_path), server, hangs=hangs, tell=tell)
    assert summary.passed
    assert mute
    assert any("no sign of life for 3 s" in note for note in notes), notes
    check_whole(tmp_path, LINES)
    assert summary.counts["ok"] == LINES


def test_dead_letters_have_the_numbers_of_their_lines(tmp_path: Path) -> None:
    """Refused lines and malformed ones, merged in the order of ranges; as INPUT they are sent again."""
    write_input(tmp_path / "in.jsonl", 200)
    lines = (tmp_path / "in.jsonl").read_text().splitlines()
    lines[120] = "{not json"
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    server = Server(judge=lambda index, call: Outcome.client_error if index % 50 == 7 else Outcome.ok)
    summary = go(settings(tmp_path, errors_max=0.2), server)
    assert summary.passed
    dead = rows(tmp_path / "out.jsonl.dead.jsonl")
    assert sorted(letter["line"] for letter in dead) == [7, 57, 107, 121, 157]
    assert summary.counts["dead"] == {"client_error": 4, "bad_line": 1}
    answered = {row["line"] for row in rows(tmp_path / "out.jsonl")}
    assert answered == set(range(1, 201)) - {7, 57, 107, 121, 157}


def test_too_many_dead_letters_stop_all_workers(tmp_path: Path) -> None:
    """And the run can be resumed."""
    write_input(tmp_path / "in.jsonl", 2000)
    server = Server(judge=lambda index, call: Outcome.client_error)
    summary = go(settings(tmp_path), server, range_lines=400)
    assert summary.stopped == "errors"
    assert not summary.passed
    assert (tmp_path / "out.jsonl.parts").exists()


def test_a_range_that_ends_its_workers_ends_the_run(tmp_path: Path) -> None:
    """It is named; the others are kept."""
    write_input(tmp_path / "in.jsonl", 200)

    def dies(worker: str, beat: Beat) -> bool:
        return touches(beat, 1)

    server = Server(turns=lambda index: 50)
    summary = go(settings(tmp_path), server, dies=dies)
    assert summary.stopped == "worker"
    assert "lines 51 to 100 ended 5 workers" in summary.text
    assert summary.resumable


@pytest.mark.parametrize("workers", [1, 5])
def test_a_run_continues_with_another_number_of_workers(tmp_path: Path, workers: int) -> None:
    """Ranges and parts stay as they are."""
    write_input(tmp_path / "in.jsonl", LINES)

    def dies(worker: str, beat: Beat) -> bool:
        return touches(beat, 3)

    server = Server(turns=lambda index: 20)
    first = go(settings(tmp_path), server, dies=dies)
    assert first.stopped == "worker"
    with pytest.raises(UsageError, match="--resume continues it, --overwrite starts over"):
        go(settings(tmp_path))
    assert go(settings(tmp_path, resume=True), server, workers=workers, range_lines=999).passed
    check_whole(tmp_path, LINES)
    assert sum(server.calls.values()) - LINES <= 5 * 16


def test_overwrite_starts_over(tmp_path: Path) -> None:
    """Also over an unfinished run of workers."""
    write_input(tmp_path / "in.jsonl", 200)
    server = Server(turns=lambda index: 50)
    assert (
        go(settings(tmp_path), server, dies=lambda worker, beat: bool(beat.progress or beat.reports)).stopped
        == "worker"
    )
    assert go(settings(tmp_path, overwrite=True)).passed
    check_whole(tmp_path, 200)


def test_rows_of_csv_may_hold_line_breaks(tmp_path: Path) -> None:
    """Ranges end at rows, and every range knows the names of the columns."""
    texts = [f'{number},"a\nb ""{number}"""' if number % 3 else f"{number},plain" for number in range(1, 301)]
    (tmp_path / "in.csv").write_text("id,text\n" + "\n".join(texts) + "\n")
    wanted = settings(tmp_path, input=str(tmp_path / "in.csv"))
    assert go(wanted).passed
    alone = tmp_path / "alone.jsonl"
    helpers.go(settings(tmp_path, input=str(tmp_path / "in.csv"), output=str(alone)))
    assert alone.read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    assert [row["line"] for row in rows(alone)] == list(range(2, 302))


def test_a_packed_input_is_one_range_and_a_packed_output_is_joined(tmp_path: Path) -> None:
    """Members of gzip follow one another; an input that is packed cannot be cut."""
    import gzip

    write_input(tmp_path / "in.jsonl", 150)
    packed = gzip.compress((tmp_path / "in.jsonl").read_bytes())
    (tmp_path / "in.jsonl.gz").write_bytes(packed)
    events: list[dict[str, Any]] = []
    wanted = settings(tmp_path, input=str(tmp_path / "in.jsonl.gz"), output=str(tmp_path / "out.jsonl.gz"))
    assert go(wanted, tell=lambda event, facts: events.append(facts)).passed
    answers = [json.loads(line) for line in gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, 151))
    cut = settings(tmp_path, output=str(tmp_path / "two.jsonl.gz"))
    assert go(cut).passed
    assert len(gzip.decompress((tmp_path / "two.jsonl.gz").read_bytes()).splitlines()) == 150


def test_a_packed_input_that_breaks_off_leaves_what_was_done(tmp_path: Path) -> None:
    """The rest is done when the file is whole."""
    import gzip

    write_input(tmp_path / "in.jsonl", 3000)
    packed = gzip.compress((tmp_path / "in.jsonl").read_bytes())
    (tmp_path / "in.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    wanted = settings(tmp_path, input=str(tmp_path / "in.jsonl.gz"), resume=True)
    summary = go(wanted)
    assert summary.stopped == "input"
    assert "breaks off in the middle of its gzip data" in summary.text
    done = summary.counts["ok"]
    assert 1000 < done < 3000
    # It may never be whole, so they are not kept in a part alone.
    assert summary.joined is None
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, done + 1))
    assert go(wanted).counts["ok"] == done
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, done + 1))
    (tmp_path / "in.jsonl.gz").write_bytes(packed)
    server = Server()
    assert go(wanted, server).passed
    assert sum(server.calls.values()) == 3000 - done
    check_whole(tmp_path, 3000)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"output": "-", "dead_letter": "dead"}, "--output -: is a pipe"),
        ({"input": "-"}, "INPUT -: is a pipe"),
        ({"output": "in.jsonl", "overwrite": True}, "are the same file"),
        ({"input": "nowhere.jsonl"}, "nowhere.jsonl: No such file or directory"),
        ({"output": "in.jsonl/out.jsonl"}, "--output in.jsonl/out.jsonl: Not a directory"),
        ({"dead_letter": "in.jsonl/dead"}, "--dead-letter in.jsonl/dead: Not a directory"),
        ({"output": "x" * 300}, "File name too long"),
        # The journal's name would be too long.
        ({"output": "x" * 250}, "File name too long"),
    ],
)
def test_mistakes_are_refused_before_a_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], why: str
) -> None:
    """In one line."""
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path / "in.jsonl", 10)
    with pytest.raises(UsageError, match=why):
        go(settings(tmp_path, **more))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_folder_of_parts_that_cannot_be_made_is_a_mistake(tmp_path: Path) -> None:
    """A file stands where it should be; nothing else is made."""
    write_input(tmp_path / "in.jsonl", 10)
    (tmp_path / "out.jsonl.parts").touch()
    with pytest.raises(UsageError, match=r"the journal .*out\.jsonl\.parts/journal: Not a directory"):
        go(settings(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.parts"]


def test_a_run_that_cannot_begin_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and dead letters are open by then."""

    def refuse(path: Path, **more: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write_input(tmp_path / "in.jsonl", 10)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        go(settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_folder_of_a_list_is_made_once_nothing_is_wrong(tmp_path: Path) -> None:
    """With the folders above it."""
    write_input(tmp_path / "in.jsonl", 10)
    listed = tmp_path / "new" / "folder" / "answers.jsonl"
    with pytest.raises(UsageError, match="nothing"):
        go(settings(tmp_path, output=str(listed), columns=("nothing",)), keep_parts=True)
    assert not (tmp_path / "new").exists()
    assert go(settings(tmp_path, output=str(listed)), keep_parts=True).passed
    assert rows(listed)[0]["answers"] == 10
    with pytest.raises(UsageError, match=r"--output .*: Not a directory"):
        go(settings(tmp_path, output=str(tmp_path / "in.jsonl" / "answers.jsonl")), keep_parts=True)


def test_an_output_of_one_process_that_is_not_complete_is_refused(tmp_path: Path) -> None:
    """Its results are not in ranges."""
    write_input(tmp_path / "in.jsonl", 300)
    helpers.go(settings(tmp_path, errors_least=1), Server(judge=lambda index, call: Outcome.client_error))
    with pytest.raises(UsageError, match="was begun without --workers"):
        go(settings(tmp_path, resume=True))


def test_a_changed_input_is_refused(tmp_path: Path) -> None:
    """As with one process."""
    write_input(tmp_path / "in.jsonl", 200)
    server = Server(turns=lambda index: 50)
    go(settings(tmp_path), server, dies=lambda worker, beat: bool(beat.progress or beat.reports))
    write_input(tmp_path / "in.jsonl", 200, text="other")
    with pytest.raises(UsageError, match="is not the input"):
        go(settings(tmp_path, resume=True))


def test_a_complete_output_that_was_changed_is_refused(tmp_path: Path) -> None:
    """Nothing to do means that the answers are there."""
    write_input(tmp_path / "in.jsonl", 60)
    wanted = settings(tmp_path, resume=True)
    assert go(wanted).passed
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(UsageError, match="it has changed since"):
        go(wanted)
    assert go(settings(tmp_path, overwrite=True)).passed
    check_whole(tmp_path, 60)


def test_a_run_that_is_stopped_while_it_starts_sends_nothing(tmp_path: Path) -> None:
    """And continues later."""
    write_input(tmp_path / "in.jsonl", 60)
    server = Server()

    async def session() -> Summary:
        engine = InsideEngine(server)
        fleet = Fleet(settings(tmp_path), FleetSettings(workers=2), engine)
        engine.on_open = fleet.stop
        return await fleet.run()

    summary = asyncio.run(session())
    assert summary.stopped == "interrupted"
    assert not server.calls
    assert go(settings(tmp_path, resume=True)).passed
    check_whole(tmp_path, 60)


def test_an_unforeseen_error_of_an_engine_ends_the_run(tmp_path: Path) -> None:
    """It was dropped, and the run waited for ever; what others have done is joined."""
    write_input(tmp_path / "in.jsonl", 60)

    class Broken(InsideEngine):
        async def start(self, order: WorkerOrder) -> InsideContact:
            if order.worker == "w2":
                raise RuntimeError("boom\nmore lines")
            return await super().start(order)

    async def session() -> Summary:
        fleet = FleetSettings(workers=2, range_lines=10)
        return await asyncio.wait_for(Fleet(settings(tmp_path), fleet, Broken(Server())).run(), 60)

    summary = asyncio.run(session())
    assert summary.stopped == "worker"
    assert summary.text == "w2: unexpected RuntimeError: boom"
    assert summary.resumable
    assert go(settings(tmp_path, resume=True)).passed
    check_whole(tmp_path, 60)


def test_an_unforeseen_error_in_a_range_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker did not report it, and the range was leased again and again."""

    class Broken(Process):
        async def run(self) -> Summary:
            if "part-000001-" in self.settings.output:
                raise ValueError("a bug")
            return await super().run()

    write_input(tmp_path / "in.jsonl", 150)
    with monkeypatch.context() as patch:
        patch.setattr("harness.bulk.fleet.range_worker.Process", Broken)
        summary = go(settings(tmp_path))
    assert summary.stopped == "worker"
    assert re.fullmatch(r"worker w\d on .*, lines 51 to 100: unexpected ValueError: a bug", summary.text)
    assert go(settings(tmp_path, resume=True)).passed
    check_whole(tmp_path, 150)


def test_the_end_of_an_earlier_lease_does_not_end_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may get a range again while its earlier epoch still saves: it must go on renewing the new lease."""

    async def session() -> Beat:
        ends: list[asyncio.Future[None]] = []

        async def opened() -> None:
            ends.append(asyncio.get_running_loop().create_future())
            await ends[-1]

        order = WorkerOrder("w1", settings(tmp_path), str(tmp_path), "token", 15.0, 0.01, True)
        worker = Worker(order, Server())
        monkeypatch.setattr(worker._parts, "check_token", lambda *arguments: None)
        monkeypatch.setattr(worker._server, "opened", opened)
        await worker.exchange(Reply())
        for epoch in (1, 2):
            await worker.exchange(Reply(leases=[Lease(Range(0, 0, 9, 1, 1), epoch, "w1")]))
            while len(ends) < epoch:
                await asyncio.sleep(0)
        ends[0].set_exception(UsageError("the earlier one ends"))
        beats = [await worker.exchange(Reply()) for _ in range(3)]
        assert any(stopped.epoch == 1 for beat in beats for stopped in beat.stopped)
        ends[1].set_exception(UsageError("done"))
        return beats[-1]

    assert [(each.number, each.epoch) for each in asyncio.run(session()).progress] == [(0, 2)]
