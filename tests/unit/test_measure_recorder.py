"""The recorder: what a row holds, that nothing is lost, and that no failure of its own reaches the load."""

from __future__ import annotations

import asyncio
import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.client.cancellation import attach
from harness.client.types import Attempt, Outcome, Request, Response
from harness.measure.record.files import find, paths, slug
from harness.measure.record.recorder import Recorder
from harness.measure.record.request_recorder import BUFFERED_ROWS
from harness.measure.record.rows_file import End, read
from tests.measure_samples import summarize_case
from tests.unit.recorded import NEVER, T0, Exchange, end, one_by_one, plan_case, record, recorder, request


def rows_of(into: Recorder, kind: str = "requests") -> Any:
    return read(getattr(into.paths, kind))[1]


def test_a_row_holds_the_stamps_in_whole_nanoseconds_since_the_zero(tmp_path: Path) -> None:
    """Due, fired, first and last attempt, first byte, last chunk, done."""
    into = recorder(tmp_path)
    chunks = (0.3, 0.4, 0.5)
    record(into, [Exchange(0.001, 0.2, 0.5, fired=0.002, previous=((0.01, 0.1, 429),), chunks=chunks)], 17)
    end(into)
    (row,) = rows_of(into)
    expected = {
        "index": 17,
        "due": 1_000_000,
        "fired": 2_000_000,
        "first_sent": 10_000_000,
        "sent": 200_000_000,
        "first_byte": 300_000_000,
        "last_chunk": 500_000_000,
        "done": 500_000_000,
        "outcome": 0,
        "status": 200,
        "attempts": 2,
        "chunks": 3,
        "flags": 0,
    }
    assert {name: int(row[name]) for name in expected} == expected


def test_attempts_before_the_last_have_rows_of_their_own(tmp_path: Path) -> None:
    """Numbered from 0, with their status."""
    into = recorder(tmp_path)
    record(into, [Exchange(0, 0.5, 0.6, previous=((0.0, 0.1, 429), (0.2, 0.3, 503)))], 4)
    end(into)
    rows = rows_of(into, "attempts")
    assert rows["index"].tolist() == [4, 4]
    assert rows["number"].tolist() == [0, 1]
    assert rows["status"].tolist() == [429, 503]
    assert rows["sent"].tolist() == [0, 200_000_000]


def test_one_that_was_never_sent_says_so(tmp_path: Path) -> None:
    """Minus one stands for what did not happen."""
    into = recorder(tmp_path)
    record(into, [Exchange(0, NEVER, 0.2, Outcome.not_sent, 0)])
    end(into)
    (row,) = rows_of(into)
    assert (row["first_sent"], row["sent"], row["attempts"], row["done"]) == (-1, -1, 0, 200_000_000)


def test_given_up_while_asleep_between_attempts_the_last_real_attempt_stands(tmp_path: Path) -> None:
    """One exchange was made: it is the row's, and no attempt row repeats it."""
    into = recorder(tmp_path)
    record(into, [Exchange(0, NEVER, 0.9, Outcome.timed_out, 0, previous=((0.1, 0.2, 429),))])
    end(into)
    (row,) = rows_of(into)
    assert (row["first_sent"], row["sent"], row["attempts"]) == (100_000_000, 100_000_000, 1)
    assert len(rows_of(into, "attempts")) == 0


def test_an_attempt_without_a_first_byte_has_none(tmp_path: Path) -> None:
    """Connection errors in the middle of a retried request."""
    into = recorder(tmp_path)
    broken = Attempt(T0, math.nan, T0 + 0.1, Outcome.connection_error, 0)

    async def send(_: Request, /) -> Response:
        return Response(Outcome.ok, 200, sent=T0 + 0.2, first_byte=T0 + 0.3, done=T0 + 0.3, previous=(broken,))

    asyncio.run(_call(into, send))
    end(into)
    assert rows_of(into, "attempts")["first_byte"].tolist() == [-1]


async def _call(into: Recorder, send: Any, items: int = 1) -> None:
    await into.layer(send, 3)(request(items=items))


EMBEDDING = Attempt(T0 + 0.01, T0 + 0.02, T0 + 0.02, Outcome.ok, 200, own=True)


def test_calls_of_a_layer_are_exchanges_and_no_attempts_of_the_item(tmp_path: Path) -> None:
    """Their time is queue wait of the request; they are rows of their own, marked."""
    into = recorder(tmp_path)
    failed = Attempt(T0 + 0.1, T0 + 0.2, T0 + 0.2, Outcome.server_error, 500)
    for previous in ((EMBEDDING,), (EMBEDDING, failed)):
        made = Response(Outcome.ok, 200, sent=T0 + 0.3, first_byte=T0 + 0.4, done=T0 + 0.4, previous=previous)
        asyncio.run(_call(into, _giving(made)))
    end(into)
    rows = rows_of(into)
    assert rows["first_sent"].tolist() == [300_000_000, 100_000_000]
    assert rows["sent"].tolist() == [300_000_000, 300_000_000]
    assert rows["attempts"].tolist() == [2, 3]
    assert rows_of(into, "attempts")["own"].tolist() == [1, 1, 0]


