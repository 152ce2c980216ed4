"""The send that blocks a thread for each exchange: what a loop over `requests.post` does, with the same outcomes.

Rules of this file
  1. One thread owns one connection, and no lock is held anywhere. So it also runs on real threads of a process that
     gevent has patched, whose sockets serve only the thread that made them and whose locks do not span threads.
  2. Stamps are taken in the thread, with `time.monotonic`: the clock of uvloop and of asyncio.
  3. The timeout is of the whole exchange. A socket's own timeout counts from byte to byte, so before every read it is
     set to what is left.
  4. Giving up shuts the socket, so the thread returns at once and is free for the next; only connecting cannot be cut.
"""

from __future__ import annotations

import _socket
import asyncio
import contextlib
import http.client
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from harness.client.access import access
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.settings import between, positive
from harness.client.types import Outcome, Request, Response
from harness.client.wire import ANSWERED, BODY_MAX, SseSplitter, answers_of, base_url, is_content, joined, refuse

KEEPALIVE_S = 4.0  # idle connections are closed before common servers (uvicorn: 5 s) close them under a request
READ_SIZE = 65_536

_CONNECTION_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
_NOT_HTTP = (http.client.BadStatusLine, http.client.UnknownProtocol, http.client.LineTooLong, ValueError)


class _Exchange:
    """A request under way in a thread, and the handle by which another thread gives it up."""

    __slots__ = ("aborted", "request", "response", "sock")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.response = Response(Outcome.not_sent)
        self.sock: socket.socket | None = None
        self.aborted = False

    def abort(self) -> None:
        """Wake the thread, whatever it waits for.

        Marked first, socket read after; the thread forgets the socket first and looks at the mark after. So a socket
        that went back to the idle connections is never shut.
        """
        self.aborted = True
        sock = self.sock
        if sock is None:
            return
        with contextlib.suppress(OSError):  # it is closed already
            # The bare one: TLS's would first forget its session, and gevent's would wake another thread's hub.
            bare = _socket.socket(fileno=sock.fileno())
            try:
                bare.shutdown(socket.SHUT_RDWR)
            finally:
                bare.detach()

    def allow(self, until: float) -> None:
        """Let the next socket operation take what is left; raises TimeoutError if nothing is."""
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self.aborted:
            raise ConnectionAbortedError("given up")
        if self.sock is not None:
            with contextlib.suppress(OSError):  # closed at the end of an answer that closes its connection
                self.sock.settimeout(left_s)


def _chunks(exchange: _Exchange, answer: HTTPResponse, until: float) -> Iterator[tuple[bytes, float]]:
    """The body as it arrives, each piece with its instant; raises if it is cut short, late or too long."""
    size = 0
    while True:
        exchange.allow(until)
        chunk = answer.read1(READ_SIZE)
        if not chunk:
            break
        size += len(chunk)
        if size > BODY_MAX:
            raise BadResponse(f"an answer of more than {BODY_MAX} bytes")
        yield chunk, time.monotonic()
    if answer.length_remaining:
        raise ConnectionResetError(f"the answer broke off {answer.length_remaining} bytes before its end")
    if not size and not answer.chunked and answer.length_remaining is None:
        raise ConnectionResetError("the answer broke off inside its head")  # which http.client takes for its end


def _failed(response: Response, outcome: Outcome, error: str) -> None:
    response.outcome = outcome
    response.error = excerpt(error, 300)
    if math.isnan(response.done):
        response.done = time.monotonic()


