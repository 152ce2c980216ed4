"""Whatever a server writes: no hang, no answer given to another request, and a name for every outcome."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.transport.lean import connection as lean_connection
from harness.client.transport.lean.body import WholeBody
from harness.client.types import Outcome, Request, Response
from tests.http.hostile import END, RESET, Hostile, Piece, ask, numbered, pieces
from tests.http.misbehaving import SSE, chunked, head
from tests.http.test_transport_outcomes import STREAMED, plain, stream
from tests.virtual_time import virtually

OK, BAD, LOST, LATE = Outcome.ok, Outcome.bad_response, Outcome.connection_error, Outcome.timed_out
ENDS = {OK, BAD, LOST, LATE}
QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def score(index: int) -> bytes:
    """The body that answers request `index`."""
    return b'{"similarity_score": %.2f}' % (index / 100)


def good(index: int) -> bytes:
    """The answer to it."""
    body = score(index)
    return head(length=len(body)) + body


def forms(index: int) -> dict[str, bytes]:
    """Good answers in every framing that keeps the connection."""
    body = score(index)
    zipped = gzip.compress(body)
    in_chunks = head("200 OK", None, "Transfer-Encoding: chunked")
    return {
        "length": good(index),
        "chunks": in_chunks + chunked(body[:5], body[5:]),
        "chunk extensions": in_chunks + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        "blanks after chunk sizes": in_chunks + b"%x  \r\n%b\r\n0\t\r\n\r\n" % (len(body), body),
        "trailers": in_chunks + chunked(body, end=False) + b"0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n",
        "informational": head("103 Early Hints", None, "Link: x") * 2 + good(index),
        "gzip": head("200 OK", len(zipped), "Content-Encoding: gzip") + zipped,
        "line feeds": head(length=len(body)).replace(b"\r\n", b"\n") + body,
        "shouted": head(length=None).replace(b"\r\n\r\n", b"\r\nCONTENT-LENGTH: %d\r\n\r\n" % len(body)) + body,
    }


FORMS = list(forms(0))


def asked(script: Sequence[Sequence[Piece]], apart_s: float = 0.0) -> tuple[Hostile, list[Response]]:
    """The responses to requests in a row, one for each part of the script."""
    server = Hostile(lambda index: script[index])
    return server, virtually(ask(server, numbered(len(script)), apart_s=apart_s))


def check(responses: list[Response]) -> None:
    """An answer that is ok belongs to its request."""
    for index, response in enumerate(responses):
        assert response.outcome in ENDS
        assert response.outcome is OK or response.error
        assert response.outcome is not OK or response.answers == (index / 100,)


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_may_be_split_at_every_byte(form: str) -> None:
    """In two pieces at each place, and in pieces of one byte: always the same answer on the same connection."""
    whole = forms(7)[form]
    script = dict[int, Sequence[Piece]]()
    plans: list[Sequence[Piece]] = [pieces(whole, [cut]) for cut in range(1, len(whole))]
    plans.append(pieces(whole, range(len(whole))))
    for plan in plans:
        script = {7: plan, 8: [good(8)]}
        server = Hostile(lambda index, script=script: script[index])  # type: ignore[misc]
        first, second = virtually(ask(server, [plain("/7"), plain("/8")]))
        assert first.answers == (0.07,), (first.error, plan)
        assert second.answers == (0.08,)
        assert len(server.wires) == 1


@QUICK
@given(st.lists(st.tuples(st.sampled_from(FORMS), st.lists(st.integers(1, 200), max_size=6)), min_size=2, max_size=6))
def test_answers_split_anywhere_belong_to_their_requests(plan: list[tuple[str, list[int]]]) -> None:
    """Several on one connection, each with splits of its own."""
    script = [pieces(forms(index)[form], cuts) for index, (form, cuts) in enumerate(plan)]
    server, responses = asked(script)
    check(responses)
    assert [response.outcome for response in responses] == [OK] * len(plan)
    assert len(server.wires) == 1


@QUICK
@given(
    st.lists(st.integers(0, 400), max_size=6),
    st.sampled_from([0.0, 0.0001, 0.01]),
    st.sampled_from([good(99), good(99)[:30], b"{}", b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\0\0\0"]),
)
def test_what_follows_an_answer_is_never_the_next_answer(cuts: list[int], pause_s: float, extra: bytes) -> None:
    """A second answer to one request, whole or not, at once or later: the next request gets its own.

    The next request is sent after it came. What comes later cannot be distinguished from an answer to it, by no client.
    """
    parts: list[Piece] = [*pieces(good(0), cuts), pause_s, *pieces(extra, cuts)] if pause_s else [good(0) + extra]
    _, responses = asked([parts, [0.02, good(1)], [good(2)]], apart_s=1.5 * pause_s)
    check(responses)
    assert [responses[0].outcome, responses[2].outcome] == [OK, OK]


LENGTHS: dict[str, tuple[list[Piece], Outcome]] = {
    "too short": ([head(length=10) + score(0)], BAD),
    "too short for the second answer": ([head(length=10) + score(0) + good(99)], BAD),
    "too long, then closed": ([head(length=40) + score(0), END], LOST),
    "too long, then reset": ([head(length=40) + score(0), RESET], LOST),
    "too long, then silence": ([head(length=40) + score(0)], LATE),
    "too long, then another answer": ([head(length=40) + score(0), good(99)], BAD),
    "zero": ([head(length=0) + score(0)], BAD),
    "no length, then closed": ([head(length=None) + score(0), END], OK),
    "no length, then reset": ([head(length=None) + score(0), RESET], LOST),
    "negative": ([head(length=-1) + score(0)], BAD),
    "a billion": ([head(length=10**9) + score(0), END], LOST),
    "more than a number": ([head(length=10**30) + score(0)], BAD),
    "a huge chunk": ([SSE + b"7fffffffffffffff\r\n" + score(0), END], LOST),
    "a chunk that overflows": ([SSE + b"fffffffffffffffff\r\n" + score(0)], BAD),
    "a chunk of a negative size": ([SSE + b"-5\r\n" + score(0)], BAD),
    "chunks without the last one": ([SSE + chunked(score(0), end=False), END], LOST),
    "another coding": ([head("200 OK", None, "Transfer-Encoding: gzip") + score(0), END], BAD),
    "two codings": ([head("200 OK", None, "Transfer-Encoding: gzip, chunked") + chunked(score(0))], BAD),
    "HTTP/2.0": ([good(0).replace(b"1.1", b"2.0")], BAD),
    "HTTP/0.9": ([good(0).replace(b"1.1", b"0.9")], BAD),
    "HTTP/2.0, ended by the connection": ([head(length=None).replace(b"1.1", b"2.0") + score(0), END], BAD),
    "HTTP/0.9, ended by the connection": ([head(length=None).replace(b"1.1", b"0.9") + score(0), END], BAD),
    "HTTP/2.0 after a blank line": ([b"\r\n" + head(length=None).replace(b"1.1", b"2.0") + score(0), END], BAD),
    "HTTP/1.0, ended by the connection": ([head(length=None).replace(b"1.1", b"1.0") + score(0), END], OK),
    "the status 099": ([head("099 OK", len(score(0))) + score(0)], BAD),
    "the status 000": ([head("000 OK", len(score(0))) + score(0)], BAD),
    "blank lines before it": ([b"\r\n\r\n" + good(0)], OK),
    "nothing": ([END], LOST),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_a_wrong_length_has_one_outcome_and_spoils_no_other_answer(case: str) -> None:
    first, outcome = LENGTHS[case]
    _, responses = asked([first, [good(1)], [good(2)]])
    check(responses)
    assert [response.outcome for response in responses] == [outcome, OK, OK], responses[0].error
    assert responses[0].status in {0, 200}


@pytest.mark.parametrize(
    "before", [b"\r\n", b"\r\n\r\n", b"\n\n\n", b"\r\n" * 9, head("103 Early Hints", None) + b"\r\n\r\n"]
)
def test_blank_lines_before_a_head_do_not_hide_it(before: bytes) -> None:
    """Its headers count: the length, the encoding, and when to ask again."""
    zipped = gzip.compress(score(1))
    cut: list[Piece] = [before + head(length=100) + b"half", END]
    encoded: list[Piece] = [before + head("200 OK", len(zipped), "Content-Encoding: gzip") + zipped]
    refused: list[Piece] = [before + head("503 Full", 2, "Retry-After: 7") + b"{}"]
    # A server that ends its lines with LF does so in all its heads.
    feeds: list[Piece] = [(before + good(3)).replace(b"\r\n", b"\n")]
    _, responses = asked([cut, encoded, refused, feeds])
    assert [response.outcome for response in responses] == [LOST, OK, Outcome.rejected, OK]
    assert responses[1].answers == (0.01,)
    assert responses[2].retry_after_s == pytest.approx(7)
    assert list(responses[2].headers or ()) == ["content-type", "retry-after", "content-length"]


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_that_is_cut_at_any_byte_is_no_answer(form: str) -> None:
    """Lost, or lost and sent again where a kept connection was closed before the first byte."""
    whole = forms(1)[form]
    for cut in range(len(whole)):
        times = 0

        def script(index: int, cut: int = cut) -> list[Piece]:
            nonlocal times
            times += index == 1
            return [good(0)] if index == 0 else [whole] if times > 1 else [*pieces(whole[:cut], []), END]

        server = Hostile(script)
        first, second = virtually(ask(server, numbered(2)))
        assert first.outcome is OK
        if cut:
            assert (second.outcome, second.attempts) == (LOST, 1)
        else:
            assert (second.outcome, second.attempts, second.answers) == (OK, 2, (0.01,))


@QUICK
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4), st.sampled_from([END, RESET, "more"]))
def test_garbage_has_an_outcome(data: bytes, cuts: list[int], end: str) -> None:
    """Never ok, never an exception, and the next request has its answer."""
    tail: list[Piece] = [] if end == "more" else [end]
    _, responses = asked([[*pieces(data, cuts), *tail], [good(1)]])
    check(responses)
    assert [responses[0].outcome is not OK, responses[1].outcome] == [True, OK]


@QUICK
@given(st.sampled_from(FORMS), st.integers(0, 300), st.integers(0, 255), st.lists(st.integers(0, 300), max_size=3))
def test_an_answer_with_a_damaged_byte_spoils_no_other(form: str, place: int, value: int, cuts: list[int]) -> None:
    """It may be read as another score, but only for its own request."""
    whole = bytearray(forms(0)[form])
    whole[place % len(whole)] = value
    _, responses = asked([[*pieces(bytes(whole), cuts), 1.0, END], [good(1)], [good(2)]])
    assert responses[0].outcome in ENDS | {Outcome.client_error, Outcome.server_error, Outcome.rejected}
    check([Response(LOST, error="not looked at"), *responses[1:]])
    assert [response.outcome for response in responses[1:]] == [OK, OK]


ENDLESS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-%d: a\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX: ", b"a%d"),
    "the status line": (b"HTTP/1.1 200 ", b"O%d"),
    "a chunk extension": (SSE + b"5;", b"a%d"),
    "trailers": (SSE + chunked(b"{}", end=False) + b"0\r\n", b"X-%d: a\r\n"),
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\nX: %d\r\n\r\n"),
    "blank lines": (b"", b"\r\n\r\n\r\n\r\n"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_refused(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, and the connection is closed."""
    monkeypatch.setattr(lean_connection, "QUIET_MAX", 60_000)
    begin, part = ENDLESS[what]
    tens = [range(number, number + 10) for number in range(0, 40_000, 10)]
    endless = [b"".join(part % at if b"%" in part else part for at in ten) for ten in tens]
    parts: list[Piece] = [begin, *endless] if begin else [*endless]
    server, responses = asked([parts, [good(1)]])
    assert [response.outcome for response in responses] == [BAD, OK], responses[0].error
    assert server.cut == 1, "the server could not write to the end"


