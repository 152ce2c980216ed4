"""Records of long runs: closed in segments, compressed beside the load, and read as one file."""

from __future__ import annotations

import errno
import math
import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.client.types import Outcome
from harness.live.tail import FileTail
from harness.measure.record import packing, segments
from harness.measure.record.files import digest, find, unreadable
from harness.measure.record.rows_file import read
from harness.measure.reduce import column_rows
from harness.measure.reduce.columns import load_repeat
from harness.measure.reduce.request_table import Table
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RunResult
from tests.unit.recorded import Exchange, end, plan, plan_case, record, recorder, write_case

ROWS = 1_200


def exchanges(count: int = ROWS, first: int = 0) -> list[Exchange]:
    """Of uneven latency, with failures, retries and requests that were never sent."""
    draw = np.random.default_rng(first)
    found = []
    for number, service in enumerate(draw.lognormal(-5, 0.5, count).tolist(), first):
        due = number * 0.01
        sent = due + 0.0001 * (number % 7)
        outcome = Outcome.rejected if number % 97 == 0 else Outcome.not_sent if number % 211 == 5 else Outcome.ok
        earlier = ((sent - 0.00005, sent - 0.00004, 503),) if number % 50 == 7 else ()
        never = outcome is Outcome.not_sent
        found.append(Exchange(due, math.nan if never else sent, sent + service, outcome, previous=earlier))
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a hundred rows, that stay uncompressed."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 8_000)
    monkeypatch.setattr(segments.Packer, "add", lambda self, part: None)


def recorded(directory: Path) -> Path:
    """A run of one case in segments; its file of requests."""
    into = recorder(directory)
    for start in range(0, ROWS, 50):
        record(into, exchanges()[start : start + 50], start)
        into.flush()
    end(into)
    return into.paths.requests


