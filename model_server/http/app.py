"""The ASGI app of both servers, made by `create_app(engine)`.

Rules of this file
  1. Every exchange on a work route is counted at its arrival and closed exactly once, with any outcome.
  2. The caller gets only a reply or the common error body; an unexpected exception is logged and answered with 500.
  3. The mock puts limits and faults into `around`, which gets the exchange and the function that answers it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from harness.base.clock import Clock, clock
from model_server.api import ROUTES
from model_server.errors import ApiError, ClientGone, draining, starting
from model_server.http.authorization import check_key
from model_server.http.bounds import FaceSettings
from model_server.http.cors import Cors
from model_server.http.counts import Counts, RouteCounts
from model_server.http.exchange import Exchange, Receive, Scope, SendMessage, Timing
from model_server.http.metrics import Metrics
from model_server.http.reply import Reply
from model_server.http.route_table import Decode, Methods, allowed_methods, route_of, tabulate
from model_server.http.routes import Route
from model_server.http.unpacking import is_gzip, unpacked
from model_server.jobs.job import JobBackend
from model_server.scheduling.admission import AdmissionLimits
from model_server.scheduling.batching import BatchPolicy
from model_server.scheduling.dispatch import Dispatcher
from model_server.scheduling.lane import Lane
from model_server.work import Engine, Work

log = logging.getLogger(__name__)

Answer = Callable[[], Awaitable[Reply]]
Around = Callable[[Exchange, Answer], Awaitable[Reply | None]]
"""Wraps the function that answers a work exchange; None means that the connection was closed or reset."""


class App:
    """A bare ASGI application around one engine. Opened by the first request, on the loop that serves it."""

    def __init__(
        self,
        engine: Engine,
        settings: FaceSettings,
        policy: BatchPolicy,
        admission: AdmissionLimits,
        *,
        workers: int,
        running_max: int,
        running_queue_max: int,
        around: Around | None,
        extra_routes: Iterable[Route],
        jobs: JobBackend | None,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.routes = [*ROUTES, *extra_routes]
        self.around = around
        self.jobs = jobs
        self.draining = False
        # Set when the app is draining and no exchange is in flight.
        self.idle = asyncio.Event()
        self.counts = Counts(list(dict.fromkeys(route.path for route in self.routes if route.work)))
        self.metrics = Metrics()
        self.clock: Clock = _not_open
        self.dispatcher = Dispatcher(
            engine, policy, admission, workers=workers, clock=self._now, on_batch=self.metrics.batch
        )
        self.lane = Lane(engine, running_max=running_max, queue_max=running_queue_max, clock=self._now)
        self._table, self._patterns = tabulate(self.routes)
        self._key = settings.api_key.encode() if settings.api_key else None
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        note = engine.info.note
        self._note = None if note is None else note.encode("latin-1", "replace")
        self._hanging: set[asyncio.Future[None]] = set()

    def _now(self) -> float:
        return self.clock()

    def open(self) -> None:
        """Bind to the running loop; called by the first request at the latest."""
        if self.clock is _not_open:
            self.clock = clock()
            self.engine.open()
            if self.jobs is not None:
                self.jobs.open(self)

    async def aclose(self) -> None:
        """Close the jobs; their open items are kept for the next process."""
        if self.jobs is not None and self.clock is not _not_open:
            await self.jobs.close()

    def find(self, method: str, path: str) -> tuple[Route, Decode | None] | None:
        """The route at a plain path, and the decoder of its bodies."""
        return self._table.get(path, {}).get(method)

    def _pattern_of(self, path: str) -> str:
        """The path of the route with a parameter that this path fits, under which it is counted; else the path."""
        for pattern, methods in self._patterns:
            if pattern.fullmatch(path):
                return next(iter(methods.values()))[0].path
        return path

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes; none if there is no such route."""
        found = self._table.get(path)
        if found is None:
            found = next((methods for pattern, methods in self._patterns if pattern.fullmatch(path)), {})
        return sorted(found)

    def job_endpoints(self) -> list[str]:
        """Paths whose bodies can be items of a job."""
        return [route.path for route in self.routes if route.method == "POST" and route.work]

    @property
    def in_flight(self) -> int:
        """Exchanges on work routes that are not over."""
        return sum(book.in_flight for book in self.counts.routes.values())

    def drain(self) -> None:
        """Refuse new work with 503 from now on, and end the exchanges that are never answered."""
        self.draining = True
        for future in self._hanging:
            _release(future)
        if not self.in_flight:
            self.idle.set()

    async def hang(self, exchange: Exchange) -> None:
        """Never answer. Returns when the server stops; raises `ClientGone` when the client disconnects."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging.add(future)
        exchange.when_gone(lambda: _release(future))
        try:
            await future
        finally:
            self._hanging.discard(future)
        if exchange.gone:
            raise ClientGone

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        if self.clock is _not_open:
            self.open()
        exchange = Exchange(scope, receive, send, self.clock())
        exchange.note = self._note
        if self._cors is not None:
            exchange.cors = self._cors.headers(exchange)
        methods = self._table.get(scope["path"])
        book = self.counts.routes.get(scope["path"] if methods is not None else self._pattern_of(scope["path"]))
        if book is None:
            await self._converse(exchange, methods)
            return
        book.seen += 1
        exchange.book = book
        try:
            await self._converse(exchange, methods)
        finally:
            self._close(exchange, book)

    def _close(self, exchange: Exchange, book: RouteCounts) -> None:
        exchange.close()
        status = exchange.status
        if exchange.outcome is not None:
            outcome = exchange.outcome
        elif exchange.gone or (exchange.connection is not None and exchange.connection.lost):
            outcome = "disconnected"
        elif 200 <= status < 300:
            outcome = "finished"
        else:
            outcome = "refused" if status in (429, 503) else "failed"
        book.close(outcome)
        self.metrics.exchange(exchange, outcome, self.clock())
        if self.draining and not self.in_flight:
            self.idle.set()

    async def _converse(self, exchange: Exchange, methods: Methods | None) -> None:
        route: Route | None = None
        try:
            reply = None
            if self._cors is not None:
                reply = self._cors.preflight(exchange, allowed_methods(exchange, methods, self._patterns))
            if reply is None:
                route, decode = route_of(exchange, methods, self._patterns)
                reply = await self._reply(exchange, route, decode)
            if reply is not None:
                await reply.write(exchange)
        except ClientGone:
            exchange.gone = True
        except ApiError as error:
            await _refusal(error, route, exchange).write(exchange)
        except asyncio.CancelledError:
            exchange.outcome = exchange.outcome or "broken"
            raise
        except Exception:
            log.exception("unexpected error in %s", exchange.path)
            exchange.outcome = "failed"
            if exchange.status:
                # The status was already sent: the server closes the connection.
                raise
            problem = ApiError(500, "internal error", code="internal_error", type="server_error")
            await _refusal(problem, route, exchange).write(exchange)

    async def _reply(self, exchange: Exchange, route: Route, decode: Decode | None) -> Reply | None:
        if self._key is not None and not route.open:
            check_key(exchange, self._key)
        if not route.work:
            return await self._answer(exchange, route, decode)
        if self.draining:
            raise draining()
        if not self.engine.ready:
            raise starting()
        if self.around is None:
            return await self._answer(exchange, route, decode)
        return await self.around(exchange, lambda: self._answer(exchange, route, decode))

    async def _answer(self, exchange: Exchange, route: Route, decode: Decode | None) -> Reply:
        if decode is None:
            return await route.handler(self, exchange, None)
        encoding = exchange.headers.get(b"content-encoding")
        packed = encoding is not None and is_gzip(encoding)
        body, whole = await exchange.body(self.settings.body_max_bytes, self.settings.body_timeout_s)
        if packed:
            body = unpacked(body, self.settings.body_max_bytes)
        if not whole:
            # A request arrives with the last byte of its body.
            exchange.arrived = self.clock()
        return await route.handler(self, exchange, decode(body))

    async def run(self, exchange: Exchange, works: list[Work]) -> list[Work]:
        """Queue the items of this exchange, wait for their outputs and set its timing. Route functions call it."""
        is_long = self.engine.is_long
        if long := [work for work in works if is_long(work.kind, work.inputs)]:
            await self.dispatcher.prepare(long, len(works))
        call = self.dispatcher.submit(works, exchange.arrived, exchange.deadline)
        if call.pending or call.error is not None:
            exchange.when_gone(lambda: self.dispatcher.cancel(call))
            await self.dispatcher.wait(call)
        exchange.truncated = sum([work.truncate for work in works])
        batch = call.batch
        if batch is not None:
            exchange.timing = Timing(
                call.started - exchange.arrived, call.ended - call.started, len(batch.works), batch.length, batch.tokens
            )
        return works


def create_app(
    engine: Engine,
    settings: FaceSettings | None = None,
    *,
    policy: BatchPolicy | None = None,
    admission: AdmissionLimits | None = None,
    workers: int = 1,
    running_max: int = 0,
    running_queue_max: int = 4096,
    around: Around | None = None,
    extra_routes: Iterable[Route] = (),
    jobs: JobBackend | None = None,
) -> App:
    """The ASGI app of `engine`.

    At most `workers` batches and `running_max` sequences run at the same time (0: no bound); `running_queue_max`
    sequences may wait. `around` wraps every work exchange, `extra_routes` are added to the table, and `jobs` is the
    backend of jobs.
    """
    return App(
        engine,
        settings or FaceSettings(),
        policy or BatchPolicy(),
        admission or AdmissionLimits(),
        workers=workers,
        running_max=running_max,
        running_queue_max=running_queue_max,
        around=around,
        extra_routes=extra_routes,
        jobs=jobs,
    )


def _refusal(error: ApiError, route: Route | None, exchange: Exchange) -> Reply:
    if route is not None and route.translate is not None:
        sent = route.translate(error)
    else:
        sent = error.for_tei() if exchange.tei or (route is not None and route.tells_as_tei(error)) else error
    return Reply(sent.body(), sent.status, sent.headers())


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _not_open() -> float:
    raise RuntimeError("the app is not open: await a request, or call open() on the running loop")


async def _lifespan(scope: Scope, receive: Receive, send: SendMessage) -> None:
    if scope["type"] != "lifespan":
        raise ValueError(f"not an HTTP scope: {scope['type']}")
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