def test_a_body_in_many_small_pieces_costs_little_more_than_its_bytes() -> None:
    """A list of them took sixty times their size."""
    tracemalloc.start()
    try:
        body = WholeBody(None)
        for number in range(40_000):
            body.add(number.to_bytes(2))
        assert tracemalloc.get_traced_memory()[0] < 200_000
        assert len(body.whole()) == 80_000
        body.release()
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMS)
def test_a_slow_drip_is_a_time_out_of_the_whole_exchange(form: str) -> None:
    """Every byte comes in time, the answer does not; the connection is closed."""
    drip: list[Piece] = [part for byte in pieces(forms(0)[form], range(300)) for part in (0.5, byte)]
    server, responses = asked([drip, [good(1)]])
    assert [response.outcome for response in responses] == [LATE, OK]
    assert responses[0].done - responses[0].sent == pytest.approx(10, abs=0.1)
    assert not server.wires[0].is_open


def test_a_drip_on_a_kept_connection_is_a_time_out_too() -> None:
    """The shared sweep of kept connections, with the stamps of the part that came."""
    server, responses = asked([[good(0)], [head()[:30], 30.0, good(1)], [good(2)]])
    assert [response.outcome for response in responses] == [OK, LATE, OK]
    assert responses[1].done - responses[1].sent == pytest.approx(10, abs=0.1)
    assert len(server.wires) == 2