def test_what_only_a_layer_called_for_was_never_sent_itself(tmp_path: Path) -> None:
    """A hit costs the embedding, and one given up before its own attempt, too; neither has a service time."""
    into = recorder(tmp_path)
    asyncio.run(_call(into, _giving(Response(Outcome.ok, 200, done=T0 + 0.03, previous=(EMBEDDING,), from_cache=True))))
    asyncio.run(_call(into, _giving(Response(Outcome.timed_out, done=T0 + 0.9, previous=(EMBEDDING,)))))
    end(into)
    rows = rows_of(into)
    assert rows["first_sent"].tolist() == rows["sent"].tolist() == [-1, -1]
    assert rows["attempts"].tolist() == [1, 1]
    attempts = rows_of(into, "attempts")
    assert (attempts["own"].tolist(), attempts["sent"].tolist()) == ([1, 1], [10_000_000, 10_000_000])
    case = summarize_case(plan_case(), tmp_path)
    assert (case.counts.sent, case.counts.attempts, case.counts.own_calls, case.service_time_s.n) == (0, 2, 2, 0)
    assert case.queue_wait_s.max == pytest.approx(0.03)
    assert case.in_flight.mean is not None


def _giving(response: Response) -> Any:
    async def send(_: Request, /) -> Response:
        return response

    return send


def test_items_that_share_a_request_share_its_exchange_too(tmp_path: Path) -> None:
    """A row each, and one exchange in total."""
    into = recorder(tmp_path)
    asyncio.run(_call(into, _answering(Exchange(0, 0, 0.1)), items=3))
    end(into)
    rows = rows_of(into)
    assert rows["index"].tolist() == [0, 1, 2]
    assert rows["attempts"].tolist() == [1, 0, 0]
    assert rows["user"].tolist() == [3, 3, 3]
    assert into.done == into.ok == 3


def _answering(exchange: Exchange) -> Any:
    async def send(_: Request, /) -> Response:
        return exchange.response()

    return send


def test_without_a_load_latency_counts_from_the_first_attempt(tmp_path: Path) -> None:
    """In production items have no due time."""
    into = recorder(tmp_path)
    unscheduled = request(due=math.nan)

    async def play() -> None:
        await into.layer(_answering(Exchange(0, 0.25, 0.5)))(unscheduled)

    asyncio.run(play())
    end(into)
    (row,) = rows_of(into)
    assert row["due"] == row["fired"] == 250_000_000


@pytest.mark.parametrize("drained", [False, True])
def test_a_cancelled_request_is_recorded_and_stays_cancelled(tmp_path: Path, drained: bool) -> None:
    """As cancelled, or as unfinished once the drain is over; the cancellation goes on its way."""
    into = recorder(tmp_path)

    async def play() -> None:
        task = asyncio.create_task(_call(into, lambda _: asyncio.sleep(60)))
        await asyncio.sleep(0)
        assert into.in_flight == 1
        if drained:
            into.cancelled_as = Outcome.unfinished
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
    end(into)
    (row,) = rows_of(into)
    assert row["outcome"] == (Outcome.unfinished if drained else Outcome.cancelled)
    assert row["sent"] == -1
    assert into.in_flight == 0


def test_a_transport_may_leave_its_stamps_in_the_cancellation(tmp_path: Path) -> None:
    """Then it is known that the request was on the wire."""
    into = recorder(tmp_path)

    async def send(_: Request, /) -> Response:
        cancelled: Any = asyncio.CancelledError()
        attach(cancelled, Response(Outcome.connection_error, sent=T0 + 0.1))
        raise cancelled

    async def play() -> None:
        with pytest.raises(asyncio.CancelledError):
            await _call(into, send)

    asyncio.run(play())
    end(into)
    (row,) = rows_of(into)
    assert (row["outcome"], row["sent"], row["attempts"]) == (Outcome.cancelled, 100_000_000, 1)


def test_a_layer_that_raises_is_counted_and_named_in_the_end(tmp_path: Path) -> None:
    """It breaks the contract, which is the client's own failure."""
    into = recorder(tmp_path)

    async def send(_: Request, /) -> Response:
        raise KeyError("oops")

    async def play() -> None:
        with pytest.raises(KeyError):
            await _call(into, send)

    asyncio.run(play())
    assert "KeyError" in (end(into).error or "")
    assert into.by_outcome[Outcome.unfinished] == 1


