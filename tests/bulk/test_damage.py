"""Damaged journals and inputs that were edited: each gives the right output, or is refused by name."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from pathlib import Path
from random import Random

import msgspec
import pytest

from harness.bulk import Process, journal, saving
from harness.client.errors import UsageError
from harness.client.types import Outcome
from tests.bulk.helpers import Server, go, refusal, rows, settings, until, write_input
from tests.bulk.killing import check

LINES = 600
FLIPS = int(os.environ.get("PACELINE_TEST_FLIPS", "24"))


def judge(index: int, call: int) -> Outcome:
    return Outcome.client_error if index % 30 == 0 else Outcome.ok


def crashed(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: int = LINES, at: int = 500, **more: object) -> None:
    """A run that ended without its last checkpoint, as after `kill -9`, with several checkpoints in its journal."""
    folder.mkdir(exist_ok=True)
    if not (folder / "in.jsonl").exists():
        write_input(folder / "in.jsonl", lines)

    async def main() -> None:
        run = Process(settings(folder, **more), Server(judge, turns=lambda index: 1 + index * 37 % 200))
        working = asyncio.create_task(run.run())
        await until(lambda: run.counts.settled >= at, working)
        run.cut()
        await working

    with monkeypatch.context() as patched:
        patched.setattr(saving, "PLAIN_SYNC_S", 0.004)
        patched.setattr(saving, "_FLUSH_S", 0.002)
        patched.setattr(Process, "_finish", lambda self: None)
        asyncio.run(main())


@pytest.mark.no_cover
@pytest.mark.parametrize("complete", [False, True])
def test_a_flipped_bit_in_a_journal_is_refused_by_name_or_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    """Of a run that crashed and of one that is complete: no flip may change a line of the output in silence."""
    origin = tmp_path / "origin"
    if complete:
        origin.mkdir()
        write_input(origin / "in.jsonl", LINES)
        go(settings(origin), Server(judge))
    else:
        crashed(origin, monkeypatch)
    whole = (origin / "out.jsonl.journal").read_bytes()
    rng, refused = Random(11 + complete), 0
    for number in range(FLIPS // 2):
        folder = tmp_path / str(number)
        shutil.copytree(origin, folder)
        damaged, bit = bytearray(whole), rng.randrange(8 * len(whole))
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "out.jsonl.journal").write_bytes(damaged)
        before = (folder / "out.jsonl").read_bytes()
        if (why := refusal(settings(folder, resume=True), Server(judge))) is not None:
            refused += 1
            assert "out.jsonl.journal: is" in why, bit
            assert "damaged" in why
            assert (folder / "out.jsonl").read_bytes() == before
        else:
            check(folder / "out.jsonl", folder / "bad.jsonl", LINES)
            answers = rows(folder / "out.jsonl")
            assert all(row["answer"] == f"answer a b c {row['line']}" for row in answers), bit
            assert [row["line"] for row in answers] == sorted(row["line"] for row in answers)
        shutil.rmtree(folder)
    assert refused > FLIPS // 4
    print(f"{FLIPS // 2} flips, complete={complete}: {refused} refused by name, the rest gave the right output")


def test_changed_numbers_of_a_checkpoint_are_refused(tmp_path: Path) -> None:
    """The message names the file and a remedy."""
    write_input(tmp_path / "in.jsonl", 50)
    go(settings(tmp_path))
    path = tmp_path / "out.jsonl.journal"
    text = path.read_bytes()
    for old, new in [(b'"next":51', b'"next":31'), (b'"output_bytes":', b'"output_bytes":1'), (b'"ok":50', b'"ok":49')]:
        assert old in text
        path.write_bytes(text.replace(old, new))
        with pytest.raises(UsageError, match=r"out\.jsonl\.journal: is damaged: .* start again with --overwrite"):
            go(settings(tmp_path, resume=True))
    assert len(rows(tmp_path / "out.jsonl")) == 50


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_changed_bytes_of_the_output_are_refused(tmp_path: Path, suffix: str) -> None:
    """One bit anywhere in the kept bytes; the whole output is accepted again when the bit is put back."""
    write_input(tmp_path / "in.jsonl", 50)
    output = tmp_path / f"out.jsonl{suffix}"
    go(settings(tmp_path, output=str(output)))
    whole = output.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        output.write_bytes(flipped)
        with pytest.raises(UsageError, match=r"its bytes have changed since they were written; .* --overwrite"):
            go(settings(tmp_path, output=str(output), resume=True))
        assert output.read_bytes() == flipped
    output.write_bytes(whole)
    go(settings(tmp_path, output=str(output), resume=True))
    assert output.read_bytes() == whole


def test_damage_before_whole_records_names_its_place_and_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    """Number of the record and byte; a hole that a power failure left ends the journal."""
    path = tmp_path / "j"
    kept = journal.Journal(path, {"input": 1})
    kept.create(journal.Checkpoint())
    for line in (1, 2, 3):
        kept.append(journal.encode(b"R", line, b'{"line":%d}\n' % line))
    kept.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert [record.line for record in journal.read(path).records] == [1, 2, 3]
    changed = lines[3].replace(b'"line"', b'"lime"')
    path.write_bytes(b"".join([*lines[:3], changed, lines[4]]))
    place = len(b"".join(lines[:3]))
    with pytest.raises(UsageError, match=rf"is damaged: record 4 \(at byte {place}\) does not fit its checksum"):
        journal.read(path)
    path.write_bytes(b"".join([*lines[:4], lines[4].replace(b'"line"', b'"lime"')]))
    assert [record.line for record in journal.read(path).records] == [1, 2]
    path.write_bytes(b"".join([*lines[:3], b"\0" * (len(lines[3]) - 1) + b"\n", lines[4]]))
    assert [record.line for record in journal.read(path).records] == [1]


def test_how_far_the_input_was_read_outlives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stated before a line is given out, and kept when the journal is rewritten."""
    crashed(tmp_path, monkeypatch, lines=LINES, at=300)
    past = journal.read(tmp_path / "out.jsonl.journal")
    assert past.read.line == LINES + 1
    assert past.read.offset == (tmp_path / "in.jsonl").stat().st_size