def test_an_answer_that_comes_before_the_request_was_sent_whole_counts_but_ends_the_connection() -> None:
    """The rest of the request would be read as the next one."""
    server = Hostile(lambda index: [head("413 Too Large", 2) + b"{}" if index == 0 else good(index)])
    server.unsent = 1
    large = msgspec.structs.replace(plain("/0"), body=bytes(100_000))
    refused, after, last = virtually(ask(server, [large, *numbered(3)[1:]]))
    assert (refused.outcome, refused.status) == (Outcome.client_error, 413)
    assert (after.answers, last.answers) == ((0.01,), (0.02,))
    assert len(server.wires) == 2


def test_an_answer_before_any_request_is_read_once() -> None:
    """A full server refuses at once; the connection is not used again."""
    refusal = head("503 Full", 2) + b"{}"
    server = Hostile(lambda index: [], greeting=[refusal])
    responses = virtually(ask(server, numbered(2)))
    assert [response.outcome for response in responses] == [Outcome.rejected] * 2
    assert len(server.wires) == 2


EARLY: dict[str, tuple[list[Piece], Outcome]] = {
    "whole": ([head("503 Full", 2) + b"{}"], Outcome.rejected),
    "in two pieces": ([head("503 Full", 2), b"{}"], Outcome.rejected),
    "without a length": ([head("503 Full", None) + b"{}"], Outcome.rejected),
    "cut off": ([head("503 Full", 20) + b"{}"], LOST),
    "half a head": ([head("503 Full", 20)[:30]], LOST),
    "nothing": ([], LOST),
}


