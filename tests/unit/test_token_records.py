"""Records of language models: token counts, every gap between tokens, and what a killed process leaves of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness.client.answers import Usage, usage_of
from harness.client.task_calls import plain_answers_of
from harness.client.types import Item, Outcome, Request
from harness.measure.record import token_rows
from harness.measure.record.rows_file import FIRST_IS_COUNTED, GAPS, TOKENS_ARE_EVENTS, End, read
from harness.measure.reduce import columns, token_arrivals
from harness.measure.reduce.columns import Repeat, load_repeat
from harness.measure.reduce.streams import gaps
from harness.measure.reduce.token_arrivals import output_tokens
from tests.unit.recorded import Exchange, end, one_by_one, record, recorder, request

USAGE = Usage(7, 5, 3, 2)


def stream(
    gaps: list[float], usage: Usage | None = None, sent: float = 0.0, first: float = 0.1, **more: Any
) -> Exchange:
    """A stream whose content events have these gaps."""
    chunks = tuple((sent + first + np.cumsum([0.0, *gaps])).tolist())
    return Exchange(sent, sent, chunks[-1] + 0.01, chunks=chunks, usage=usage, **more)


def loaded(directory: Path, exchanges: list[Exchange], **more: Any) -> Repeat:
    into = recorder(directory)
    record(into, exchanges)
    end(into, **more)
    return load_repeat(0, [into.paths])


def test_a_request_without_tokens_leaves_no_file(tmp_path: Path) -> None:
    """And its repeat has no columns of tokens."""
    repeat = loaded(tmp_path, one_by_one(5))
    assert not list((tmp_path / "records").glob("*.tokens")) + list((tmp_path / "records").glob("*.gaps"))
    assert (len(repeat.tokens.counts), repeat.damaged) == (0, ())


def test_the_counts_of_the_server_are_kept_for_streams_and_for_whole_answers(tmp_path: Path) -> None:
    """Each with the place of its request; a request between them has none."""
    repeat = loaded(tmp_path, [stream([0.1], USAGE), *one_by_one(1), Exchange(0, 0, 1, usage=Usage(9, None))])
    counts = repeat.tokens.counts
    assert [counts[name].tolist() for name in ("row", "index")] == [[0, 2], [0, 2]]
    assert counts[["prompt", "output", "cached", "reasoning", "flags"]].tolist() == [
        (7, 5, 3, 2, 0),
        (9, -1, -1, -1, 0),
    ]


def test_without_a_count_the_content_events_stand_in_and_a_flag_says_so(tmp_path: Path) -> None:
    """Also where the server counts the prompt only."""
    repeat = loaded(tmp_path, [stream([0.1, 0.1]), stream([0.1], Usage(prompt_tokens=4))])
    counts = repeat.tokens.counts
    assert counts[["prompt", "output"]].tolist() == [(-1, 3), (4, 2)]
    assert (counts["flags"] == TOKENS_ARE_EVENTS).all()


def test_a_first_chunk_of_several_tokens_is_told_apart(tmp_path: Path) -> None:
    """By events that came in one piece, or by the server's own count."""
    exchanges = [stream([0.1]), stream([0.0, 0.0, 0.1]), stream([0.1], USAGE, first_tokens=4)]
    counts = loaded(tmp_path, exchanges).tokens.counts
    assert counts["first"].tolist() == [1, 3, 4]
    assert (counts["flags"] & FIRST_IS_COUNTED > 0).tolist() == [False, False, True]