class BlockingTransport:
    """One HTTP exchange per call, each blocking a thread of its pool; use it with `async with`, or call `exchange`.

    An `executor` that is given (threads of another kind) is taken over: closing the transport shuts it down.
    """

    def __init__(
        self,
        url: str,
        *,
        threads: int = 1,
        timeout_s: float = 60.0,
        executor: Executor | None = None,
        api_key: str | None = None,
        authorization: str | None = None,
    ) -> None:
        self.threads = threads
        self.timeout_s = timeout_s
        between(self, 1, 10_000, "threads")
        positive(self, "timeout_s")
        to = access(url, api_key)
        parts = urlsplit(base_url(to.url))
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = parts.path
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if value := authorization or to.authorization:
            self._headers["Authorization"] = value
        self._executor = executor
        self._idle: dict[int, tuple[float, HTTPConnection]] = {}  # by thread
        self._running: set[_Exchange] = set()

    async def __aenter__(self) -> BlockingTransport:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="paceline-exchange")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is in flight, end the threads, close the connections."""
        executor, self._executor = self._executor, None
        for exchange in tuple(self._running):
            exchange.abort()
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            self._idle.popitem()[1][1].close()

    async def __call__(self, request: Request, /) -> Response:
        if self._executor is None:
            raise RuntimeError("BlockingTransport must be entered with `async with` first")
        exchange = _Exchange(request)
        self._running.add(exchange)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, exchange)
        except asyncio.CancelledError:
            exchange.abort()
            raise
        finally:
            self._running.discard(exchange)

    def exchange(self, request: Request) -> Response:
        """The same without asyncio: blocks the calling thread until the exchange is over."""
        return self._run(_Exchange(request))

    def _run(self, exchange: _Exchange) -> Response:
        request = exchange.request
        sent = time.monotonic()
        until = min(request.deadline, sent + self.timeout_s)
        if until <= sent:
            return Response(Outcome.not_sent, done=sent, error="its deadline passed before it could be sent")
        if exchange.aborted:
            return Response(Outcome.not_sent, done=sent, error="given up before it could be sent")
        response = exchange.response = Response(Outcome.connection_error, sent=sent)
        if request.progress is not None:
            request.progress.sent = sent
        connection: HTTPConnection | None = None
        reusable = False
        try:
            connection = self._connection(exchange, until)
            reusable = self._attempt(exchange, connection, until)
        except urllib3.exceptions.NewConnectionError as error:  # refused; for urllib3 that is a kind of time-out
            _failed(response, Outcome.connection_error, f"{type(error).__name__}: {error}")
        except (TimeoutError, urllib3.exceptions.TimeoutError):
            _failed(response, Outcome.timed_out, f"no complete answer within {until - sent:.3g} s")
        except BadResponse as error:
            _failed(response, Outcome.bad_response, str(error))
        except (
            ConnectionError
        ) as error:  # before what is "not HTTP": an empty answer is both, and it is a lost connection
            _failed(response, Outcome.connection_error, f"{type(error).__name__}: {error}")
        except _NOT_HTTP as error:
            _failed(response, Outcome.bad_response, f"{type(error).__name__}: {error}")
        except _CONNECTION_ERRORS as error:
            _failed(response, Outcome.connection_error, f"{type(error).__name__}: {error}")
        finally:
            exchange.sock = None
            if connection is not None:
                self._put_back(connection, reusable and not exchange.aborted)
        return response

    def _connection(self, exchange: _Exchange, until: float) -> HTTPConnection:
        """A kept connection that is still good, or a new one; connected, with its socket known to the exchange."""
        since, connection = self._idle.pop(threading.get_ident(), (-math.inf, None))
        if connection is not None:
            if time.monotonic() - since < KEEPALIVE_S and connection.is_connected:
                exchange.sock = connection.sock
                return connection
            connection.close()
        left_s = max(1e-3, until - time.monotonic())
        if self._tls is None:
            connection = HTTPConnection(self._host, self._port, timeout=left_s)
        else:
            connection = HTTPSConnection(self._host, self._port, timeout=left_s, ssl_context=self._tls)
        connection.connect()
        exchange.sock = connection.sock
        return connection

    def _put_back(self, connection: HTTPConnection, reusable: bool) -> None:
        if reusable and connection.sock is not None:
            self._idle[threading.get_ident()] = (time.monotonic(), connection)
        else:
            connection.close()

    def _attempt(self, exchange: _Exchange, connection: HTTPConnection, until: float) -> bool:
        """Send and read; True if the connection may carry another exchange."""
        request, response = exchange.request, exchange.response
        exchange.allow(until)
        headers = self._headers if request.headers is None else {**self._headers, **request.headers}
        connection.request(
            request.method,
            joined(self._path, request.path),
            body=request.body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
        answer = connection.getresponse()
        response.first_byte = time.monotonic()
        response.status = answer.status
        response.headers = answer.headers
        response.server_timing = answer.headers.get("Server-Timing")
        if request.progress is not None and not request.stream:
            request.progress.first_byte = response.first_byte
        if answer.status in ANSWERED and request.stream:
            self._stream(exchange, answer, until)
        else:
            body = b"".join(chunk for chunk, _ in _chunks(exchange, answer, until))
            response.done = time.monotonic()
            if answer.status in ANSWERED:
                response.answers = request.task.answer(request, body)
                response.outcome = Outcome.ok
            else:
                refuse(response, answer.status, answer.headers, body, time.time())
        return True

    def _stream(self, exchange: _Exchange, answer: HTTPResponse, until: float) -> None:
        request, response = exchange.request, exchange.response
        splitter, events, stamps = SseSplitter(), list[bytes](), list[float]()
        for chunk, at in _chunks(exchange, answer, until):
            for event in splitter.feed(chunk):
                events.append(event)
                if is_content(event):
                    stamps.append(at)
                    if request.progress is not None:
                        request.progress.first_byte = stamps[0]
        response.done = time.monotonic()
        response.chunks = tuple(stamps)
        if stamps:
            response.first_byte = stamps[0]
        splitter.close()
        response.answers = answers_of(request, splitter, events)
        response.outcome = Outcome.ok
