"""The shortest way from a client to a simulated server: a `Send` that calls the server's app in the same process.

Rules of this file
  1. Routes, limits, faults, admission, batching and engine are the real ones. The wire is left out: no socket, no HTTP
     parser, and for the simplest calls no JSON (`_plain`).
  2. Outcomes, stamps and time-outs are those of `harness.client.transport.async_http.HttpTransport`.
  3. Only the durations of the profile (and the network's delay, if set) take time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Self

from multidict import CIMultiDict

from harness.client.errors import BadResponse
from harness.client.task_calls import answers_of, plain_answers_of, stopped
from harness.client.tasks.similarity import Similarity
from harness.client.transport.attempt import AttemptSend
from harness.client.transport.outcomes import refuse
from harness.client.types import Outcome, Request, Response
from harness.experiment.simulate.asgi import Broken, Wire
from model_server.errors import ApiError
from model_server.http.app import App
from model_server.work import Work


class DirectSend(AttemptSend):
    """One exchange per call with `app`; use it with `async with`, on the loop that the app runs on."""

    faults = (Broken, BadResponse)

    def __init__(self, app: App, *, timeout_s: float = 60.0, endpoint: str = "simulated:") -> None:
        super().__init__(timeout_s)
        self._app = app
        self.endpoint = endpoint
        self._future: Callable[[], asyncio.Future[None]]

    async def __aenter__(self) -> Self:
        self._app.open()
        self._future = asyncio.get_running_loop().create_future
        await super().__aenter__()
        return self

    def _exchange(self, request: Request, response: Response) -> Awaitable[None]:
        plain = type(request.task) is Similarity and self._app.around is None and request.headers is None
        return self._plain(request, response) if plain else self._whole(request, response)

    def _outcome_of(self, error: Exception) -> tuple[Outcome, str]:
        return error.outcome if isinstance(error, BadResponse) else Outcome.connection_error, str(error)

    async def _plain(self, request: Request, response: Response) -> None:
        """One pair of texts to a server without limits and faults: straight into the queue."""
        app, data = self._app, request.items[0].data
        book = app.counts.routes["/similarity"]
        book.seen += 1
        work = Work("similarity", (data.text1, data.text2))
        try:
            call = app.dispatcher.submit([work], response.sent, math.inf)
            if call.pending and call.error is None:
                call.future = self._future()
                await call.future
            if call.error is not None:
                raise call.error
        except ApiError as error:
            book.close("refused" if error.status in (429, 503) else "failed")
            response.first_byte = response.done = self._now()
            response.status = error.status
            response.headers = _headers(error.headers())
            refuse(response, error.status, response.headers, error.body(), 0.0)
            return
        except asyncio.CancelledError:
            app.dispatcher.cancel(call)
            book.close("disconnected")
            raise
        book.close("finished")
        response.outcome = Outcome.ok
        response.status = 200
        response.answers = (work.output,)
        response.server_timing = f"queue;dur={1e3 * max(0.0, call.started - response.sent):.3f}"
        response.first_byte = response.done = self._now()
        if request.progress is not None:
            request.progress.first_byte = response.first_byte

    async def _whole(self, request: Request, response: Response) -> None:
        """Any call, with the bodies as sent over HTTP."""
        wire = Wire(request, self._now)
        try:
            await self._app(wire.scope, wire.receive, wire.send)
        finally:
            # A stream that is cut off has begun all the same.
            response.status = wire.status
            response.chunks = tuple(wire.stamps)
            response.first_byte = wire.stamps[0] if wire.stamps else wire.head_at
        if wire.broken and not wire.stopped_at >= 0.0:
            raise Broken(wire.broken)
        response.headers = headers = _headers(wire.headers)
        response.server_timing = headers.get("Server-Timing")
        if wire.status not in request.answered:
            response.done = self._now()
            refuse(response, wire.status, headers, b"".join(wire.parts), 0.0)
        elif request.stream:
            self._stream(request, response, wire)
        else:
            if request.progress is not None:
                request.progress.first_byte = wire.head_at
            response.answers = plain_answers_of(request, b"".join(wire.parts))
            response.outcome = Outcome.ok
            response.done = self._now()

    def _stream(self, request: Request, response: Response, wire: Wire) -> None:
        if wire.stopped_at >= 0.0:
            response.done = wire.stopped_at
            stopped(request, response, wire.events)
            return
        wire.events += wire.splitter.close()
        response.answers = answers_of(request, wire.splitter, wire.events)
        response.outcome = Outcome.ok
        response.done = self._now()


def _headers(fields: Any) -> CIMultiDict[str]:
    return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