def test_more_rows_than_the_buffer_holds_are_all_there_and_all_handed_on(tmp_path: Path) -> None:
    """Flushed in the middle, in order, with a copy of each batch for listeners."""
    batches: list[Any] = []
    into = recorder(tmp_path, on_rows=batches.append)
    count = BUFFERED_ROWS + 10
    record(into, one_by_one(count))
    assert len(rows_of(into)) == BUFFERED_ROWS
    end(into)
    assert np.array_equal(rows_of(into)["index"], np.arange(count))
    assert np.concatenate(batches)["index"].tolist() == list(range(count))


def test_what_was_flushed_survives_without_an_end(tmp_path: Path) -> None:
    """`kill -9` loses at most what came after the last flush."""
    into = recorder(tmp_path)
    record(into, one_by_one(5))
    into.flush()
    record(into, one_by_one(5), 5)
    assert len(rows_of(into)) == 5


def test_a_tick_is_a_row_at_once(tmp_path: Path) -> None:
    """What is not given is counted by the recorder itself."""
    into = recorder(tmp_path)
    record(into, one_by_one(2))
    into.tick(t=0.05, limit=4.0, pulled=2.0, loop_lag=0.001, cpu=0.2, rss=1e6)
    into.tick(t=0.1, in_flight=3, done=9)
    rows = rows_of(into, "timeline")
    assert rows["done"].tolist() == [2.0, 9.0]
    assert rows["in_flight"].tolist() == [0.0, 3.0]
    assert math.isnan(rows["limit"][1])


def test_ticks_that_are_written_together_are_all_there(tmp_path: Path) -> None:
    """A full frame is written by its last tick, the rest by a flush or the end."""
    into = recorder(tmp_path, ticks_a_frame=3)
    written = []
    for number in range(8):
        into.tick(t=float(number))
        written.append(len(rows_of(into, "timeline")))
        if number == 3:
            into.flush()
    assert written == [0, 0, 3, 3, 4, 4, 7, 7]
    assert end(into).tick_rows == 8
    assert rows_of(into, "timeline")["t"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_full_disk_loses_rows_and_says_so_but_never_stops_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters go on, listeners get every row, the end has the error and the number of rows lost."""
    batches: list[Any] = []
    into = recorder(tmp_path, on_rows=batches.append)
    record(into, one_by_one(10))
    into.flush()
    real, left = os.write, [200]

    def short(fd: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", short)
    record(into, one_by_one(10), 10)
    into.flush()
    monkeypatch.undo()
    record(into, one_by_one(5), 20)
    found = end(into)
    assert into.done == 25
    assert sum(len(batch) for batch in batches) == 25
    assert found.lost_rows == 15  # a flush that was cut short cannot be checked
    assert found.recorded == 10 == len(rows_of(into))
    assert found.error == "could not write records: No space left on device; 15 rows are lost"
    assert found.write_failed


def test_an_end_that_cannot_be_written_is_remembered(tmp_path: Path) -> None:
    """The case is partial then, which is what it is."""
    into = recorder(tmp_path)
    into.paths.end.with_name(into.paths.end.name + ".part").mkdir()
    end(into)
    assert "could not write sync.r0.p0.end.json" in (into.error or "")
    assert not into.paths.end.exists()


def test_the_first_end_stands(tmp_path: Path) -> None:
    """Ending twice changes nothing."""
    into = recorder(tmp_path)
    end(into, scheduled=3)
    into.end(End(9, 9, 9, 9))
    assert b'"scheduled": 3' in into.paths.end.read_bytes()


def test_a_directory_that_is_not_there_is_reported_before_the_load(tmp_path: Path) -> None:
    """A load that cannot be recorded is not worth beginning."""
    with pytest.raises(FileNotFoundError):
        Recorder(tmp_path / "none", case="a", t0=0.0, t0_unix_s=0.0)


def test_slugs_are_safe_short_and_different() -> None:
    """For every name a user can think of."""
    names = ["sync", "Sync", "queue-stream:concurrency=50", "queue-stream:concurrency-50", "../../etc", "批", "x" * 300]
    slugs = [slug(name, 1, 2) for name in names]
    assert slugs[0] == "sync.r1.p2"
    assert len({name.lower() for name in slugs}) == len(names)
    assert all(len(name) < 90 and name.isascii() and "/" not in name and not name.startswith(".") for name in slugs)


def test_what_lies_there_is_found_by_case_and_repeat_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """Files with torn headers hold nothing and are left out."""
    for case, repeat, process in [("b", 0, 0), ("a", 1, 0), ("a", 0, 1), ("a", 0, 0), ("z:1", 0, 0)]:
        recorder(tmp_path, case, repeat, process)
    (tmp_path / "records" / "torn.r0.p0.requests").write_bytes(b"paceline-rec")
    found = find(tmp_path, ["b", "missing", "z:1"])
    assert list(found) == ["b", "z:1", "a"]
    assert [[part.process for part in parts] for parts in found["a"].values()] == [[0, 1], [0]]
    assert found["z:1"][0][0] == paths(tmp_path / "records", "z:1", 0, 0)
