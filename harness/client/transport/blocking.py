"""A transport that blocks a thread for each exchange, as `requests.post` does, with the same outcomes.

Rules of this file
  1. One thread owns one connection, and no lock is held anywhere. So it also runs on real threads of a process that
     gevent has patched, whose sockets serve only the thread that made them and whose locks do not span threads.
  2. Stamps are taken in the thread, with `time.monotonic`: the clock of uvloop and of asyncio.
  3. The timeout is of the whole exchange. A socket's own timeout counts from byte to byte, so before every read it is
     set to the rest.
  4. Giving up shuts the socket, so the thread returns at once and is free. Only the opening of the socket cannot be
     interrupted; the answer of a proxy and the handshake of TLS can.
  5. A connection is used again only if it is in step (see `answer_reader`) and silent. A kept connection
     that turns out to be closed before a byte of the answer came is replaced once, if the request is idempotent
     (RFC 9110, section 9.2.2); the lost attempt is counted in `previous`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor

from harness.client.checks import between
from harness.client.errors import BadResponse
from harness.client.task_calls import answers_of, plain_answers_of, stopped
from harness.client.transport.answer_reader import AnswerReader
from harness.client.transport.attempt import fail, timed_out, too_late
from harness.client.transport.blocking_body import pieces, whole
from harness.client.transport.blocking_link import Exchange, Link, bounded, connected, connected_unix, tunnel
from harness.client.transport.connection_errors import IDLE_CLOSE, connection_fault
from harness.client.transport.endpoint import merged
from harness.client.transport.event_stream import event_form
from harness.client.transport.held_bytes import BODY_MAX, EVENT_COST, Held
from harness.client.transport.origin import KEEPALIVE_S, origin_of
from harness.client.transport.outcomes import END_WAIT_S, refuse
from harness.client.transport.proxy import Proxy
from harness.client.transport.request_message import RequestMessage
from harness.client.transport.time_bounds import LateError, check_bounds, no_answer, no_connection
from harness.client.transport.tls import Tls
from harness.client.types import Attempt, Outcome, Request, Response


class BlockingTransport:
    """One HTTP exchange per call, each blocking a thread of its pool; use it with `async with`, or call `exchange`.

    Args:
        url: Base URL of the server, with or without `/v1`; it may hold a user and a password.
        threads: Threads in the pool, and so the most exchanges at a time. Default 1.
        timeout_s: Seconds for one exchange, from connecting to the last byte. Default 60.0.
        executor: Threads of another kind; closing the transport shuts it down. Default None: a pool of its own.
        api_key: Key that is sent as a bearer token. Default None: no key.
        authorization: Whole value of the header `Authorization`, in place of a key. Default None: as the URL or the
            key says.
        headers: Further headers for every request; those of a request itself win. They are checked, and their values
            are replaced by `***` in errors, records and reports. Default None: no further headers.
        tls: Trusted issuers, the client's own certificate. Default None: the system's issuers, no certificate.
        proxy: HTTP proxy (`harness.client.transport.proxy.proxy_of`). Default None: no proxy, whatever the environment
            says.
        connect_timeout_s: Seconds for opening a connection, TLS included. Default None: as `timeout_s`.
        first_byte_timeout_s: Seconds from the sending of a request to the head of its answer. Default None: as
            `timeout_s`.
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
        headers: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        proxy: Proxy | None = None,
        connect_timeout_s: float | None = None,
        first_byte_timeout_s: float | None = None,
    ) -> None:
        self.threads = threads
        self.timeout_s = timeout_s
        self._connect_timeout_s, self._first_byte_timeout_s = connect_timeout_s, first_byte_timeout_s
        between(self, 1, 10_000, "threads")
        check_bounds(timeout_s, connect_timeout_s, first_byte_timeout_s)
        origin = self._origin = origin_of(url, api_key, authorization, headers, tls)
        self._proxy = proxy
        target, sent = origin.path, origin.all_headers
        # Without a tunnel, a proxy gets the whole URL (RFC 9112, section 3.2.2).
        if proxy is not None and origin.tls is None:
            target = origin.base
            sent = merged(sent, {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {})
        self._message = RequestMessage(target, sent)
        self._executor = executor
        self._idle: dict[int, tuple[float, Link]] = {}  # by thread
        self._running: set[Exchange] = set()

    async def __aenter__(self) -> BlockingTransport:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="paceline-exchange")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the exchanges in flight, end the threads, close the connections."""
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
        exchange = Exchange(request)
        self._running.add(exchange)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, exchange)
        except asyncio.CancelledError:
            exchange.abort()
            raise
        finally:
            self._running.discard(exchange)

    def exchange(self, request: Request) -> Response:
        """Send without asyncio: blocks the calling thread until the exchange is over."""
        return self._run(Exchange(request))

    def _run(self, exchange: Exchange) -> Response:
        request = exchange.request
        sent = time.monotonic()
        exchange.until = min(request.deadline, sent + self.timeout_s)
        if exchange.until <= sent:
            return too_late(sent)
        if exchange.aborted:
            return Response(Outcome.not_sent, done=sent, error="given up before it could be sent")
        response = self._once(exchange, sent)
        if exchange.idle_close and request.idempotent and not exchange.aborted:
            lost = Attempt(sent, math.nan, response.done, response.outcome, 0)
            response = self._once(exchange, time.monotonic())
            response.previous = (lost,)
        return response

    def _once(self, exchange: Exchange, sent: float) -> Response:
        """Send on one connection; every end becomes an outcome."""
        request, response = exchange.request, Response(Outcome.connection_error, sent=sent)
        if request.progress is not None:
            request.progress.sent = sent
        link: Link | None = None
        try:
            link = self._link(exchange)
            self._attempt(exchange, link, response)
        except LateError as error:
            fail(response, Outcome.timed_out, str(error), time.monotonic())
        except TimeoutError:
            timed_out(response, sent, time.monotonic())
        except BadResponse as error:
            fail(response, error.outcome, str(error), time.monotonic())
        except OSError as error:  # before ValueError, because an error of a certificate is both
            exchange.idle_close = link is not None and link.closed_idle(error)
            fault = IDLE_CLOSE if exchange.idle_close else connection_fault(error, self._origin.host)
            fail(response, Outcome.connection_error, fault, time.monotonic())
        except ValueError as error:
            fail(response, Outcome.bad_response, f"{type(error).__name__}: {error}", time.monotonic())
        finally:
            exchange.sock = None
            if link is not None:
                self._put_back(link, link.reader.in_step and not link.early and not exchange.aborted)
        return response

    def _link(self, exchange: Exchange) -> Link:
        """A kept connection that is still usable, or a new one; its socket is registered with the exchange."""
        since, link = self._idle.pop(threading.get_ident(), (-math.inf, None))
        if link is not None:
            if time.monotonic() - since < KEEPALIVE_S and link.silent():
                link.exchange, link.kept = exchange, True
            else:
                link.close()
                link = None
        if link is None:
            with bounded(exchange, self._connect_timeout_s, no_connection):
                link = Link(self._connected(exchange), exchange)
            link.early = self._origin.tls is None and not link.silent()  # under TLS it may be the session tickets
        exchange.sock = link.sock
        return link

    def _connected(self, exchange: Exchange) -> socket.socket:
        """A new connection to the server: direct, over a Unix socket, or through a proxy."""
        if self._origin.socket is not None:
            return connected_unix(self._origin.socket, exchange)
        if self._proxy is None:
            sock = connected(self._origin.host, self._origin.port, exchange)
        else:
            sock = connected(self._proxy.host, self._proxy.port, exchange)
        return sock if self._origin.tls is None else self._secured(exchange, sock)

    def _secured(self, exchange: Exchange, sock: socket.socket) -> socket.socket:
        """TLS to the server over this connection, which may lead to a proxy. The exchange can be given up meanwhile."""
        assert self._origin.tls is not None  # noqa: S101 - the caller has looked
        try:
            exchange.through(sock)
            if self._proxy is not None:
                tunnel(exchange, sock, self._origin.host, self._origin.port, self._proxy.authorization)
            # It takes the socket over, so the handshake is made when the exchange has the new one.
            sock = self._origin.tls.wrap_socket(sock, server_hostname=self._origin.host, do_handshake_on_connect=False)
            exchange.through(sock)
            sock.do_handshake()
        except BaseException:
            exchange.sock = None
            sock.close()
            raise
        return sock

    def _put_back(self, link: Link, reusable: bool) -> None:
        if reusable:
            self._idle[threading.get_ident()] = (time.monotonic(), link)
        else:
            link.close()

    def _attempt(self, exchange: Exchange, link: Link, response: Response) -> None:
        """Send and read."""
        request, reader = exchange.request, link.reader
        reader.heard = reader.in_step = False
        exchange.allow()
        link.sock.sendall(self._message.of(request))
        with bounded(exchange, self._first_byte_timeout_s, no_answer):
            reader.head()
        response.first_byte = time.monotonic()
        response.status = reader.status
        response.headers = reader.headers
        response.server_timing = reader.headers.get("Server-Timing")
        if request.progress is not None and not request.stream:
            request.progress.first_byte = response.first_byte
        with Held(BODY_MAX) as held:
            if reader.status not in request.answered:
                self._refused(reader, response, held)
            elif request.stream:
                self._stream(exchange, reader, response, held)
            else:
                body = whole(reader, held)
                response.done = time.monotonic()
                response.answers = plain_answers_of(request, body)
                response.outcome = Outcome.ok

    def _refused(self, reader: AnswerReader, response: Response, held: Held) -> None:
        try:
            body = whole(reader, held)
        except BadResponse as error:  # the status counts, even if the body is invalid
            body = str(error).encode()
        response.done = time.monotonic()
        refuse(response, reader.status, reader.headers, body, time.time())

    def _stream(self, exchange: Exchange, reader: AnswerReader, response: Response, held: Held) -> None:
        request = exchange.request
        form, events, stamps = event_form(request), list[bytes](), list[float]()
        splitter = form.splitter()
        parts = pieces(reader, held)
        ended, stop_after = False, request.stop_after
        try:
            for piece, at in parts:
                for event in splitter.feed(piece):
                    held.add(EVENT_COST)
                    events.append(event)
                    if form.is_content(event):
                        stamps.append(at)
                        if request.progress is not None:
                            request.progress.first_byte = stamps[0]
                        if ended := len(stamps) == stop_after:
                            break
                    elif ended := form.is_end(event):
                        break
                if ended:
                    break
        finally:
            # A stream that is cut off has begun all the same.
            response.chunks = tuple(stamps)
            if stamps:
                response.first_byte = stamps[0]
        response.done = time.monotonic()
        if len(stamps) == stop_after:
            # The connection is not in step, so it is closed, and the server sees that.
            stopped(request, response, events)
            return
        if not ended:
            events += splitter.close()
        response.answers = answers_of(request, splitter, events)
        response.outcome = Outcome.ok
        exchange.until = min(exchange.until, response.done + END_WAIT_S)
        with contextlib.suppress(OSError, BadResponse):  # the answer is complete; at worst the connection is not reused
            for _ in parts:
                pass