@pytest.mark.parametrize("count", [0, 1, GAPS - 1, GAPS, GAPS + 1, 3 * GAPS])
def test_every_gap_is_kept(tmp_path: Path, count: int) -> None:
    """In order, to 24 bits, whatever their number."""
    gaps = [0.001 * (k + 1) for k in range(count)]
    found = loaded(tmp_path, [stream(gaps)]).tokens.gaps
    kept = found["gaps"].ravel()
    assert len(found) == -(-count // GAPS)
    assert kept[~np.isnan(kept)] == pytest.approx(gaps, rel=1e-6)


def test_what_a_cache_answered_was_not_generated_now(tmp_path: Path) -> None:
    """Its tokens are not counted again."""
    assert not len(loaded(tmp_path, [stream([0.1], USAGE, cached=True)]).tokens.counts)


def test_a_stream_that_broke_off_keeps_what_came(tmp_path: Path) -> None:
    """Its outcome says that it is no answer."""
    repeat = loaded(tmp_path, [stream([0.1, 0.2], outcome=Outcome.timed_out)])
    assert repeat.tokens.counts["output"].tolist() == [3]


def test_rows_follow_their_requests_over_flushes_and_through_the_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small buffers, streams among other requests, and a cut at two seconds."""
    monkeypatch.setattr(token_rows, "BUFFERED_BYTES", 200)
    monkeypatch.setattr("harness.measure.record.request_recorder._BUFFER_BYTES", 4 * 80)
    exchanges = [
        stream([0.01] * (k % 20), Usage(k, k), sent=k * 0.1) if k % 3 else Exchange(k * 0.1, k * 0.1, k * 0.1 + 0.05)
        for k in range(40)
    ]
    repeat = loaded(tmp_path, exchanges)
    for part in (repeat, repeat.after(2_000_000_000)):
        places = part.tokens.counts["row"]
        assert part.rows["index"][places].tolist() == part.tokens.counts["prompt"].tolist()
        sizes = {
            place: int((~np.isnan(part.tokens.gaps["gaps"][part.tokens.gaps["row"] == place])).sum())
            for place in places
        }
        assert list(sizes.values()) == [k % 20 for k in part.tokens.counts["prompt"].tolist()]
    assert len(repeat.after(2_000_000_000).tokens.counts) == 13


def test_a_killed_process_loses_no_tokens_of_the_rows_it_left(tmp_path: Path) -> None:
    """Tokens are written before their requests; those without a request are left out."""
    into = recorder(tmp_path)
    record(into, [stream([0.1], USAGE) for _ in range(3)])
    into.flush()
    record(into, [stream([0.1], USAGE) for _ in range(3)], 3)
    into._tokens.flush()
    assert len(read(into.paths.tokens)[1]) == 6
    repeat = load_repeat(0, [into.paths])
    assert (len(repeat.rows), len(repeat.tokens.counts), len(repeat.tokens.gaps), repeat.damaged) == (3, 3, 3, ())


def test_a_damaged_or_missing_file_is_reported(tmp_path: Path) -> None:
    """The end file knows how many rows there were."""
    into = recorder(tmp_path)
    record(into, [stream([0.1], USAGE)])
    end(into)
    into.paths.gaps.unlink()
    data = bytearray(into.paths.tokens.read_bytes())
    data[-4] ^= 1
    into.paths.tokens.write_bytes(bytes(data))
    assert len(load_repeat(0, [into.paths]).damaged) == 2


def test_processes_are_joined_with_their_own_requests(tmp_path: Path) -> None:
    """The second process's rows follow those of the first."""
    parts = []
    for process in range(2):
        into = recorder(tmp_path, process=process)
        record(into, [stream([0.1], Usage(10 * process + k, 1)) for k in range(3)], 10 * process)
        end(into)
        parts.append(into.paths)
    repeat = load_repeat(0, parts)
    assert repeat.rows["index"][repeat.tokens.counts["row"]].tolist() == repeat.tokens.counts["prompt"].tolist()
    assert repeat.tokens.gaps["row"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_file_that_cannot_be_created_is_an_error_of_recording(tmp_path: Path) -> None:
    """The load goes on, and the end file says what is missing."""
    into = recorder(tmp_path)
    into.paths.tokens.mkdir()
    record(into, [stream([0.1], USAGE)])
    closed: End = end(into)
    assert closed.write_failed
    assert closed.error is not None
    assert "could not create" in closed.error


def test_several_items_of_one_request_share_its_row(tmp_path: Path) -> None:
    """The row stands at the first of them."""
    into = recorder(tmp_path)
    response = stream([0.1], USAGE).response()

    async def send(_: Any, /) -> Any:
        return response

    async def play() -> None:
        await into.layer(send)(request(items=3))

    asyncio.run(play())
    end(into)
    counts = load_repeat(0, [into.paths]).tokens.counts
    assert counts[["row", "output"]].tolist() == [(0, 5)]


def test_tokens_over_time_are_the_same_however_many_are_worked_on_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams of one to four rows of gaps, some of them failures; the sum is the output of the successes."""
    outcomes = [Outcome.ok, Outcome.ok, Outcome.timed_out]
    exchanges = [
        stream([0.01] * (7 * (k % 8)), Usage(1, 1 + 14 * (k % 8)), sent=0.1 * k, outcome=outcomes[k % 3])
        for k in range(40)
    ]
    repeat = loaded(tmp_path, exchanges)
    whole = output_tokens(repeat, 0.1, 60)
    monkeypatch.setattr(token_arrivals, "PIECE", 3)
    assert output_tokens(repeat, 0.1, 60) == pytest.approx(whole)
    assert sum(whole or []) == pytest.approx(sum(1 + 14 * (k % 8) for k in range(40) if k % 3 < 2), abs=0.1)


class Own(NamedTuple):
    """Token counts of a task of one's own."""

    prompt_tokens: int | None
    completion_tokens: int | None


class OwnAnswer(NamedTuple):
    """An answer of such a task."""

    usage: Own | None


class OwnTask:
    """It gives its answers as a plain tuple."""

    name = "own"

    def __init__(self, *usages: Own | None) -> None:
        self.answers = tuple(map(OwnAnswer, usages))

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        return self.answers


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([Own(3, 4)], Usage(3, 4)),
        ([Own(3, 4), Own(1, 2)], Usage(4, 6)),
        ([Own(3, None), None], Usage(3)),
        ([None], None),
    ],
)
def test_the_counts_of_a_task_of_ones_own_are_read(usages: list[Own | None], expected: Usage | None) -> None:
    """From the ability `usage` of its answers, summed over the items of a request."""
    task: Any = OwnTask(*usages)
    asked = Request(tuple(Item(k, None, task) for k in range(len(usages))), task, "/", b"")
    answers = plain_answers_of(asked, b"")
    assert answers == task.answers
    assert usage_of(answers) == expected


