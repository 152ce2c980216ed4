"""Going on: what a resumed run checks before it touches anything, and what it takes over."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import shutil
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.bulk import Process, Summary, saving
from harness.client.errors import UsageError
from harness.client.types import Outcome
from tests.bulk.helpers import Server, go, refusal, rows, settings, until, write_input
from tests.bulk.killing import check


def half(folder: Path, lines: int = 300, **more: Any) -> Summary:
    """A run that was stopped in the middle."""
    if not (folder / "in.jsonl").exists():
        write_input(folder / "in.jsonl", lines)

    async def main() -> Summary:
        run = Process(settings(folder, **more), Server())
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.ok >= lines // 2, working)
        run.cut()
        return await working

    return asyncio.run(main())


def test_only_what_is_left_is_sent(tmp_path: Path) -> None:
    """And the counts are of both sessions together."""
    before = half(tmp_path)
    server = Server()
    after = go(settings(tmp_path, resume=True), server)
    assert sum(server.calls.values()) == 300 - before.counts["ok"]
    assert (after.counts["ok"], after.counts["sessions"]) == (300, 2)
    assert after.session["ok"] == 300 - before.counts["ok"]
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 301))


def test_a_complete_run_has_nothing_to_do(tmp_path: Path) -> None:
    """Called again from a cron job it sends nothing, changes nothing and still passes."""
    write_input(tmp_path / "in.jsonl", 20)
    go(settings(tmp_path))
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    server = Server()
    summary = go(settings(tmp_path, resume=True), server)
    assert (summary.nothing_to_do, summary.passed) == (True, True)
    assert not server.calls
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}


def test_lines_added_to_the_input_are_done_by_a_resume(tmp_path: Path) -> None:
    """Only they; the lines before are known to be the same."""
    write_input(tmp_path / "in.jsonl", 200)
    go(settings(tmp_path))
    write_input(tmp_path / "in.jsonl", 250)
    server = Server()
    assert go(settings(tmp_path, resume=True), server).counts["ok"] == 250
    assert sorted(server.calls) == list(range(201, 251))
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 251))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": ("embed",)}, r"tasks was .*annotate.* and is now .*embed"),
        ({"tasks": ("annotate:max_tokens=9",)}, "tasks was"),
        ({"order": "completion"}, r'order was "input" .* and is now "completion"'),
        ({"with_input": True}, "with_input was false"),
        ({"id_field": "key"}, 'id_field was "id"'),
    ],
)
def test_other_settings_that_matter_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """Named, and nothing is touched; strategy, layers and target may change."""
    half(tmp_path)
    before = (tmp_path / "out.jsonl").read_bytes()
    with pytest.raises(UsageError, match=words):
        go(settings(tmp_path, resume=True, **change))
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert go(settings(tmp_path, resume=True, strategy="sync")).passed


def test_another_input_is_refused(tmp_path: Path) -> None:
    """Shorter, or of the same size and different; one that only lies elsewhere is the same."""
    half(tmp_path)
    text = (tmp_path / "in.jsonl").read_text()
    for other in (text[:-200], text.replace('"i1"', '"j1"'), text[:-3] + "Y" + text[-2:], text.replace("i300", "i301")):
        (tmp_path / "other.jsonl").write_text(other)
        with pytest.raises(UsageError, match=r"is not the input that .* was made from"):
            go(settings(tmp_path, input=str(tmp_path / "other.jsonl"), resume=True))
    (tmp_path / "moved.jsonl").write_text(text)
    assert go(settings(tmp_path, input=str(tmp_path / "moved.jsonl"), resume=True)).passed


@pytest.mark.no_cover
def test_packed_inputs_are_read_through_and_checked(tmp_path: Path) -> None:
    """There is no seeking in them; the sum of what was skipped must be that of the mark."""
    write_input(tmp_path / "plain", 10_000)
    text = (tmp_path / "plain").read_bytes()
    (tmp_path / "in.jsonl").write_bytes(gzip.compress(text, 1))
    before = half(tmp_path, lines=10_000)
    assert before.counts["ok"] > 4_900
    server = Server()
    assert go(settings(tmp_path, resume=True), server).counts["ok"] == 10_000
    assert sum(server.calls.values()) == 10_000 - before.counts["ok"]
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 10_001))


def test_packed_data_that_breaks_off_is_reported_and_goes_on_once_it_is_whole(tmp_path: Path) -> None:
    """As when it was still being copied."""
    write_input(tmp_path / "plain", 3_000)
    packed = gzip.compress((tmp_path / "plain").read_bytes(), 1)
    (tmp_path / "in.jsonl").write_bytes(packed[:-500])
    before = go(settings(tmp_path))
    assert before.stopped == "input"
    assert "breaks off in the middle of its gzip data" in before.text
    assert 0 < before.counts["ok"] < 3_000
    (tmp_path / "in.jsonl").write_bytes(packed)
    assert go(settings(tmp_path, resume=True)).counts["ok"] == 3_000
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 3_001))


def test_files_in_the_way_are_left_alone(tmp_path: Path) -> None:
    """Without --overwrite; and --resume needs the journal that says what is in the output."""
    write_input(tmp_path / "in.jsonl", 5)
    (tmp_path / "out.jsonl").write_text("precious\n")
    with pytest.raises(UsageError, match=r"out\.jsonl: exists already; --overwrite starts over"):
        go(settings(tmp_path))
    with pytest.raises(UsageError, match=r"exists, but its journal .* is missing"):
        go(settings(tmp_path, resume=True))
    assert (tmp_path / "out.jsonl").read_text() == "precious\n"
    assert go(settings(tmp_path, overwrite=True)).passed
    assert len(rows(tmp_path / "out.jsonl")) == 5
    with pytest.raises(UsageError, match="--resume continues it, --overwrite starts over"):
        go(settings(tmp_path))
    (tmp_path / "out.jsonl").unlink()
    with pytest.raises(UsageError, match="is missing, but its journal"):
        go(settings(tmp_path, resume=True))


def test_an_output_that_was_cut_by_somebody_else_is_refused(tmp_path: Path) -> None:
    """What is missing could not be known."""
    half(tmp_path)
    (tmp_path / "out.jsonl").write_bytes((tmp_path / "out.jsonl").read_bytes()[:-5])
    with pytest.raises(UsageError, match="has changed since"):
        go(settings(tmp_path, resume=True))


def test_resume_without_an_earlier_run_begins_one(tmp_path: Path) -> None:
    """So that one command line serves for all calls."""
    write_input(tmp_path / "in.jsonl", 5)
    assert go(settings(tmp_path, resume=True)).counts["sessions"] == 1


def test_dead_letters_are_taken_over(tmp_path: Path) -> None:
    """They stay what they are: going on is not driving them again."""
    write_input(tmp_path / "in.jsonl", 400)

    async def main() -> Summary:
        run = Process(settings(tmp_path), Server(lambda i, call: Outcome.client_error if i % 50 == 0 else Outcome.ok))
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.settled >= 200, working)
        run.cut()
        return await working

    first = asyncio.run(main())
    server = Server()
    summary = go(settings(tmp_path, resume=True), server)
    assert summary.counts["dead"] == first.counts["dead"]
    assert summary.counts["ok"] + first.counts["dead"]["client_error"] == 400
    assert 100 not in server.calls
    assert len(rows(tmp_path / "bad.jsonl")) == first.counts["dead"]["client_error"]


def test_a_pipe_is_read_through_again_and_checked(tmp_path: Path) -> None:
    """The same input must be piped again; finished lines are skipped, and a different input is detected."""
    write_input(tmp_path / "plain", 10_000)
    text = (tmp_path / "plain").read_bytes()
    os.mkfifo(tmp_path / "in.jsonl")

    def pour(data: bytes) -> threading.Thread:
        def write() -> None:
            with contextlib.suppress(BrokenPipeError), (tmp_path / "in.jsonl").open("wb") as pipe:
                pipe.write(data)

        thread = threading.Thread(target=write)
        thread.start()
        return thread

    writer = pour(text)
    before = half(tmp_path, 10_000)
    writer.join()
    assert 5_000 <= before.counts["ok"] < 10_000
    writer = pour(text.replace(b'"i17"', b'"j17"'))
    other = go(settings(tmp_path, resume=True))
    writer.join()
    assert other.stopped == "input"
    assert "lines of the input are not those of the run it resumes" in other.text
    assert other.session["ok"] == 0
    writer = pour(text)
    server = Server()
    after = go(settings(tmp_path, resume=True), server)
    writer.join()
    assert after.counts["ok"] == 10_000
    assert sum(server.calls.values()) == 10_000 - before.counts["ok"]
    assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 10_001))


@pytest.mark.no_cover
def test_the_journal_may_break_off_at_any_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a power failure may leave it: whatever is left of it and of the files, each line gets its one end."""
    monkeypatch.setattr(saving, "PLAIN_SYNC_S", 0.004)
    monkeypatch.setattr(saving, "_FLUSH_S", 0.002)
    monkeypatch.setattr(Process, "_finish", lambda self: None)
    crashed = tmp_path / "crashed"
    crashed.mkdir()

    def judge(index: int, call: int) -> Outcome:
        return Outcome.client_error if index % 30 == 0 else Outcome.ok

    async def main() -> None:
        run = Process(settings(crashed), Server(judge, turns=lambda index: 1 + index * 37 % 200))
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.settled >= 1_000, working)
        run.cut()
        await working

    write_input(crashed / "in.jsonl", 1_200)
    asyncio.run(main())
    monkeypatch.undo()
    whole = (crashed / "out.jsonl.journal").read_bytes()
    least = whole.index(b"\n", whole.index(b"\nC") + 1) + 1  # its head and first checkpoint were written in one step
    for number, size in enumerate([least, len(whole), *Random(7).sample(range(least, len(whole)), 15)]):
        folder = tmp_path / str(number)
        shutil.copytree(crashed, folder)
        os.truncate(folder / "out.jsonl.journal", size)
        assert go(settings(folder, resume=True), Server(judge)).complete
        check(folder / "out.jsonl", folder / "bad.jsonl", 1_200)
        lines = [row["line"] for row in rows(folder / "out.jsonl")]
        assert lines == sorted(lines)


def test_the_dead_letter_file_that_is_left_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a file that never was; one that was moved may be named."""
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path / "in.jsonl", 40)
    server = Server(judge=lambda index, call: Outcome.client_error if index == 5 else Outcome.ok)
    go(settings(tmp_path, dead_letter="kd5.jsonl", errors_max=0.5), server)
    said = "--resume: this run's dead letters are in kd5.jsonl; add --dead-letter kd5.jsonl"
    assert refusal(settings(tmp_path, dead_letter=None, resume=True), server) == said
    (tmp_path / "kd5.jsonl").rename("moved.jsonl")
    assert refusal(settings(tmp_path, dead_letter="moved.jsonl", resume=True), server) is None
    gone = refusal(settings(tmp_path, dead_letter="kd5.jsonl", resume=True), server)
    assert gone is not None
    assert "kd5.jsonl: is missing; this run's dead letters" in gone
