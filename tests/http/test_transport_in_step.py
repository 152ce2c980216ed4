"""Answer i belongs to request i, on every transport, whatever a server puts before, into or after its answers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.types import Outcome, Response
from tests.http.misbehaving import Misbehaving, chunked, head, misbehaving
from tests.http.test_transport_outcomes import TRANSPORTS, Transport, plain

INTERIM = ["100 Continue", "102 Processing", "103 Early Hints", "199 Own"]
WRONG = 0.99  # the score that no request asks for


def score(index: int) -> bytes:
    return b'{"similarity_score": %.2f}' % (index / 100)


def whole(index: float) -> bytes:
    body = b'{"similarity_score": %.2f}' % index
    return head(length=len(body)) + body


def script(kind: str, index: int) -> list[bytes | float]:
    """What the server writes for one request; a number is a pause in seconds."""
    body = score(index)
    good = head(length=len(body)) + body
    in_chunks = head("200 OK", None, "Transfer-Encoding: chunked")
    scripts: dict[str, list[bytes | float]] = {
        "good": [good],
        "chunked": [in_chunks + chunked(body[:5], body[5:])],
        "cut small": [good[i : i + 9] for i in range(0, len(good), 9)],
        "closed after": [good, CLOSE],
        "extra answer": [good + whole(WRONG)],
        "extra half answer": [good + whole(WRONG)[:30], 0.002, whole(WRONG)[30:]],
        "extra bytes": [good + b"{}"],
        "extra after chunks": [in_chunks + chunked(body) + whole(WRONG)[:12], 0.002, whole(WRONG)[12:]],
        "204, late answer": [head("204 No Content", None), 0.003, whole(WRONG)],
        "204, late body": [head("204 No Content", len(body)), 0.003, body],
        "304, late answer": [head("304 Not Modified", None), 0.003, whole(WRONG)],
        "101, late answer": [head("101 Switching Protocols", None), 0.003, whole(WRONG)],
        "two lengths": [head("200 OK", 5, "Content-Length: 26") + body + whole(WRONG)],
        "length and chunks": [head("200 OK", 5, "Transfer-Encoding: chunked") + chunked(body) + whole(WRONG)],
        "cut head": [good[:20], CLOSE],
        "cut body": [good[:-3], CLOSE],
        "cut chunks": [in_chunks + chunked(body, end=False), CLOSE],
    }
    return scripts[kind]


CLOSE = -1.0
GOOD = ["good", "chunked", "cut small", "closed after"]
RIGHT = [*GOOD, "extra answer", "extra half answer", "extra bytes", "extra after chunks"]
BAD = [
    "204, late answer",
    "204, late body",
    "304, late answer",
    "101, late answer",
    "two lengths",
    "length and chunks",
    "cut head",
    "cut body",
    "cut chunks",
]
exchanges = st.lists(
    st.tuples(st.lists(st.sampled_from(INTERIM), max_size=3), st.sampled_from(RIGHT + BAD), st.booleans()),
    min_size=2,
    max_size=8,
)


async def play(transport: Transport, plan: list[tuple[list[str], str, bool]]) -> list[Response]:
    """One request after another; the path says which one it is."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                index = int(lines[0].split()[1][1:])
                length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
                await reader.readexactly(length)
                interim, kind, apart = plan[index]
                before = b"".join(head(status, None) for status in interim)
                pieces = script(kind, index)
                if apart and before:
                    pieces = [before, 0.002, *pieces]
                elif isinstance(pieces[0], bytes):
                    pieces = [before + pieces[0], *pieces[1:]]
                for piece in pieces:
                    if piece is CLOSE:
                        return
                    if isinstance(piece, float):
                        await asyncio.sleep(piece)
                    else:
                        writer.write(piece)
                        await writer.drain()

    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with transport(url, timeout_s=20.0) as send:
            return [await send(plain(f"/{index}")) for index in range(len(plan))]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def check(plan: list[tuple[list[str], str, bool]], responses: list[Response]) -> None:
    for index, ((_, kind, _), response) in enumerate(zip(plan, responses, strict=True)):
        where = f"request {index} ({kind}) of {[kind for _, kind, _ in plan]}: {response.error}"
        if kind in GOOD:
            assert response.outcome is Outcome.ok, where
        if kind in BAD:
            assert response.outcome in {Outcome.client_error, Outcome.bad_response, Outcome.connection_error}, where
        if response.outcome is Outcome.ok:
            assert response.answers == (index / 100,), where


@pytest.mark.parametrize("transport", TRANSPORTS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(plan=exchanges)
def test_an_answer_belongs_to_its_request(transport: Transport, plan: list[tuple[list[str], str, bool]]) -> None:
    """With any prefix of informational answers, late bodies, bytes too many, early closes; a good one arrives."""
    check(plan, asyncio.run(play(transport, plan)))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", RIGHT + BAD)
def test_what_follows_an_odd_answer_is_right(transport: Transport, kind: str) -> None:
    """Each kind once, with good answers after it and 103 twice before each."""
    plan = [(["103 Early Hints"] * 2, one, index % 2 == 0) for index, one in enumerate([kind, "good", kind, "chunked"])]
    check(plan, asyncio.run(play(transport, plan)))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_bytes_that_come_between_two_exchanges_close_the_connection(transport: Transport) -> None:
    """A whole answer that nobody asked for, on an idle connection."""
    async with misbehaving() as server, transport(server.url) as send:
        _late(server)
        for _ in range(3):
            response = await send(plain())
            assert response.answers == (0.5,), response.error
            await asyncio.sleep(0.05)
    assert server.connections == 3


def _late(server: Misbehaving) -> None:
    server.on("/similarity", whole(0.5), 0.01, whole(WRONG))
