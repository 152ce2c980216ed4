"""One table of what servers do, run on every transport, with one expected outcome."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import os
import socket
import ssl
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.client.errors import BadResponse, SettingError
from harness.client.tasks.http import Http
from harness.client.transport import async_http, blocking, held_bytes
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.lean import body as lean_body
from harness.client.types import Item, Outcome
from tests.http.misbehaving import GOOD, RESET, SSE, Misbehaving, chunked, head, misbehaving
from tests.http.test_transport_outcomes import STREAMED, TRANSPORTS, Transport, plain, stream

OK, BAD, LOST, REFUSED = Outcome.ok, Outcome.bad_response, Outcome.connection_error, Outcome.client_error
Piece = bytes | float
ZIPPED = gzip.compress(GOOD)
BOMB = gzip.compress(bytes(4_000_000))


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    async with misbehaving() as server:
        yield server


def encoded(coding: str, body: bytes) -> bytes:
    return head("200 OK", len(body), f"Content-Encoding: {coding}") + body


CASES: dict[str, tuple[list[Piece], Outcome, str]] = {
    "a header of 9 KB": ([head("200 OK", len(GOOD), "X: " + "a" * 9_000) + GOOD], OK, ""),
    "a header of 60 KB": ([head("200 OK", len(GOOD), "X: " + "a" * 60_000) + GOOD], OK, ""),
    "a header of 70 KB": ([head("200 OK", len(GOOD), "X: " + "a" * 70_000) + GOOD], BAD, ""),
    "120 headers": ([head("200 OK", len(GOOD), *[f"X-{i}: a" for i in range(120)]) + GOOD], OK, ""),
    "2,000 headers": ([head("200 OK", len(GOOD), *[f"X-{i}: a" for i in range(2_000)]) + GOOD], BAD, ""),
    "two equal lengths": ([head("200 OK", len(GOOD), f"Content-Length: {len(GOOD)}") + GOOD], BAD, "ontent-Length"),
    "two lengths": ([head("200 OK", len(GOOD), "Content-Length: 3") + GOOD], BAD, "ontent-Length"),
    "a length that is no number": ([head("200 OK", None, "Content-Length: +25") + GOOD], BAD, ""),
    "length and chunks": ([head("200 OK", 25, "Transfer-Encoding: chunked") + chunked(GOOD)], BAD, ""),
    "a chunk size that is no number": ([SSE + b"0x19\r\n" + GOOD + b"\r\n0\r\n\r\n"], BAD, ""),
    "a chunk longer than it says": ([SSE + b"3\r\n" + GOOD + b"\r\n0\r\n\r\n"], BAD, ""),
    "chunks with a trailer": ([SSE + chunked(GOOD, end=False) + b"0\r\nX: 1\r\n\r\n"], OK, ""),
    "cut before the last line": ([SSE + chunked(GOOD, end=False) + b"0\r\n", RESET], LOST, ""),
    "until the end": ([head("200 OK", None, "Connection: close") + GOOD], OK, ""),
    "HTTP/1.0": ([head("200 OK", None, "Connection: close").replace(b"1.1", b"1.0") + GOOD], OK, ""),
    "lines that end with LF": ([head().replace(b"\r\n", b"\n") + GOOD], OK, ""),
    "a header without a colon": ([head("200 OK", len(GOOD), "nonsense") + GOOD], BAD, ""),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 0.2], BAD, "HTTP"),
    "HTTP/2": ([b"HTTP/2 200\r\n\r\n", 0.2], BAD, ""),
    "an alert of TLS": ([b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", 0.2], BAD, ""),
    "103 alone": ([head("103 Early Hints", None), RESET], LOST, ""),
    "100 times 100": ([head("100 Continue", None) * 100 + head() + GOOD], OK, ""),
    "100 without end": ([head("100 Continue", None) * 20_000, 0.2], BAD, "more than 100 informational answers"),
    "101": ([head("101 Switching Protocols", None, "Upgrade: x", "Connection: upgrade"), 0.2], REFUSED, "101"),
    "gzip": ([encoded("gzip", ZIPPED)], OK, ""),
    "gzip in two members": ([encoded("x-gzip", gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:]))], OK, ""),
    "gzip in chunks": (
        [head("200 OK", None, "Content-Encoding: gzip", "Transfer-Encoding: chunked"), chunked(ZIPPED[:9], ZIPPED[9:])],
        OK,
        "",
    ),
    "deflate": ([encoded("deflate", zlib.compress(GOOD))], OK, ""),
    "identity": ([encoded("identity", GOOD)], OK, ""),
    "gzip that broke off": ([encoded("gzip", ZIPPED[:-6])], BAD, "broke off"),
    "gzip that is none": ([encoded("gzip", GOOD)], BAD, "not gzip"),
    "br": ([encoded("br", GOOD)], BAD, "'br' although"),
    "a body that grows": ([encoded("gzip", BOMB)], BAD, "more than 100000 bytes"),
    "a refusal in br": (
        [head("400 Bad", 3, "Content-Encoding: br") + b"abc"],
        REFUSED,
        "HTTP 400: the body is encoded",
    ),
    "a redirect": (
        [head("307 Moved", 0, "Location: https://u:geheim@other.example/v1?token=geheim")],
        REFUSED,
        "a redirect to 'https://other.example/v1', which is not followed",
    ),
}


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("case", CASES)
async def test_every_transport_has_the_same_outcome(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch, kind: Transport, case: str
) -> None:
    """And a good answer after it is a good answer."""
    monkeypatch.setattr(blocking, "BODY_MAX", 100_000)
    monkeypatch.setattr(async_http, "BODY_MAX", 100_000)
    monkeypatch.setattr(lean_body, "BODY_MAX", 100_000)
    script, outcome, words = CASES[case]
    server.on("/odd", *script)
    server.on("/similarity", head() + GOOD)
    async with kind(server.url, timeout_s=10.0) as send:
        response = await send(plain("/odd"))
        after = await send(plain())
    assert response.outcome is outcome, response.error
    assert words in (response.error or "")
    assert "geheim" not in (response.error or "")
    assert (response.answers == (0.5,)) == (outcome is OK)
    assert after.answers == (0.5,), after.error


class Closing:
    """Answers `answers` requests of a connection; the next is read, and `after_s` later closed without a word."""

    def __init__(self, answers: int, *, reset: bool = False, after_s: float = 0.0) -> None:
        self.answers, self.reset, self.after_s = answers, reset, after_s
        self.read = self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for index in range(self.answers + 1):
                lines = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = lines.partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.read += 1
                if index < self.answers:
                    writer.write(head() + GOOD)
                    await writer.drain()
            await asyncio.sleep(self.after_s)
            if self.reset:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.tasks.add(asyncio.ensure_future(self.handle(reader, writer)))

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_close_of_an_idle_connection_is_sent_again_once_and_counted(kind: Transport) -> None:
    """Every second request meets a closed connection: none is lost, each lost attempt is in `previous`."""
    closing = Closing(1)
    async with closing.serve() as url, kind(url) as send:
        responses = [await send(plain()) for _ in range(6)]
    assert [response.outcome for response in responses] == [OK] * 6
    assert [response.attempts for response in responses] == [1, 2, 2, 2, 2, 2]
    for response in responses[1:]:
        (lost,) = response.previous
        assert lost.outcome is LOST
        assert lost.sent <= lost.done <= response.sent <= response.done
    assert closing.read == sum(response.attempts for response in responses)


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize(
    ("reset", "fields", "answers"),
    [(False, {"idempotent": False}, 1), (True, {}, 1), (False, {}, 0), (False, {"method": "GET"}, 0)],
    ids=["not idempotent", "reset", "new connection", "new connection, GET"],
)
async def test_what_is_not_a_close_of_an_idle_connection_is_not_sent_again(
    kind: Transport, reset: bool, fields: dict[str, object], answers: int
) -> None:
    """Nor is anything sent again without being counted, as aiohttp does by itself with a GET."""
    closing = Closing(answers, reset=reset)
    async with closing.serve() as url, kind(url) as send:
        responses = [await send(plain(**fields)) for _ in range(2)]
    assert [response.attempts for response in responses] == [1, 1]
    assert responses[1].outcome is LOST
    assert closing.read == 2


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_time_out_counts_from_the_first_of_two_sendings(kind: Transport) -> None:
    """What was left of the time when the idle close was seen is all that the second has: here 0.4 s of 1 s."""
    silent = Closing(1, after_s=0.6)
    inner = silent.handle

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if silent.connections:
            with contextlib.closing(writer):
                await reader.read()
        else:
            await inner(reader, writer)

    silent.handle = handle  # type: ignore[method-assign]
    async with silent.serve() as url, kind(url, timeout_s=1.0) as send:
        assert (await send(plain())).outcome is OK
        # Longer than the time-out, so that no timer of the first request still runs.
        await asyncio.sleep(1.1)
        late = await send(plain())
    assert late.outcome is Outcome.timed_out
    assert late.attempts == 2
    assert 0.95 <= late.done - late.first_sent < 1.5, "the whole time for the second would be 1.6 s"


ENDED = [
    [SSE, chunked(*STREAMED, end=False), 30.0],
    [SSE, chunked(*STREAMED[:-1], STREAMED[-1] + b": ping\n\n", end=False), 30.0],
    [SSE, chunked(STREAMED[0], b'data: {"text": "", "done": true}\n\n', end=False), 30.0],
    [head("200 OK", 100_000) + b"".join(STREAMED), 30.0],
]


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("script", ENDED, ids=range(len(ENDED)))
async def test_a_stream_ends_with_its_protocol(server: Misbehaving, kind: Transport, script: list[Piece]) -> None:
    """Though the connection stays open: the answer is there at once, and the connection is closed."""
    server.on("/annotate", *script)
    async with kind(server.url, timeout_s=20.0) as send:
        response = await send(stream())
        assert response.outcome is OK, response.error
        assert response.done - response.sent < 5.0
        await asyncio.wait_for(server.closed_early.wait(), 20)


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_body_that_ends_soon_after_its_stream_keeps_the_connection(
    server: Misbehaving, kind: Transport
) -> None:
    server.on("/annotate", SSE + chunked(*STREAMED, end=False), 0.005, b"0\r\n\r\n")
    async with kind(server.url) as send:
        for _ in range(3):
            assert (await send(stream())).outcome is OK
    assert server.connections == 1


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_stream_in_gzip_is_read(server: Misbehaving, kind: Transport) -> None:
    body = gzip.compress(b"".join(STREAMED))
    server.on("/annotate", head("200 OK", len(body), "Content-Encoding: gzip"), body[:20], 0.01, body[20:])
    async with kind(server.url) as send:
        assert (await send(stream())).answers == ("a b",)


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("whole", [False, True])
async def test_a_stream_in_gzip_that_broke_off_is_no_answer(server: Misbehaving, kind: Transport, whole: bool) -> None:
    """It ends with its connection, after a whole event: only gzip's own end says whether that was all."""
    pack = zlib.compressobj(wbits=31)
    body = pack.compress(b"data: a\n\ndata: b\n\n") + pack.flush(zlib.Z_FINISH if whole else zlib.Z_SYNC_FLUSH)
    server.on("/tokens", head("200 OK", None, "Connection: close", "Content-Encoding: gzip") + body)
    task = Http(text='path = "/tokens"\nstream = { end = "close" }\nbody = { a = "{{ a }}" }\n')
    async with kind(server.url) as send:
        response = await send(task.request((Item(0, task.parse({"a": 1}), task),)))
    assert len(response.chunks) == 2
    if whole:
        assert (response.outcome, response.answers) == (OK, ("ab",))
    else:
        assert (response.outcome, response.answers) == (BAD, ())
        assert "gzip that broke off" in (response.error or "")


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_memory_of_all_answers_together_is_bounded(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch, kind: Transport, streamed: bool
) -> None:
    """Three answers hold no more than the sum allows, a small one beside them is read, and all is given back."""
    monkeypatch.setattr(held_bytes, "SUM_MAX", 6_000_000)
    part = chunked((b'data: {"text": "a"}\n\n' * 200_000)[:4_000_000], end=False)
    server.on("/endless", SSE, part, 0.5, RESET)
    server.on("/good", head() + GOOD)
    settings = {"threads": 4} if kind is BlockingTransport else {}
    async with kind(server.url, timeout_s=20.0, **settings) as send:  # type: ignore[arg-type]
        ask = stream("/endless") if streamed else plain("/endless")
        *endless, good = await asyncio.gather(*(send(ask) for _ in range(3)), send(plain("/good")))
    assert good.outcome is OK
    assert any("hold" in (response.error or "") for response in endless)
    assert all(response.outcome in {BAD, LOST} for response in endless)
    assert held_bytes._sizes == {}


