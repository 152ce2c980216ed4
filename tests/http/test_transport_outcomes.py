"""All transports make the same outcome of whatever a server does."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator

import pytest

from harness.client.errors import SettingError
from harness.client.tasks.annotate import Annotate
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.lean.transport import LeanTransport
from harness.client.types import Item, Outcome, Request
from tests.http.misbehaving import GOOD, RESET, SSE, Misbehaving, chunked, head, misbehaving

Transport = type[HttpTransport] | type[LeanTransport] | type[BlockingTransport]
TRANSPORTS: list[Transport] = [HttpTransport, LeanTransport, BlockingTransport]


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    async with misbehaving() as server:
        yield server


def plain(path: str = "/similarity", **fields: object) -> Request:
    task = Similarity()
    item = Item(0, task.parse({"text1": "a", "text2": "b"}), task)
    request = task.request([item])
    return Request(request.items, task, path, request.body, **fields)  # type: ignore[arg-type] - fields of Request


def stream(path: str = "/annotate") -> Request:
    task = Annotate(stream=True)
    request = task.request([Item(0, "a", task)])
    return Request(request.items, task, path, request.body, stream=True)


STATUSES = [
    ("201 Created", Outcome.client_error),
    ("204 No Content", Outcome.client_error),
    ("301 Moved", Outcome.client_error),
    ("400 Bad", Outcome.client_error),
    ("404 Not Found", Outcome.client_error),
    ("408 Timeout", Outcome.timed_out),
    ("429 Slow", Outcome.rejected),
    ("500 Oops", Outcome.server_error),
    ("503 Full", Outcome.rejected),
    ("504 Late", Outcome.server_error),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("status", "outcome"), STATUSES)
async def test_a_status_becomes_its_outcome(
    server: Misbehaving, transport: Transport, status: str, outcome: Outcome
) -> None:
    """The status, the server's words and its wish to wait are all kept."""
    body = b"" if status.startswith("204") else b'{"error": {"message": "no"}}'
    server.on("/similarity", head(status, len(body) or None, "retry-after-ms: 250") + body)
    async with transport(server.url) as send:
        response = await send(plain())
    assert response.outcome is outcome
    assert response.status == int(status[:3])
    assert response.retry_after_s == 0.25
    assert response.error is not None
    assert response.error.startswith(f"HTTP {status[:3]}")
    assert response.sent <= response.first_byte <= response.done
    assert response.answers == ()


BODIES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"similarity_score": null}',
    b'{"similarity_score": "0.5"}',
    b'{"similarity_score": NaN}',
    b'{"similarity_score": 1.5}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("body", BODIES)
async def test_a_body_that_is_not_the_api_is_a_bad_response(
    server: Misbehaving, transport: Transport, body: bytes
) -> None:
    """Never a default."""
    server.on("/similarity", head(length=len(body)) + body)
    async with transport(server.url) as send:
        response = await send(plain())
    assert response.outcome is Outcome.bad_response
    assert response.answers == ()
    assert response.error
    assert response.done >= response.sent


BROKEN: list[tuple[list[bytes | float], Outcome]] = [
    ([RESET], Outcome.connection_error),
    ([head()[:20], RESET], Outcome.connection_error),
    ([head(length=100) + GOOD, RESET], Outcome.connection_error),
    ([head(length=100) + b'{"close', 0.01, RESET], Outcome.connection_error),
    ([SSE + chunked(GOOD, end=False), RESET], Outcome.connection_error),
    ([5.0], Outcome.timed_out),
    ([head(), 5.0], Outcome.timed_out),
    ([head(length=9), b"{", 0.08, b" ", 0.08, b" ", 0.08, b" ", 0.08, b" ", 0.08, b" ", 5.0], Outcome.timed_out),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("script", "outcome"), BROKEN, ids=range(len(BROKEN)))
async def test_a_broken_exchange_becomes_an_outcome(
    server: Misbehaving, transport: Transport, script: list[bytes | float], outcome: Outcome
) -> None:
    """Reset, truncation, silence and slow bodies are never raised; the time-out is of the whole exchange."""
    server.on("/similarity", *script)
    async with transport(server.url, timeout_s=0.3) as send:
        begun = time.monotonic()
        response = await send(plain())
    assert response.outcome is outcome, response.error
    assert response.error
    assert response.sent <= response.done <= begun + 5
    if outcome is Outcome.timed_out:
        assert response.done - response.sent >= 0.29