@pytest.mark.parametrize("wrong", ["7", 7.5, -1, True])
def test_counts_that_are_no_whole_numbers_are_not_known(tmp_path: Path, wrong: Any) -> None:
    """Whatever a task of one's own gives, recording goes on."""
    counts = loaded(tmp_path, [stream([0.1], Usage(wrong, 5), first_tokens=wrong)]).tokens.counts
    assert counts[["prompt", "output", "first"]].tolist() == [(-1, 5, 1)]


def test_gaps_are_held_of_some_streams_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percentiles are nearly the same, tokens over time are all there, and nothing counts as damaged."""
    exchanges = [
        stream([0.01 + 0.001 * (k % 10)] * 13, Usage(1, 14), sent=0.01 * k, outcome=Outcome.ok) for k in range(400)
    ]
    whole = loaded(tmp_path, exchanges)
    monkeypatch.setattr(columns, "GAP_ROWS_MAX", 130)
    (tmp_path / "again").mkdir()
    some = loaded(tmp_path / "again", exchanges)
    assert (whole.tokens.every, some.tokens.every, some.damaged) == (1, 4, ())
    held = len(gaps(some))
    assert 400 * 13 / 4 * 0.6 < held < 400 * 13 / 4 * 1.5
    assert np.percentile(gaps(some), [50, 90]) == pytest.approx(np.percentile(gaps(whole), [50, 90]), rel=0.1)
    over_time = output_tokens(some, 0.5, 10)
    assert sum(over_time or []) == pytest.approx(400 * 14, abs=1)
    assert over_time == pytest.approx(output_tokens(whole, 0.5, 10), abs=40)
    half = some.only(np.arange(len(some.rows)) % 2 == 0)
    assert half.tokens.every == 4
    assert sum(output_tokens(half, 0.5, 10) or []) == pytest.approx(200 * 14, abs=1)


@pytest.mark.parametrize("kind", ["tokens", "gaps"])
def test_flipped_bits_are_noticed_and_end_nothing(tmp_path: Path, kind: str) -> None:
    """Wherever they are, and if the file is cut or is something else. Padding is not looked at."""
    into = recorder(tmp_path)
    record(into, [stream([0.01] * 20, Usage(1, 21), sent=0.01 * k) for k in range(10)])
    end(into)
    path = getattr(into.paths, kind)
    sound, random = path.read_bytes(), Random(3)
    noticed = 0
    for number in range(60):
        data = bytearray(sound)
        if number % 3 == 0:
            data = data[: random.randrange(len(data))]
        elif number % 3 == 1:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        else:
            data = bytearray(random.randbytes(len(data)))
        path.write_bytes(data)
        repeat = load_repeat(0, [into.paths])
        noticed += bool(repeat.damaged)
        assert len(gaps(repeat)) <= 200
        output_tokens(repeat, 0.1, 20)
    assert noticed >= 55