def test_events_cost_more_than_their_bytes() -> None:
    """A stream of many small events is bounded by what it holds, not by what was sent."""
    with held_bytes.Held(1000) as one:
        for _ in range(7):
            one.add(8 + held_bytes.EVENT_COST)
        with pytest.raises(BadResponse, match="more than 1000 bytes"):
            one.add(8 + held_bytes.EVENT_COST)


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_localhost_is_both_loopback_addresses(kind: Transport, family: socket.AddressFamily) -> None:
    """Whichever the server listens on."""
    served = Misbehaving()
    served.on("/similarity", head() + GOOD)
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        listener = await asyncio.start_server(served.handle, address, 0, family=family)
    except OSError:
        pytest.skip(f"this machine has no {address}")
    try:
        async with kind(f"http://localhost:{listener.sockets[0].getsockname()[1]}") as send:
            response = await send(plain())
        assert response.outcome is OK, response.error
    finally:
        listener.close()
        await served.stop()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this name that nobody has signed but itself."""
    key, found = folder / "key.pem", folder / "cert.pem"
    how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    whose = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(found)]
    subprocess.run(["openssl", *how, *whose], check=True, capture_output=True)
    return key, found


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_fault_of_tls_is_one_outcome_and_says_what_helps(
    kind: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is not trusted, then trusted by SSL_CERT_FILE; one for another name; no TLS at all."""
    try:
        key, found = certificate(tmp_path, "localhost")
    except FileNotFoundError:
        pytest.skip("no openssl command")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found, key)
    served = Misbehaving()
    served.on("/similarity", head() + GOOD)
    listener = await asyncio.start_server(served.handle, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    try:
        async with kind(f"https://localhost:{port}") as send:
            untrusted = await send(plain())
        monkeypatch.setenv("SSL_CERT_FILE", str(found))
        async with kind(f"https://localhost:{port}") as send:
            trusted = [await send(plain()) for _ in range(3)]
        async with kind(f"https://127.0.0.1:{port}") as send:
            other = await send(plain())
    finally:
        listener.close()
        await served.stop()
    assert untrusted.outcome is other.outcome is LOST
    assert "TLS: the certificate of localhost is not accepted: self" in (untrusted.error or "")
    assert "SSL_CERT_FILE" in (untrusted.error or "")
    assert "127.0.0.1" in (other.error or "")
    assert [response.outcome for response in trusted] == [OK] * 3
    assert served.connections == 1, "handshakes that failed reach no handler; the trusted ones share one"


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_a_server_without_tls_is_named(kind: Transport) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with kind(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as send:
        response = await send(plain())
    listener.close()
    assert response.outcome is LOST
    assert "http:// instead of https://" in (response.error or "")


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_file_of_certificates_that_is_missing_is_named(
    kind: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SettingError, match=r"SSL_CERT_FILE='.*none\.pem'"):
        kind("https://127.0.0.1:1")


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_too_few_file_descriptors_are_named(
    server: Misbehaving, kind: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what they are, with the command that shows and raises the limit."""
    server.on("/similarity", head() + GOOD)

    class NoMore(socket.socket):
        def __init__(self, *args: object, **settings: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with kind(server.url) as send:
        monkeypatch.setattr(socket, "socket", NoMore)
        response = await send(plain())
        monkeypatch.undo()
        after = await send(plain())
    assert response.outcome is LOST
    assert "too few file descriptors" in (response.error or "")
    assert "ulimit -n" in (response.error or "")
    assert os.strerror(errno.EMFILE) in (response.error or ""), "by which the recorder counts them"
    assert after.outcome is OK