@pytest.mark.parametrize("end", [END, RESET])
@pytest.mark.parametrize("case", EARLY)
def test_an_answer_that_comes_with_its_close_before_the_request_is_read(case: str, end: str) -> None:
    """A full server refuses and closes while the connection is still being handed to its request."""
    parts, outcome = EARLY[case]
    server = Hostile(lambda index: [], greeting=[*parts, end])
    (response,) = virtually(ask(server, [plain("/0", idempotent=False)]))
    assert server.written == []
    if (case, end) == ("without a length", RESET):
        outcome = LOST
    assert response.outcome is outcome, response.error
    assert (response.error is None) is (outcome is OK)


def test_a_greeting_of_another_protocol_is_a_bad_response() -> None:
    server = Hostile(lambda index: [], greeting=[b"SSH-2.0-OpenSSH_9.6\r\n"])
    (response,) = virtually(ask(server, numbered(1)))
    assert response.outcome is BAD
    assert "not valid HTTP" in (response.error or "")


@QUICK
@given(st.integers(0, 12), st.booleans(), st.booleans())
def test_a_cancelled_request_closes_its_connection(turns: int, kept: bool, streamed: bool) -> None:
    """Whenever it is cancelled; the next request has its own answer."""
    drip: list[Piece] = [*pieces(good(1), range(0, 200, 9))]
    if streamed:
        drip = [SSE, *(chunked(part, end=False) for part in STREAMED), 0.05, b"0\r\n\r\n"]

    async def main() -> None:
        server = Hostile(lambda index: drip if index == 1 else [good(index)])
        async with server.transport() as send:
            if kept:
                assert (await send(plain("/0"))).outcome is OK
            task = asyncio.ensure_future(send(stream("/1") if streamed else plain("/1")))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_done = not task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert was_done or isinstance(ended, asyncio.CancelledError)
            after = await send(plain("/2"))
            assert after.answers == (0.02,)
            started = len(server.written) - 1 - kept
            assert len(server.wires) == 1 + (started > 0 and not was_done) or turns == 0

    virtually(main())


def streams(events: Sequence[bytes], cuts: Sequence[int]) -> list[Piece]:
    """A stream whose chunks are those events, split at these places."""
    return [*pieces(SSE + chunked(*events), cuts)]


@QUICK
@given(st.lists(st.integers(0, 300), max_size=8))
def test_a_stream_split_anywhere_is_the_same(cuts: list[int]) -> None:
    """Text and number of pieces; each has the instant at which its bytes came."""
    server = Hostile(lambda _: [part for piece in streams(STREAMED, cuts) for part in (0.01, piece)])
    request: Request = stream("/0")
    first, second = virtually(ask(server, [request, request]))
    for response in (first, second):
        assert response.answers == ("a b",)
        assert len(response.chunks) == 2
        assert list(response.chunks) == sorted(response.chunks)
        assert response.sent < response.first_byte == response.chunks[0] <= response.done
    assert len(server.wires) == 1