@pytest.mark.usefixtures("small")
def test_a_large_file_is_closed_and_all_segments_are_read_as_one(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    parts = segments.parts_of(path)
    assert len(parts) == 13
    assert max(part.stat().st_size for part in parts) < 8_000 + 51 * 80
    assert read(path)[1]["index"].tolist() == list(range(ROWS))
    before = digest([found := find(tmp_path)["sync"][0][0]])
    for part in parts[:-1:2]:
        packing.compress(str(part))
        assert not part.exists()
    assert digest([found]) == before
    assert len(load_repeat(0, [found]).rows) == ROWS
    table = Table(tmp_path)
    assert [index for block in table.blocks() for index in block["index"]] == list(range(ROWS))
    assert table.damaged == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("spoil", ["missing", "damaged", "cut"])
def test_a_missing_or_damaged_segment_is_noticed(tmp_path: Path, spoil: str) -> None:
    path = recorded(tmp_path)
    part = segments.parts_of(path)[3]
    if spoil == "missing":
        part.unlink()
    else:
        packing.compress(str(part))
        packed = part.with_name(f"{part.name}.gz")
        data = packed.read_bytes()
        packed.write_bytes(data[:-200] if spoil == "cut" else data[:300] + bytes([data[300] ^ 255]) + data[301:])
    repeat = load_repeat(0, [find(tmp_path)["sync"][0][0]])
    assert any(path.name in text for text in repeat.damaged)
    assert len(repeat.rows) <= ROWS - 100
    with pytest.raises((ValueError, OSError)):
        read(path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [0, 10, 40])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
def test_a_closed_segment_with_a_torn_header_is_damage_also_of_a_killed_process(
    tmp_path: Path, size: int, packed: bool
) -> None:
    path = recorded(tmp_path)
    found = find(tmp_path)["sync"][0][0]
    found.end.unlink()
    assert load_repeat(0, [found]).damaged == ()
    part = segments.parts_of(path)[3]
    os.truncate(part, size)
    if packed:
        packing.compress(str(part))
    repeat = load_repeat(0, [found])
    assert any(path.name in text for text in repeat.damaged)
    assert len(repeat.rows) == ROWS - 100
    table = Table(tmp_path)
    assert sum(len(block["index"]) for block in table.blocks()) == ROWS - 100
    assert any(path.name in text for text in table.damaged)
    with pytest.raises(ValueError, match=path.name):
        read(path)


@pytest.mark.usefixtures("small")
def test_a_torn_header_after_closed_segments_is_damage_and_without_them_is_none(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    found = find(tmp_path)["sync"][0][0]
    found.end.unlink()
    os.truncate(path, 10)
    assert unreadable(tmp_path, "sync") == ([], [f"the header is torn ({path.name})"])
    for part in segments.parts_of(path)[:-1]:
        part.unlink()
    assert unreadable(tmp_path, "sync") == ([f"the header is torn ({path.name})"], [])


@pytest.mark.no_cover
@pytest.mark.usefixtures("small")
def test_flipped_bits_of_compressed_segments_are_found_and_named(tmp_path: Path) -> None:
    """Also of a killed process. Harmless are bits of gzip's own time and name, and those that fill up its last byte."""
    path = recorded(tmp_path)
    found, draw = find(tmp_path)["sync"][0][0], np.random.default_rng(7)
    found.end.unlink()
    for part in segments.parts_of(path)[:-1]:
        packing.compress(str(part))
    right = load_repeat(0, [found])
    assert right.damaged == ()
    for number in range(120):
        file = segments.closed_name(path, 1 + number % 12)
        packed = file.with_name(f"{file.name}.gz")
        before = packed.read_bytes()
        # Every second one is in the first bytes: the header of gzip, and of the record.
        bit = int(draw.integers(8 * (len(before) if number % 2 else 60)))
        after = bytearray(before)
        after[bit // 8] ^= 1 << bit % 8
        packed.write_bytes(after)
        repeat = load_repeat(0, [found])
        packed.write_bytes(before)
        if not any(path.name in text for text in repeat.damaged):
            assert np.array_equal(repeat.rows, right.rows), (file.name, bit)
            assert bit // 8 < 60 or bit // 8 == len(before) - 9, (file.name, bit)


@pytest.mark.usefixtures("small")
def test_a_process_killed_while_it_closes_a_segment_leaves_no_row_twice(tmp_path: Path) -> None:
    into = recorder(tmp_path)
    record(into, exchanges(90))
    into.flush()
    os.link(into.paths.requests, segments.closed_name(into.paths.requests, 1))
    assert len(read(into.paths.requests)[1]) == 90
    assert not segments.is_closed(into.paths.requests, 1)


@pytest.mark.usefixtures("small")
def test_a_file_that_cannot_be_closed_goes_on_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = recorded(tmp_path)
    assert segments.parts_of(path) == [path]
    assert len(read(path)[1]) == ROWS
    assert sorted(file.suffix for file in path.parent.iterdir() if file.name.startswith(path.name)) == [".requests"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("room", [True, False], ids=["short", "full"])
def test_a_header_of_which_a_part_is_written_costs_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    """Of a new file, the first call writes ten bytes; on a full disk the next one fails."""
    real, begun = os.write, set[int]()

    def write(fd: int, data: memoryview) -> int:
        if os.lseek(fd, 0, os.SEEK_CUR) == 0:
            begun.add(fd)
            return real(fd, data[:10])
        if fd in begun:
            begun.discard(fd)
            if not room and len(data) < 1_000:
                raise OSError(errno.ENOSPC, "no space left")
        return real(fd, data)

    into = recorder(tmp_path)
    monkeypatch.setattr(os, "write", write)
    for start in range(0, 400, 50):
        record(into, exchanges()[start : start + 50], start)
        into.flush()
    monkeypatch.undo()
    end(into)
    path = into.paths.requests
    assert len(segments.parts_of(path)) == (5 if room else 1)
    assert len(read(path)[1]) == 400


@pytest.mark.usefixtures("small")
def test_a_new_recording_discards_the_segments_of_an_earlier_one(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    packing.compress(str(segments.parts_of(path)[1]))
    end(recorder(tmp_path))
    assert segments.parts_of(path) == [path]


@pytest.mark.usefixtures("small")
def test_the_live_page_follows_the_file_over_its_segments(tmp_path: Path) -> None:
    into = recorder(tmp_path)
    tail, seen = FileTail(into.paths.requests), list[int]()

    def follow() -> None:
        seen.extend(index for rows in tail.read() for index in rows["index"].tolist())

    for start in range(0, ROWS, 50):
        record(into, exchanges()[start : start + 50], start)
        into.flush()
        if start % 400 == 150:
            follow()
            packing.compress(str(segments.parts_of(into.paths.requests)[0])) if start == 150 else None
    follow()
    assert seen == list(range(ROWS))


def test_segments_are_compressed_by_a_process_beside_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 8_000)
    path = recorded(tmp_path)
    until = time.monotonic() + 30
    while any(part.exists() for part in segments.parts_of(path)[:-1]):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert read(path)[1]["index"].tolist() == list(range(ROWS))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases with two repeats each, one under arrivals."""
    directory = tmp_path_factory.mktemp("plain")
    for case in ("sync", "queue-stream"):
        for repeat in range(2):
            write_case(directory, case, exchanges(first=repeat * 1_000), repeat, ticks=30, cpu_s=0.4)
    arrivals = {"duration_s": 12.0, "scheduled": ROWS, "span_s": 12.0, "warmup_s": 0.5, "repeats": 2}
    plan(
        directory,
        plan_case("sync", "constant", **arrivals),
        plan_case("queue-stream", repeats=2),
        ceilings={"asyncio": 2e3},
    )
    return directory


def test_columns_in_files_give_the_same_result_as_records_in_memory(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = summarize_run(plain)
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 300)
    assert isinstance(load_repeat(0, find(plain)["sync"][0]).rows, column_rows.ColumnRows)
    found = summarize_run(plain)
    assert found == expected
    assert msgspec.convert(msgspec.to_builtins(found), RunResult) == expected


def test_rows_in_files_answer_like_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 10)
    records = np.zeros(50, [("a", "<i8"), ("b", "u1")])
    records["a"], records["b"] = np.arange(50), np.arange(50) % 3
    builder = column_rows.RowsBuilder(records.dtype, tmp_path / "missing")
    for start in range(0, 50, 7):
        builder.add(records[start : start + 7])
    rows = builder.rows()
    assert len(rows) == 50
    kept = rows[rows["b"] > 0]
    twice = kept[kept["a"] < 20]
    assert (len(kept), twice["a"].tolist()) == (33, [a for a in range(20) if a % 3])
    assert rows[np.array([3, 1])].tolist() == [(3, 0), (1, 1)]
    assert kept[:2].tolist() == [(1, 1), (2, 2)]
    assert rows[np.full(50, True)] is rows


def test_distinct_values_are_counted_with_and_without_gaps() -> None:
    assert column_rows.distinct(np.array([3, 1, 3, 0], np.uint64)) == 3
    assert column_rows.distinct(np.array([1 << 40, 5, 1 << 40], np.uint64)) == 2
    assert column_rows.distinct(np.empty(0, np.uint64)) == 0
