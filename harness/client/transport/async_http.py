"""The innermost send: one HTTP exchange on aiohttp.

Rules of this file
  1. Every end of an exchange becomes an outcome; only cancellation is raised.
  2. The pool is unlimited by default: a queue inside the connector would be an unmeasured wait.
  3. `sent` is stamped before a connection is chosen, so connecting counts as service time; `first_byte` when the
     head of the answer is there (plain) or the first content event (stream); `done` when the last byte was checked,
     or when a stream's own end mark was there.
  4. A connection is used again only if it is in step (see `connections`). A kept connection that turns out to be
     closed before a byte of the answer came is replaced once, if the request is idempotent; the lost attempt is
     counted in `previous`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Self

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict, istr
from yarl import URL

from harness.client.errors import BadResponse, SettingError
from harness.client.task_calls import answers_of, plain_answers_of, stopped
from harness.client.transport.answer_reader import HEADERS_MAX, LINE_MAX
from harness.client.transport.attempt import AttemptSend
from harness.client.transport.connection_errors import connection_fault
from harness.client.transport.connections import ConnectionLostError, KeptConnector, KeptUnixConnector
from harness.client.transport.encodings import Decoder, decoder
from harness.client.transport.endpoint import merged
from harness.client.transport.event_stream import event_form
from harness.client.transport.first_byte import begun_within, first_byte_trace
from harness.client.transport.held_bytes import BODY_MAX, EVENT_COST, Held
from harness.client.transport.origin import KEEPALIVE_S, origin_of
from harness.client.transport.outcomes import END_WAIT_S, joined, refuse
from harness.client.transport.proxy import Proxy
from harness.client.transport.time_bounds import LateError, check_bounds, no_connection
from harness.client.transport.tls import Tls
from harness.client.types import Attempt, Outcome, Request, Response

SMALL_DIGITS = 5  # of a Content-Length; a body that is no longer is read at once
_SERVER_TIMING = istr("Server-Timing")
URLS_MAX = 256  # that are kept; a task may put a field of each item into its path


class HttpTransport(AttemptSend):
    """One HTTP exchange per call, on a pool of keep-alive connections; use it with `async with`.

    Args:
        url: Base URL of the server, with or without `/v1`; it may hold a user and a password.
        timeout_s: Seconds for one exchange, from connecting to the last byte. Default 60.0.
        connections: Upper bound of open connections; 0 is no bound. Default 0.
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

    faults = (aiohttp.ClientError, OSError, BadResponse, ValueError)

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 60.0,
        connections: int = 0,
        api_key: str | None = None,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        proxy: Proxy | None = None,
        connect_timeout_s: float | None = None,
        first_byte_timeout_s: float | None = None,
    ) -> None:
        check_bounds(timeout_s, connect_timeout_s, first_byte_timeout_s)
        self._connect_timeout_s, self._first_byte_timeout_s = connect_timeout_s, first_byte_timeout_s
        if connections < 0:
            raise SettingError(f"connections={connections!r} must be at least 0")
        super().__init__(timeout_s)
        self._origin = origin_of(url, api_key, authorization, headers, tls)
        self.endpoint = self._origin.name
        self._proxy = proxy
        self._connections = connections
        self._headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        self._headers.update(self._origin.headers)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._connector: KeptConnector | KeptUnixConnector | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        kept = {"limit": self._connections, "keepalive_timeout": KEEPALIVE_S}
        if (path := self._origin.socket) is None:
            self._connector = KeptConnector(ssl=self._origin.tls or True, **kept)
        else:
            self._connector = KeptUnixConnector(path, **kept)
        proxy = self._proxy
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            # aiohttp would send the headers of a session to the proxy as well, and with them the server's key.
            headers=None if proxy is not None else self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # The time-out of the whole exchange is in harness.client.transport.attempt.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s, sock_connect=None),
            trace_configs=[] if self._first_byte_timeout_s is None else [first_byte_trace(self._first_byte_timeout_s)],
            auto_decompress=False,
            trust_env=False,
            max_line_size=LINE_MAX,
            max_field_size=LINE_MAX,
            max_headers=HEADERS_MAX,
            proxy=None if proxy is None else URL(proxy.secret_url),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        await super().__aexit__()

    def _outcome_of(self, error: Exception) -> tuple[Outcome, str]:
        """The outcome of an exchange that this error ended, and the reason in words."""
        if isinstance(error, BadResponse):
            return error.outcome, str(error)
        if isinstance(error, LateError):
            return Outcome.timed_out, str(error)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Outcome.timed_out, str(no_connection(self._connect_timeout_s or self._timeout_s))
        if isinstance(error, ConnectionLostError):
            return Outcome.connection_error, str(error)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return Outcome.connection_error, f"the proxy answered {error.status}: {error.message}"
        if isinstance(error, aiohttp.ClientResponseError):  # the answer is not HTTP
            said = " ".join(error.message.replace("^", " ").split())
            return Outcome.bad_response, f"the answer is not valid HTTP: {said}"
        if isinstance(error, aiohttp.ClientError | OSError):
            return Outcome.connection_error, connection_fault(error, self._origin.host)
        return Outcome.bad_response, f"{type(error).__name__}: {error}"  # a chunk that is too long

    async def _exchange(self, request: Request, response: Response) -> None:
        session = self._session
        # `__aenter__` made it.
        assert session is not None  # noqa: S101
        url = self._urls.get(request.path)
        if url is None:
            url = URL(joined(self._origin.base, request.path), encoded=True)
            if len(self._urls) < URLS_MAX:
                self._urls[request.path] = url
        try:
            answer = await self._send(session, url, request)
        except ConnectionLostError as error:
            if not (error.idle and request.idempotent):
                raise
            answer = await self._send_again(session, url, request, response)
        try:  # a body read to its end gives the connection back by itself
            response.status = answer.status
            response.first_byte = self._now()
            response.headers = answer.headers
            response.server_timing = answer.headers.get(_SERVER_TIMING)
            if answer.status not in request.answered:
                await self._refused(answer, response)
            elif request.stream:
                await self._stream(answer, request, response)
            else:
                if request.progress is not None:
                    request.progress.first_byte = response.first_byte
                body = await (answer.read() if _short(answer) else _body(answer))
                response.answers = plain_answers_of(request, body)
                response.outcome = Outcome.ok
                response.done = self._now()
        except BaseException:
            answer.close()
            raise

    def _send(self, session: aiohttp.ClientSession, url: URL, request: Request) -> Awaitable[aiohttp.ClientResponse]:
        headers = request.headers
        if self._proxy is not None:
            headers = merged(self._headers, headers or {})
        sent: dict[str, Any] = {"data": request.body or None, "headers": headers, "allow_redirects": False}
        bound_s = self._first_byte_timeout_s
        if bound_s is None:
            return session.request(request.method, url, **sent)
        return begun_within(
            bound_s, lambda limit: session.request(request.method, url, trace_request_ctx=limit, **sent)
        )

    async def _send_again(
        self, session: aiohttp.ClientSession, url: URL, request: Request, response: Response
    ) -> aiohttp.ClientResponse:
        """Send again on a new connection, after the server had closed an idle one."""
        now = self._now()
        response.previous = (Attempt(response.sent, math.nan, now, Outcome.connection_error, 0),)
        response.sent = now
        if request.progress is not None:
            request.progress.sent = now
        if self._connector is not None:
            self._connector.drop_idle()
        return await self._send(session, url, request)

    async def _refused(self, answer: aiohttp.ClientResponse, response: Response) -> None:
        try:
            body = await _body(answer)
        except BadResponse as error:  # the status counts, even if the body is invalid
            body = str(error).encode()
            answer.close()
        response.done = self._now()
        refuse(response, answer.status, answer.headers, body, time.time())

    async def _stream(self, answer: aiohttp.ClientResponse, request: Request, response: Response) -> None:
        form, events, stamps = event_form(request), list[bytes](), list[float]()
        splitter = form.splitter()
        decode = decoder(answer.headers.get(hdrs.CONTENT_ENCODING))
        ended, stop_after = False, request.stop_after
        try:
            with Held(BODY_MAX) as held:
                async for chunk in answer.content.iter_any():
                    at = self._now()
                    found = splitter.feed(_plain(chunk, decode, held))
                    held.add(EVENT_COST * len(found))
                    for event in found:
                        events.append(event)
                        if form.is_content(event):
                            stamps.append(at)
                            if request.progress is not None and len(stamps) == 1:
                                request.progress.first_byte = at
                            if ended := len(stamps) == stop_after:
                                break
                        elif ended := form.is_end(event):
                            break
                    if ended:
                        break
        finally:
            # A stream that is cut off has begun all the same.
            _stamp(response, stamps)
        if not ended:
            if decode is not None:
                decode.close()
            events += splitter.close()
        response.done = self._now()
        if len(stamps) == stop_after:
            # The server sees that the connection is closed inside its answer.
            answer.close()
            stopped(request, response, events)
            return
        response.answers = answers_of(request, splitter, events)
        response.outcome = Outcome.ok
        if not answer.content.at_eof():
            await _end_of(answer)


