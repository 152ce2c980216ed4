"""The innermost send on connections of our own: the same outcomes, stamps and rules as the transport on aiohttp.

Rules of this file
  1. Every end of an exchange becomes an outcome; only cancellation is raised. A connection whose exchange did not end
     with a whole answer is closed, whatever ended it.
  2. The pool is unlimited by default: a queue inside it would be an unmeasured wait.
  3. `sent` is stamped before a connection is chosen, so connecting counts as service time; `first_byte` when the bytes
     arrived that complete the head of the answer (plain) or hold the first content event (stream); `done` when the last
     byte was checked, or when a stream's own end mark was there.
  4. A kept connection that turns out to be closed before a byte of the answer came is replaced once, if the request is
     idempotent; the lost attempt is counted in `previous`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Self

from harness.client.cancellation import attach
from harness.client.errors import BadResponse, SettingError
from harness.client.task_calls import answers_of, checked_answers, plain_answers_of, stopped
from harness.client.transport.attempt import AttemptSend, Expiry, Watch, fail, timed_out
from harness.client.transport.connection_errors import connection_fault
from harness.client.transport.lean.body import EventBody, refused_text
from harness.client.transport.lean.connection import Connection
from harness.client.transport.lean.deadlines import Deadlines
from harness.client.transport.lean.dial import Dial
from harness.client.transport.lean.lost import ExpiredError, LostError
from harness.client.transport.lean.pool import Pool
from harness.client.transport.origin import KEEPALIVE_S, origin_of
from harness.client.transport.outcomes import END_WAIT_S, refuse
from harness.client.transport.request_message import RequestMessage
from harness.client.transport.time_bounds import check_bounds, no_connection
from harness.client.transport.tls import Tls
from harness.client.types import Attempt, Outcome, Request, Response

# Quicker than the attributes of the enumeration.
_OK, _LOST = Outcome.ok, Outcome.connection_error


class LeanTransport(AttemptSend):
    """One HTTP exchange per call, on a pool of keep-alive connections; use it with `async with`.

    It has no proxies: `harness.client.transport.async_http.HttpTransport` has.

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
        connect_timeout_s: Seconds for opening a connection, TLS included. Default None: as `timeout_s`.
        first_byte_timeout_s: Seconds from the sending of a request to the head of its answer. Default None: as
            `timeout_s`.
    """

    faults = (OSError, BadResponse, ExpiredError, ValueError)

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
        connect_timeout_s: float | None = None,
        first_byte_timeout_s: float | None = None,
    ) -> None:
        check_bounds(timeout_s, connect_timeout_s, first_byte_timeout_s)
        if connections < 0:
            raise SettingError(f"connections={connections!r} must be at least 0")
        super().__init__(timeout_s)
        origin = origin_of(url, api_key, authorization, headers, tls)
        self.endpoint, self._host = origin.name, origin.host
        self._dial = Dial(origin.host, origin.port, origin.tls, origin.socket)
        self._message = RequestMessage(origin.path, origin.all_headers)
        self._connections = connections
        self._connect_timeout_s, self._first_byte_timeout_s = connect_timeout_s, first_byte_timeout_s
        self._first_byte: Expiry[Connection] | None = None
        self._pool: Pool | None = None
        # The same, if the short way is open.
        self._short_way: Pool | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(self._open, self._connections, KEEPALIVE_S, self._now)
        self._expiry = Expiry(self._timeout_s, Connection.expire)
        self._deadlines = Deadlines(Connection.expire)
        if (first_s := self._first_byte_timeout_s) is None:
            self._short_way = self._pool
        else:
            self._first_byte = Expiry(first_s, lambda connection: connection.expire_unheard(first_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()
            self._expiry.close()
            self._deadlines.close()
            if self._first_byte is not None:
                self._first_byte.close()
            # The connections are closed by the loop, in its next turn.
            await asyncio.sleep(0)
        await super().__aexit__()

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s) as limit:
                return await self._dial.open(self._new)
        except TimeoutError:
            if limit.expired():
                raise ExpiredError(str(no_connection(self._connect_timeout_s or 0.0))) from None
            raise

    def _new(self) -> Connection:
        return Connection(self._loop, self._now)

    def _outcome_of(self, error: Exception) -> tuple[Outcome, str]:
        """The outcome of an exchange that this error ended, and the reason in words."""
        if isinstance(error, BadResponse):
            return error.outcome, str(error)
        if isinstance(error, ExpiredError):
            return Outcome.timed_out, str(error)
        if isinstance(error, OSError):
            return Outcome.connection_error, connection_fault(error, self._host)
        return Outcome.bad_response, f"{type(error).__name__}: {error}"

    async def __call__(self, request: Request, /) -> Response:
        """The short way on a kept connection; a new one, or a time-out of the first byte, takes the way of all others.

        It is one coroutine, because each one more costs a hundredth of a small request.
        """
        pool, now = self._short_way, self._now
        sent = now()
        if pool is None or request.deadline <= sent or (connection := pool.idle(sent)) is None:
            if self._pool is not None and self._pool.is_closed:
                raise RuntimeError("LeanTransport is closed: its `async with` block is over")
            return await super().__call__(request)
        response = Response(_LOST, sent=sent)
        if request.progress is not None:
            request.progress.sent = sent
        deadline, expiry, again = request.deadline, self._expiry, False
        group = self._deadlines.watch(connection, deadline) if deadline < sent + self._timeout_s else None
        watched = expiry.watched
        watched[connection] = sent
        if expiry.timer is None:
            expiry.start()
        try:
            await connection.exchange(request, response, self._message.of(request))
            if connection.is_plain and response.status in request.answered:
                response.answers = checked_answers(request, request.task.answer, connection.body)
                response.outcome = _OK
                response.done = now()
            else:
                self._read(connection, request, response)
                if connection.is_unfinished:
                    await self._rest(connection)
        except self.faults as error:
            again = _was_idle(error) and request.idempotent
            if not again:
                self._failed(error, response)
        except asyncio.CancelledError as error:
            response.outcome = Outcome.cancelled
            attach(error, response)
            raise
        finally:
            watched.pop(connection, None)
            if group is not None:
                group.discard(connection)
            pool.put_back(connection, connection.end(response.done))
        return await self._again(pool, request, response) if again else response

    def _failed(self, error: Exception, response: Response) -> None:
        """What ended the exchange becomes its outcome."""
        if not isinstance(error, ExpiredError):
            fail(response, *self._outcome_of(error), self._now())
        # After a complete answer only the end of its connection was waited for.
        elif response.outcome is not Outcome.ok:
            timed_out(response, response.sent, self._now())

    async def _again(self, pool: Pool, request: Request, response: Response) -> Response:
        """Send again, after the server had closed an idle connection; its time-out counts from the first sending.

        It has a timer of its own: `Timeouts` is only for requests that begin now.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - transports are only called from tasks
        watch = Watch(task, min(request.deadline, response.sent + self._timeout_s))
        timer = self._loop.call_at(watch.when, watch.expire)
        self._send_again(pool, request, response)
        try:
            return await self._watched(request, response, watch)
        finally:
            timer.cancel()

    async def _exchange(self, request: Request, response: Response) -> None:
        pool = self._pool
        # `__aenter__` made it.
        assert pool is not None  # noqa: S101
        message = self._message.of(request)
        if response.previous:
            # It was sent on a kept connection before.
            await self._once(await pool.connection(fresh=True), request, response, message)
            return
        try:
            await self._once(pool.idle(response.sent) or await pool.connection(), request, response, message)
        except LostError as error:
            if not (_was_idle(error) and request.idempotent):
                raise
            self._send_again(pool, request, response)
            await self._once(await pool.connection(fresh=True), request, response, message)

    def _send_again(self, pool: Pool, request: Request, response: Response) -> None:
        """Prepare for a new connection, after the server had closed an idle one."""
        now = self._now()
        response.previous = (Attempt(response.sent, math.nan, now, Outcome.connection_error, 0),)
        response.sent = now
        if request.progress is not None:
            request.progress.sent = now
        pool.drop_idle()

    async def _once(self, connection: Connection, request: Request, response: Response, message: bytes) -> None:
        """Send on one connection and read the answer."""
        pool = self._pool
        # `__aenter__` made it.
        assert pool is not None  # noqa: S101
        if self._first_byte is not None:
            self._first_byte.watch(connection, self._now())
        try:
            await connection.exchange(request, response, message)
            self._read(connection, request, response)
            if connection.is_unfinished:
                await self._rest(connection)
        finally:
            if self._first_byte is not None:
                self._first_byte.watched.pop(connection, None)
            pool.put_back(connection, connection.end(response.done))

    def _read(self, connection: Connection, request: Request, response: Response) -> None:
        """The answer that has come; raises BadResponse."""
        if (events := connection.events) is not None:
            self._streamed(request, response, events)
        elif response.status in request.answered:
            whole = connection.whole
            # The exchange is over also if the task cannot read its answer.
            response.done = self._now()
            response.answers = plain_answers_of(request, connection.body if whole is None else whole.whole())
            response.outcome = Outcome.ok
            response.done = self._now()
        else:
            self._refused(connection, response)

    def _refused(self, connection: Connection, response: Response) -> None:
        try:
            body = connection.body if connection.whole is None else connection.whole.whole()
        except BadResponse as error:
            body = refused_text(error)
        response.done = self._now()
        refuse(response, response.status, response.headers or {}, body, time.time())

    def _streamed(self, request: Request, response: Response, events: EventBody) -> None:
        """The answer of a stream that is over."""
        response.done = self._now()
        events.stamp(response)
        if events.is_stopped:
            # The connection is not in step, so it is closed, and the server sees that.
            stopped(request, response, events.events)
            return
        if not events.is_over:
            events.close()
        response.answers = answers_of(request, events.splitter, events.events)
        response.outcome = Outcome.ok

    async def _rest(self, connection: Connection) -> None:
        """Wait briefly for the end of a body whose stream is over; if it does not come, close the connection."""
        rest = connection.rest()
        timer = self._loop.call_later(END_WAIT_S, connection.close)
        try:
            await rest
        except (OSError, BadResponse):
            # The answer is complete; at worst the connection is not used again.
            return
        finally:
            timer.cancel()


def _was_idle(error: Exception) -> bool:
    """Whether a kept connection turned out to be closed."""
    return isinstance(error, LostError) and error.idle
