"""The pure parts: lines out of bytes, which lines are done, the window of dead letters, when a server is gone."""

from __future__ import annotations

import gzip
import json
import os
import sys
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from harness.bulk import journal
from harness.bulk.journal import Checkpoint, Journal, Mark
from harness.bulk.outage import Outage
from harness.bulk.row_items import Rows
from harness.bulk.settled import Done
from harness.bulk.sinks import Sink
from harness.bulk.source import InputSource
from harness.bulk.tally import DeadLetterShare, Speed
from harness.client.errors import UsageError
from harness.load.lines import HEAD_BYTES, LINE_MAX, Lines, LongLine, Unpack, check_encoding, lines_of, text_of


@given(st.permutations(range(1, 30)))
def test_done_grows_by_each_line_once_in_order(lines: list[int]) -> None:
    """Whatever the order of settling; and its ranges say all that is above the prefix."""
    done = Done()
    grown: list[int] = []
    for line in lines:
        grown += done.add(line)
        again = Done(done.next, done.runs())
        assert (again.next, again.above) == (done.next, done.above)
    assert grown == list(range(1, 30))
    assert done.next == 30
    assert not done.above


def test_done_leaves_out_what_only_waits() -> None:
    """A result that waits for its turn is settled, but not in the file."""
    done = Done(4, [(6, 9)])
    assert 3 in done
    assert 7 in done
    assert 4 not in done
    assert done.runs(without={7}) == [(6, 6), (8, 9)]


