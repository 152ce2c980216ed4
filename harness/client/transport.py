"""The innermost send: one HTTP exchange on aiohttp.

Rules of this file
  1. Whatever happens to the exchange becomes an outcome; only cancellation is raised.
  2. The pool is unlimited unless told otherwise: a hidden queue inside the connector would be a wait nobody sees.
  3. `sent` is stamped before a connection is looked for, so connecting counts as service time; `first_byte` when the
     head of the answer is there (plain) or the first content event (stream); `done` when the last byte was checked.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from harness.client.access import access
from harness.client.clock import Clock, clock
from harness.client.errors import BadResponse, SettingError
from harness.client.redaction import excerpt
from harness.client.timeouts import Timeouts
from harness.client.types import Outcome, Request, Response
from harness.client.wire import ANSWERED, SseSplitter, answers_of, base_url, is_content, joined, refuse

BODY_MAX = 64 * 1024 * 1024  # bytes of an answer; more is a bad response
KEEPALIVE_S = 4.0  # idle connections are closed before common servers (uvicorn: 5 s) close them under a request


class HttpTransport:
    """One HTTP exchange per call, on a pool of keep-alive connections; use it with `async with`."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 60.0,
        connections: int = 0,
        api_key: str | None = None,
        authorization: str | None = None,
    ) -> None:
        if not timeout_s > 0:
            raise SettingError(f"timeout_s={timeout_s!r} must be above 0")
        to = access(url, api_key)
        self._base = base_url(to.url)
        self._timeout_s = timeout_s
        self._connections = connections
        self._headers = CIMultiDict({"Content-Type": "application/json", "Accept-Encoding": "identity"})
        if value := authorization or to.authorization:
            self._headers["Authorization"] = value
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: Timeouts | None = None
        self._now: Clock = time.monotonic

    async def __aenter__(self) -> HttpTransport:
        self._now = clock()
        self._timeouts = Timeouts(self._timeout_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_S),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # see harness.client.timeouts
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._timeouts is not None:
            self._timeouts.close()

    async def __call__(self, request: Request, /) -> Response:
        session, timeouts = self._session, self._timeouts
        if session is None or timeouts is None:
            raise RuntimeError("HttpTransport must be entered with `async with` first")
        sent = self._now()
        response = Response(Outcome.connection_error, sent=sent)
        watch = timeouts.begin(sent)
        sooner: asyncio.TimerHandle | None = None
        if request.deadline < watch.when:
            if request.deadline <= sent:
                timeouts.end(watch)
                return Response(Outcome.not_sent, done=sent, error="its deadline passed before it could be sent")
            sooner = asyncio.get_running_loop().call_later(request.deadline - sent, watch.expire)
        if request.progress is not None:
            request.progress.sent = sent
        try:
            await self._exchange(session, request, response)
        except asyncio.CancelledError as error:
            if not watch.expired or watch.task.uncancel() > 0:
                response.outcome = Outcome.cancelled
                error.response = response  # type: ignore[attr-defined] # for whoever records: it was sent
                raise
            self._failed(response, Outcome.timed_out, f"no complete answer within {self._now() - sent:.3g} s")
        except aiohttp.ClientResponseError as error:  # what came is not HTTP
            self._failed(response, Outcome.bad_response, f"{type(error).__name__}: {error.message}")
        except (aiohttp.ClientError, OSError) as error:
            self._failed(response, Outcome.connection_error, f"{type(error).__name__}: {error}")
        except BadResponse as error:
            self._failed(response, Outcome.bad_response, str(error))
        except ValueError as error:  # aiohttp on an answer that is not HTTP, or a chunk that is too long
            self._failed(response, Outcome.bad_response, f"{type(error).__name__}: {error}")
        finally:
            timeouts.end(watch)
            if sooner is not None:
                sooner.cancel()
        return response

    def _failed(self, response: Response, outcome: Outcome, error: str) -> None:
        response.outcome = outcome
        response.error = excerpt(error, 300)
        response.done = self._now()

    async def _exchange(self, session: aiohttp.ClientSession, request: Request, response: Response) -> None:
        url = self._urls.get(request.path)
        if url is None:
            url = self._urls[request.path] = URL(joined(self._base, request.path), encoded=True)
        answer = await session.request(
            request.method, url, data=request.body or None, headers=request.headers, allow_redirects=False
        )
        try:  # a body read to its end gives the connection back by itself
            response.status = answer.status
            response.first_byte = self._now()
            response.headers = answer.headers
            response.server_timing = answer.headers.get("Server-Timing")
            if answer.status not in ANSWERED:
                await self._refused(answer, response)
            elif request.stream:
                await self._stream(answer, request, response)
            else:
                if request.progress is not None:
                    request.progress.first_byte = response.first_byte
                length = answer.content_length
                body = await (answer.read() if length is not None and length <= BODY_MAX else _bounded(answer))
                response.answers = request.task.answer(request, body)
                response.outcome = Outcome.ok
                response.done = self._now()
        except BaseException:
            answer.close()
            raise

    async def _refused(self, answer: aiohttp.ClientResponse, response: Response) -> None:
        body = await _bounded(answer)
        response.done = self._now()
        refuse(response, answer.status, answer.headers, body, time.time())

    async def _stream(self, answer: aiohttp.ClientResponse, request: Request, response: Response) -> None:
        splitter, events, stamps = SseSplitter(), list[bytes](), list[float]()
        size = 0
        async for chunk in answer.content.iter_any():
            at = self._now()
            size += len(chunk)
            if size > BODY_MAX:
                raise BadResponse(f"a stream of more than {BODY_MAX} bytes")
            for event in splitter.feed(chunk):
                events.append(event)
                if is_content(event):
                    stamps.append(at)
                    if request.progress is not None and len(stamps) == 1:
                        request.progress.first_byte = at
        splitter.close()
        response.done = self._now()
        response.chunks = tuple(stamps)
        if stamps:
            response.first_byte = stamps[0]
        response.answers = answers_of(request, splitter, events)
        response.outcome = Outcome.ok


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, or BadResponse once it is too long."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX:
            raise BadResponse(f"an answer of more than {BODY_MAX} bytes")
    return bytes(body)