@pytest.mark.parametrize("cut", range(0, 150, 7))
def test_a_stream_that_is_cut_keeps_the_stamps_of_what_came(cut: int) -> None:
    whole = SSE + chunked(*STREAMED)
    server = Hostile(lambda _: [whole[: len(SSE) + cut], 0.01, END])
    (response,) = virtually(ask(server, [stream("/0")]))
    came = whole[len(SSE) :][:cut]
    assert len(response.chunks) == came.count(b'"a "}\n\n') + came.count(b'"b"}\r\n\r\n')
    assert response.outcome is (OK if b"true}\n\n" in came else LOST)


def test_half_of_a_second_answer_is_not_the_beginning_of_the_next_one() -> None:
    """Cut at each byte: its rest would come in the place of the answer to the next request."""
    second = good(99)
    for cut in range(1, len(second)):
        server = Hostile(lambda _: [])

        def script(index: int, cut: int = cut, server: Hostile = server) -> list[Piece]:
            if index == 0:
                return [good(0) + second[:cut]]
            return [good(index)] if len(server.wires) > 1 else [second[cut:], good(index)]

        server.script = script
        responses = virtually(ask(server, numbered(2)))
        assert [response.answers for response in responses] == [(0.0,), (0.01,)], cut


CLOSING = {
    "Connection: close": head("200 OK", len(score(0)), "Connection: close") + score(0),
    "HTTP/1.0": good(0).replace(b"1.1", b"1.0"),
    "204": head("204 No Content", None),
    "304": head("304 Not Modified", None),
    "101": head("101 Switching Protocols", None, "Upgrade: x", "Connection: upgrade"),
    "101 without a word": head("101 Switching Protocols", None),
}


@pytest.mark.parametrize("case", CLOSING)
def test_a_connection_that_may_not_be_kept_is_closed_by_the_client(case: str) -> None:
    """Though the server leaves it open."""
    server, responses = asked([[CLOSING[case]], [good(1)]])
    assert responses[0].outcome in {OK, Outcome.client_error}
    assert responses[1].answers == (0.01,)
    assert not server.wires[0].is_open
    assert len(server.wires) == 2


def test_an_answer_to_head_has_no_body_and_keeps_the_connection() -> None:
    """Its length is that of a body that does not come; a body that comes all the same closes the connection."""
    probe = msgspec.structs.replace(plain("/0"), method="HEAD", body=b"", answered=frozenset({204}))
    kept = Hostile(lambda index: [head("200 OK", 500)] if index == 0 else [good(index)])
    first, second = virtually(ask(kept, [probe, plain("/1")]))
    assert (first.status, second.answers, len(kept.wires)) == (200, (0.01,), 1)
    wrong = Hostile(lambda index: [good(0)] if index == 0 else [good(index)])
    first, second = virtually(ask(wrong, [probe, plain("/1")]))
    assert (first.status, second.answers, len(wrong.wires)) == (200, (0.01,), 2)
    assert kept.written[0].startswith(b"HEAD /0 HTTP/1.1\r\n")
    assert b"ontent-Length" not in kept.written[0]


def test_the_same_head_again_is_read_for_the_request_that_it_answers() -> None:
    """The head of the last plain answer is not read twice, whatever the next request is."""
    same = head("200 OK", len(score(0)), 'Server-Timing: queue;dur=1.5, batch;desc="n=1"')
    other = same.replace(b"dur=1.5", b"dur=2.5")
    heads = [same, same, other, same, same, same]
    server = Hostile(lambda index: [heads[index] + (b"" if index == 3 else score(index))])
    probe = msgspec.structs.replace(plain("/3"), method="HEAD", body=b"")
    streamed = msgspec.structs.replace(plain("/5"), stream=True)
    responses = virtually(ask(server, [plain("/0"), plain("/1"), plain("/2"), probe, plain("/4"), streamed]))
    found = [response.answers for response in responses]
    assert found[:3] + found[4:] == [(0.0,), (0.01,), (0.02,), (0.04,), (0.05,)]
    assert [response.headers["server-timing"][6:13] for response in responses if response.headers] == [
        f"dur={queue}" for queue in ("1.5", "1.5", "2.5", "1.5", "1.5", "1.5")
    ]
    assert [response.server_timing for response in responses] == [
        response.headers["server-timing"] for response in responses if response.headers
    ]
    assert len(server.wires) == 1