@given(st.lists(st.binary(max_size=12), max_size=12), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_come(texts: list[bytes], step: int) -> None:
    """Chunks of any size, with and without an end of the last line."""
    data = b"\n".join(text.replace(b"\n", b"") for text in texts)
    splitter = Lines()
    found = [line for i in range(0, len(data), step) for line in splitter.feed(data[i : i + step])] + splitter.close()
    assert found == data.removesuffix(b"\n").split(b"\n") or (not data and found == [])


def test_a_monstrous_line_takes_no_memory_and_costs_only_itself() -> None:
    """Its beginning and its range of bytes are kept; the lines around it are whole."""
    splitter = Lines()
    found = splitter.feed(b"a\n")
    for _ in range(9):
        found += splitter.feed(b"x" * (1 << 20))
    found += splitter.feed(b"x\nb\n" + b"y" * (LINE_MAX + 1) + b"\nc")
    first, second = 2 + 9 * (1 << 20) + 1, LINE_MAX + 1
    assert found + splitter.close() == [
        b"a",
        LongLine(b"x" * HEAD_BYTES, 2, first),
        b"b",
        LongLine(b"y" * HEAD_BYTES, first + 3, first + 3 + second),
        b"c",
    ]


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 50), st.booleans())
def test_ranges_of_long_lines_hold_their_bytes(sizes: list[int], step: int, ended: bool) -> None:
    """Whatever the chunks, each line or range is what stands between two line breaks."""
    data = b"\n".join(bytes([97 + n]) * size for n, size in enumerate(sizes)) + b"\n" * ended
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.load.lines.LINE_MAX", 20)
        patch.setattr("harness.load.lines.HEAD_BYTES", 5)
        splitter = Lines(1000)
        chunks = [data[i : i + step] for i in range(0, len(data), step)]
        found = [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.close()
    whole = [data[line.begin - 1000 : line.end - 1000] if isinstance(line, LongLine) else line for line in found]
    assert whole == data.removesuffix(b"\n").split(b"\n") or (not data and whole == [])
    assert [len(line.head) for line in found if isinstance(line, LongLine)] == [5] * sum(size > 20 for size in sizes)


@pytest.mark.parametrize("step", [3, 64, 10_000])
def test_a_dead_letter_may_be_longer_than_the_row_in_it(step: int) -> None:
    """Whatever the chunks. Of other lines, and of one that no row explains, the beginning and the position are kept."""
    letter, other = b'{"dead_letter":1,' + b"x" * 200, b'{"dead":' + b"y" * 200
    data = b"\n".join([b"a", letter, other, letter * 20, b"b"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.load.lines.LINE_MAX", 100)
        patch.setattr("harness.load.lines.OWN_LINE_MAX", 800)
        patch.setattr("harness.load.lines.HEAD_BYTES", 5)
        splitter = Lines()
        found = [line for at in range(0, len(data), step) for line in splitter.feed(data[at : at + step])]
        found += splitter.close()
        own = Lines(own=True)
        assert [*own.feed(data), *own.close()][1:3] == [letter, other]
    at = len(letter) + 3
    end = at + len(other) + 1
    assert found == [
        b"a",
        letter,
        LongLine(other[:5], at, at + len(other)),
        LongLine(letter[:5], end, end + 20 * len(letter)),
        b"b",
    ]


def test_the_dead_letter_of_a_long_line_leads_to_it() -> None:
    """Its beginning, and its bytes in the input; sent again it stays a dead letter."""
    rows = Rows(["annotate"])
    _, ticket, why = rows.item(7, LongLine('{"text": "é'.encode()[:-1], 100, 9_000_000))
    letter = json.loads(rows.bad_line(ticket, why))
    assert letter["line"] == 7
    assert letter["class"] == "long_line"
    assert letter["error"] == f"longer than {LINE_MAX} bytes"
    assert (letter["raw"], letter["raw_start"], letter["bytes"]) == (None, '{"text": "\ufffd', [100, 9_000_000])
    item, _, why = rows.item(1, json.dumps(letter).encode())
    assert (item, why) == (None, "the line is too long for a dead letter, so it cannot be sent from there")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_another_encoding_is_refused_by_name(tmp_path: Path, encoding: str, pack) -> None:  # type: ignore[no-untyped-def]
    """Before anything is written; the message says what is allowed."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(pack('{"text": "a"}\n'.encode(encoding)))
    name = encoding[:6].upper()
    words = f"in.jsonl: is not UTF-8 but {name}; convert it with `iconv -f {name} -t UTF-8`. Allowed is UTF-8"
    with pytest.raises(UsageError, match=words):
        InputSource(str(path))
    with pytest.raises(UsageError, match=words):
        list(lines_of(path))
    with pytest.raises(UsageError, match=words):
        text_of(path)


def test_texts_in_utf_8_are_not_taken_for_others() -> None:
    for text in ("", "é", "{", "\ufeff{", "ÿþ", "a\n"):
        check_encoding(text.encode())


PACKERS = [
    lambda data: data,
    gzip.compress,
    lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]) + b"\0" * 9,
    zstandard.ZstdCompressor().compress,
    lambda data: zstandard.ZstdCompressor().compress(data[:50]) + zstandard.ZstdCompressor().compress(data[50:]),
]


@pytest.mark.parametrize("pack", PACKERS, ids=["plain", "gzip", "members", "zstd", "frames"])
@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_packed_bytes_are_known_by_what_they_begin_with(pack, step: int) -> None:  # type: ignore[no-untyped-def]
    """In chunks of any size, with any number of members or frames."""
    data = b"".join(b'{"text": "line %d"}\n' % n for n in range(50))
    packed, unpack = pack(data), Unpack()
    found = b"".join(p for i in range(0, len(packed), step) for p in unpack.feed(packed[i : i + step]))
    assert found + unpack.close() == data


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_packed_bytes_that_break_off_or_are_damaged_are_reported(pack) -> None:  # type: ignore[no-untyped-def]
    """Never taken for the end of the input."""
    packed = pack(bytes(range(256)) * 40)
    unpack = Unpack()
    list(unpack.feed(packed[:-9]))
    with pytest.raises(UsageError, match="breaks off"):
        unpack.close()
    with pytest.raises(UsageError, match="damaged"):
        list(Unpack().feed(packed[:8] + b"\xff" * 300))


def test_a_small_packed_input_is_unpacked_in_pieces() -> None:
    """A gigabyte of one letter would fit into a megabyte."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"a" * 30_000_000) + packer.flush()
    assert max(len(piece) for piece in Unpack().feed(packed)) <= 1 << 20


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"])
def test_a_file_can_be_cut_after_any_flush(tmp_path: Path, name: str) -> None:
    """What was flushed is whole by itself; what came after the cut is gone."""
    path = tmp_path / name
    first = Sink(str(path))
    first.open()
    sizes = []
    for line in (b"one\n", b"two\n", b"three\n"):
        first.write(line)
        first.flush()
        sizes.append((first.size, first.crc))
    with pytest.raises(UsageError, match="another process is writing it"):
        Sink(str(path)).open()
    first.close()
    second = Sink(str(path))
    second.open(*sizes[1])
    second.write(b"four\n")
    second.flush()
    second.close()
    unpack = Unpack()
    assert b"".join(unpack.feed(path.read_bytes())) + unpack.close() == b"one\ntwo\nfour\n"
    for keep, crc in [(10_000, 0), (sizes[1][0], sizes[1][1] ^ 1)]:
        third = Sink(str(path))
        with pytest.raises(UsageError, match="changed since"):
            third.open(keep, crc)
        third.undo()
    assert path.exists()


def records(path: Path) -> list[tuple[bytes, int]]:
    """What a journal holds beyond its last checkpoint."""
    return [(record.kind, record.line) for record in journal.read(path).records]


def test_a_journal_is_read_up_to_its_last_whole_record(tmp_path: Path) -> None:
    """Whatever byte the kill came at."""
    path = tmp_path / "j"
    kept = Journal(path, {"input": 1})
    kept.create(Checkpoint())
    kept.append(journal.encode(b"R", 2, b'{"line":2}\n'))
    kept.checkpoint(Checkpoint(next=3, output_bytes=11, mark=Mark(2, 5, 77)))
    kept.append(journal.encode(b"D", 5, b'{"line":5}\n'))
    kept.append(journal.encode(b"R", 4, b'{"line":4}\n'))
    kept.close()
    whole = path.read_bytes()
    assert records(path) == [(b"D", 5), (b"R", 4)]
    for size in range(whole.index(b"\n", whole.index(b"\nC") + 1) + 1, len(whole)):
        path.write_bytes(whole[:size])
        past = journal.read(path)
        assert past.fingerprint == {"input": 1}
        assert [r.line for r in past.records] in ([], [2], [5], [5, 4])
    path.write_bytes(whole[:-14] + b"\0" * 14)
    assert records(path) == [(b"D", 5)]
    path.write_bytes(b'{"no": "journal"}\n')
    with pytest.raises(UsageError, match="not the journal"):
        journal.read(path)


def test_a_rewritten_journal_keeps_what_came_meanwhile(tmp_path: Path) -> None:
    """Between the snapshot and the renaming as well."""
    kept = Journal(tmp_path / "j", {})
    kept.create(Checkpoint())
    kept.begin_rewrite()
    written = kept.write_beside(Checkpoint(next=3), [journal.encode(b"R", 5, b"{}\n")])
    kept.append(journal.encode(b"R", 6, b"{}\n"))
    kept.end_rewrite(written)
    kept.append(journal.encode(b"R", 7, b"{}\n"))
    kept.close()
    assert records(tmp_path / "j") == [(b"R", 5), (b"R", 6), (b"R", 7)]
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


def test_the_share_of_dead_letters_is_that_of_the_last_lines() -> None:
    """A million good ones before do not hide that nothing works any more; a few lines tell nothing."""
    share = DeadLetterShare(0.05, 100)
    for _ in range(99):
        share.add(True)
    assert not share.exceeded
    share = DeadLetterShare(0.05, 100)
    for _ in range(5_000):
        share.add(False)
    for _ in range(50):
        share.add(True)
    assert not share.exceeded
    share.add(True)
    assert share.exceeded
    for _ in range(1_000):
        share.add(False)
    assert share.dead == 0


def test_a_server_is_given_up_after_a_time_without_any_answer() -> None:
    """Any answer restarts the time; probes become rarer."""
    outage = Outage(patience_s=10.0)
    for _ in range(7):
        outage.refused(100.0)
    assert not outage.down
    outage.refused(101.0)
    assert outage.down
    assert not outage.over(109.9)
    assert outage.over(110.0)
    pauses = [outage.pause_s(100.0) for _ in range(6)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert outage.pause_s(109.5) == pytest.approx(0.5)
    outage.answered()
    assert not outage.down
    assert outage.lasts_s(200.0) == 0.0


def test_speed_is_that_of_late() -> None:
    """Of the last twenty seconds."""
    speed = Speed()
    assert speed.add(0.0, 0) == 0.0
    assert speed.add(10.0, 100) == pytest.approx(10.0)
    for second in range(11, 60):
        rate = speed.add(float(second), 100 + 50 * (second - 10))
    assert rate == pytest.approx(50.0)


def test_after_a_torn_record_nothing_more_is_appended(tmp_path: Path) -> None:
    """It would make one line with the torn one; and such a line is not believed."""
    kept = Journal(tmp_path / "j", {})
    kept.create(Checkpoint())
    whole, kept._fd = kept._fd, os.open("/dev/full", os.O_WRONLY)
    for line in (1, 2):
        with pytest.raises(OSError, match="No space left"):
            kept.append(journal.encode(b"R", line, b"{}\n"))
        if kept._fd != whole:
            os.close(kept._fd)
            kept._fd = whole
    kept.close()
    with (tmp_path / "j").open("ab") as file:
        file.write(b'R1 {"lin' + journal.encode(b"R", 2, b'{"line":2}\n'))
    assert records(tmp_path / "j") == []


def test_without_the_package_zstandard_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the input and for the output."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UsageError, match=r'pip install "paceline\[zst\]"'):
        list(Unpack().feed(b"\x28\xb5\x2f\xfd1234"))
    with pytest.raises(UsageError, match="needs the package zstandard"):
        Sink("out.jsonl.zst")