def _stamp(response: Response, stamps: list[float]) -> None:
    response.chunks = tuple(stamps)
    if stamps:
        response.first_byte = stamps[0]


async def _end_of(answer: aiohttp.ClientResponse) -> None:
    """Wait briefly for the end of a body whose stream is over; if it does not come, close the connection."""
    timer = asyncio.get_running_loop().call_later(END_WAIT_S, answer.close)
    try:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async for _ in answer.content.iter_any():
                pass
    finally:
        timer.cancel()


def _plain(chunk: bytes, decode: Decoder | None, held: Held) -> bytes:
    """Decode and count these bytes of a body."""
    if decode is not None:
        return decode.feed(chunk, held)
    held.add(len(chunk))
    return chunk


def _short(answer: aiohttp.ClientResponse) -> bool:
    """Whether the body is plain and declared to be small."""
    headers = answer.headers
    length = headers.get(hdrs.CONTENT_LENGTH)
    return length is not None and len(length) <= SMALL_DIGITS and hdrs.CONTENT_ENCODING not in headers


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, decoded; raises BadResponse once it is too long."""
    decode, body = decoder(answer.headers.get(hdrs.CONTENT_ENCODING)), bytearray()
    with Held(BODY_MAX) as held:
        async for chunk in answer.content.iter_any():
            body += _plain(chunk, decode, held)
    if decode is not None:
        decode.close()
    return bytes(body)