async def test_what_is_not_http_is_a_bad_response(server: Misbehaving) -> None:
    """Another protocol answers on that port."""
    server.on("/similarity", b"SSH-2.0-OpenSSH_9.9 close\r\n\r\n")
    async with BlockingTransport(server.url) as send:
        response = await send(plain())
    assert response.outcome is Outcome.bad_response
    assert "SSH" in (response.error or "")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_refused_connection_is_an_outcome(transport: Transport) -> None:
    """Nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with transport(f"http://127.0.0.1:{taken.getsockname()[1]}") as send:
            response = await send(plain())
    assert response.outcome is Outcome.connection_error
    assert response.status == 0
    assert math.isnan(response.first_byte)
    assert response.attempts == 1


STREAMED = [b'data: {"text": "a "}\n\n', b'data: {"text": "b"}\r\n\r\n', b'data: {"done": true}\n\ndata: [DONE]\n\n']


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_stream_is_stamped_piece_by_piece(server: Misbehaving, transport: Transport) -> None:
    """The first byte is the first piece of text, the end mark is no piece."""
    first, second, end = (chunked(part, end=False) for part in STREAMED)
    server.on("/annotate", SSE, 0.05, first, 0.05, second, 0.05, end + b"0\r\n\r\n")
    async with transport(server.url) as send:
        response = await send(stream())
    assert response.outcome is Outcome.ok, response.error
    assert response.answers == ("a b",)
    assert len(response.chunks) == 2
    assert response.first_byte == response.chunks[0]
    assert response.first_byte - response.sent >= 0.045
    assert response.chunks[1] - response.chunks[0] >= 0.04
    assert response.done - response.chunks[1] >= 0.04


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_stream_cut_anywhere_is_read_alike(server: Misbehaving, transport: Transport, size: int) -> None:
    """Chunks of the network have nothing to do with events."""
    whole = b"".join(STREAMED)
    server.on("/annotate", SSE, *(chunked(whole[i : i + size], end=False) for i in range(0, len(whole), size)))
    server.scripts["/annotate"].append(b"0\r\n\r\n")
    async with transport(server.url) as send:
        response = await send(stream())
    assert response.answers == ("a b",), response.error


BAD_STREAMS = [
    chunked(),
    chunked(STREAMED[0]),
    chunked(STREAMED[0], b"data: {"),
    chunked(STREAMED[0], b"data: {\n\n"),
    chunked(STREAMED[0], b'data: {"error": {"message": "oom"}}\n\n'),
    chunked(b"data: [DONE]\n\n"),
]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("body", BAD_STREAMS, ids=range(len(BAD_STREAMS)))
async def test_a_broken_stream_is_a_bad_response(server: Misbehaving, transport: Transport, body: bytes) -> None:
    """Half an answer is not an answer."""
    server.on("/annotate", SSE + body)
    async with transport(server.url) as send:
        response = await send(stream())
    assert response.outcome is Outcome.bad_response
    assert response.answers == ()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_connections_are_kept_and_headers_sent(server: Misbehaving, transport: Transport) -> None:
    """Ten exchanges, one connection; the key and the request's own headers go along."""
    server.on("/similarity", head("200 OK", len(GOOD), "Server-Timing: queue;dur=1.5") + GOOD)
    async with transport(server.url + "/", api_key="k") as send:
        for _ in range(10):
            response = await send(plain(headers={"X-Request-Id": "7"}))
            assert response.answers == (0.5,)
            assert response.server_timing == "queue;dur=1.5"
    assert server.connections == 1
    _, headers, body = server.seen[0]
    assert headers["authorization"] == "Bearer k"
    assert headers["x-request-id"] == "7"
    assert headers["content-type"] == "application/json"
    assert body == b'{"text1":"a","text2":"b"}'


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nothing_is_sent_after_its_deadline(server: Misbehaving, transport: Transport) -> None:
    """A deadline that has passed means not sent; one that is near cuts the exchange."""
    now = asyncio.get_running_loop().time()
    server.on("/similarity", 5.0)
    async with transport(server.url) as send:
        late = await send(plain(deadline=now - 1))
        near = await send(plain(deadline=now + 0.2))
    assert late.outcome is Outcome.not_sent
    assert late.attempts == 0
    assert near.outcome is Outcome.timed_out
    assert near.done <= now + 0.5
    assert len(server.seen) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancelling_ends_the_exchange_at_once(server: Misbehaving, transport: Transport) -> None:
    """The server sees the connection close, and the next exchange works."""
    server.on("/similarity", 30.0)
    server.on("/good", head() + GOOD)
    async with transport(server.url) as send:
        task = asyncio.ensure_future(send(plain()))
        await asyncio.wait_for(server.asked.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.closed_early.wait(), 30)
        assert (await send(plain("/good"))).outcome is Outcome.ok


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_settings_and_misuse_are_named(transport: Transport) -> None:
    """Value and range in the message."""
    for url in ("ftp://x", "127.0.0.1:80", "http://"):
        with pytest.raises(SettingError, match="url="):
            transport(url)
    with pytest.raises(SettingError, match="timeout_s=0"):
        transport("http://127.0.0.1:1", timeout_s=0)
    with pytest.raises(RuntimeError, match="async with"):
        await transport("http://127.0.0.1:1")(plain())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_own_headers_go_along_and_are_redacted(server: Misbehaving, transport: Transport) -> None:
    """The request's own win, whatever their case; an error that echoes a value does not hold it."""
    server.on("/similarity", head("500 Oops", 19) + b"you said gate-4711!")
    own = {"X-Gateway-Key": "gate-4711\n", "x-request-id": "from the transport", "user-agent": "mine/1"}
    async with transport(server.url, headers=own) as send:
        response = await send(plain(headers={"X-Request-Id": "7"}))
    _, headers, _ = server.seen[0]
    assert (headers["x-gateway-key"], headers["x-request-id"], headers["user-agent"]) == ("gate-4711", "7", "mine/1")
    assert headers["content-type"] == "application/json"
    assert response.error is not None
    assert "you said ***!" in response.error