def swapped(text: bytes, one: int, other: int) -> bytes:
    """With two lines of the same length in each other's place."""
    lines = text.splitlines(keepends=True)
    assert len(lines[one]) == len(lines[other])
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def unsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the file were too large for its samples to meet the change."""
    monkeypatch.setattr("harness.bulk.source._SAMPLE_BYTES", 1)


@pytest.mark.no_cover
@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("line", [10, 120])  # before the lines that are all done, and among those that are not
def test_an_input_edited_in_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int, packed: bool, keep_time: bool
) -> None:
    """Lines swapped, same size; also where the time of the file was set back. Nothing is touched."""
    unsampled(monkeypatch)
    pack = (lambda data: gzip.compress(data, 0, mtime=0)) if packed else bytes  # not compressed: of the same size
    write_input(tmp_path / "plain", LINES)
    text = (tmp_path / "plain").read_bytes()
    (tmp_path / "in.jsonl").write_bytes(pack(text))
    crashed(tmp_path, monkeypatch, at=110)
    info, before = (tmp_path / "in.jsonl").stat(), (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "in.jsonl").write_bytes(pack(swapped(text, line, line + 1)))
    if keep_time:
        os.utime(tmp_path / "in.jsonl", ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(UsageError, match=r"(lines of the input are not those of the run|is not the input that)"):
        go(settings(tmp_path, resume=True))
    assert (tmp_path / "out.jsonl").read_bytes() == before
    (tmp_path / "in.jsonl").write_bytes(pack(text))
    assert go(settings(tmp_path, resume=True), Server(judge)).complete
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", LINES)


def test_a_complete_run_does_not_pass_for_that_of_an_edited_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nothing to do` would be false; a file that was only written again is noted, and is the same."""
    unsampled(monkeypatch)
    write_input(tmp_path / "in.jsonl", LINES)
    go(settings(tmp_path))
    text = (tmp_path / "in.jsonl").read_bytes()
    notes: list[str] = []
    os.utime(tmp_path / "in.jsonl", (1, 1))
    summary = go(settings(tmp_path, resume=True), tell=lambda event, facts: notes.append(facts["text"]))
    assert summary.nothing_to_do
    words = "was written to since the session before; the 600 lines read then are the same"
    assert notes == [f"{tmp_path}/in.jsonl {words}"]
    (tmp_path / "in.jsonl").write_bytes(swapped(text, 200, 300))
    with pytest.raises(UsageError, match="the first 600 lines of the input are not those of the run it resumes"):
        go(settings(tmp_path, resume=True))


def test_a_rewritten_journal_still_says_how_far_the_input_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was read while the checkpoint was on its way to the disk."""
    monkeypatch.setattr(journal, "REWRITE_BYTES", 2_000)
    crashed(tmp_path, monkeypatch, at=300)
    past = journal.read(tmp_path / "out.jsonl.journal")
    assert past.read.line == LINES + 1
    assert msgspec.structs.asdict(past.read)["offset"] == (tmp_path / "in.jsonl").stat().st_size
