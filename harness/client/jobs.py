"""Jobs of a server (`/v1/jobs`): submit many requests at once, poll until they are done, collect their answers.

Rules of this file
  1. A job is never submitted twice: each submission carries an Idempotency-Key, so it may be repeated safely.
  2. A failed poll is repeated as long as a caller waits: a server that restarts still has the job.
  3. Each item gets the status and body that its own route would have given, through the same checks as if it had been
     sent alone. An item counts as one exchange; polls are not counted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.base.clock import clock
from harness.client.checks import between, positive
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.task_calls import plain_answers_of
from harness.client.tasks._decode import decode
from harness.client.transport.outcomes import outcome_of_status
from harness.client.transport.retry_after import retry_after_s
from harness.client.types import Outcome, Request, Response, Send

PATH = "/v1/jobs"
PAGE = 1000
OVER = frozenset({"completed", "failed", "cancelled"})
_encode = msgspec.json.Encoder().encode


class JobCounts(msgspec.Struct, frozen=True):
    """Items of a job."""

    total: int
    completed: int
    failed: int


class JobState(msgspec.Struct, frozen=True):
    """State of a job, as the server reports it."""

    id: str
    status: str
    endpoint: str
    request_counts: JobCounts
    progress: float

    @property
    def over(self) -> bool:
        return self.status in OVER


class JobItem(msgspec.Struct, frozen=True):
    """The answer of the route to one item of a job."""

    index: int
    status: int
    body: msgspec.Raw


class _Page(msgspec.Struct, frozen=True):
    data: list[JobItem]
    has_more: bool
    next_start: int


class JobError(Exception):
    """A call to the jobs API failed for good.

    Args:
        response: The last answer to the failed call.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.error or response.outcome.name)
        self.response = response


class _Asked:
    """A call to the jobs API as a task, so that any transport can carry it."""

    name = "jobs"

    def __init__(self, shape: Any) -> None:
        self._decoder = msgspec.json.Decoder(shape)

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        return (decode(self._decoder, body),)


_STATE: Any = _Asked(JobState)
_PAGE: Any = _Asked(_Page)
_RETRIABLE = frozenset(
    {Outcome.rejected, Outcome.timed_out, Outcome.server_error, Outcome.connection_error, Outcome.bad_response}
)


@dataclass(frozen=True)
class Polling:
    """Polling intervals: from `first_s`, growing by half each time to `longest_s`; a server may ask for longer.

    Args:
        first_s: Seconds before the first poll. Default 0.02.
        longest_s: Upper bound of the seconds between two polls. Default 1.0.
        tries: Attempts at one call before it has failed for good. Default 8.
    """

    first_s: float = 0.02
    longest_s: float = 1.0
    tries: int = 8

    def __post_init__(self) -> None:
        positive(self, "first_s", "longest_s")
        between(self, 1, 1000, "tries")

    def wait_s(self, number: int) -> float:
        """Seconds before poll `number` (from 0)."""
        return min(self.longest_s, self.first_s * 1.5 ** min(number, 60))


class JobClient:
    """The jobs API through a `send` (a transport, or one with layers around it).

    Args:
        send: Transport, or one with layers around it.
        polling: How often to ask. Default None: `Polling()`.
    """

    def __init__(self, send: Send, polling: Polling | None = None) -> None:
        self._send = send
        self._polling = polling or Polling()

    async def submit(self, requests: Sequence[Request], key: str | None = None) -> JobState:
        """Submit these requests, which must be for one path, as one job; raises `JobError` if it is not accepted.

        `key`: the Idempotency-Key; the same one gives the same job, also days later from another process.
        """
        paths = {request.path for request in requests}
        if len(paths) != 1:
            raise ValueError(f"a job is for one path, not {sorted(paths)}")
        body = _encode({"endpoint": paths.pop(), "inputs": [msgspec.Raw(request.body) for request in requests]})
        headers = {"Idempotency-Key": key or uuid.uuid4().hex, "Content-Type": "application/json"}
        state: JobState = await self._ask(Request((), _STATE, PATH, body, headers=headers), refused=True)
        return state

    async def state(self, job_id: str) -> JobState:
        """The present state of a job; raises `JobError`."""
        state: JobState = await self._ask(Request((), _STATE, f"{PATH}/{job_id}", b"", method="GET"))
        return state

    async def wait(self, job_id: str, on_state: Callable[[JobState], None] = lambda state: None) -> JobState:
        """Wait until the job is over; `on_state` gets every state on the way. Any process may wait, by the job's id."""
        number, asked_s = 0, 0.0
        while True:
            await asyncio.sleep(max(self._polling.wait_s(number), asked_s))
            response = await self._answered(Request((), _STATE, f"{PATH}/{job_id}", b"", method="GET"))
            state: JobState = response.answers[0]
            on_state(state)
            if state.over:
                return state
            asked_s = retry_after_s(response.headers or {}, time.time()) or 0.0
            number += 1

    async def results(self, job_id: str) -> AsyncGenerator[JobItem, None]:
        """The results that are available, by index; raises `JobError`."""
        start, more = 0, True
        while more:
            path = f"{PATH}/{job_id}/results?start={start}&limit={PAGE}"
            page: _Page = await self._ask(Request((), _PAGE, path, b"", method="GET"))
            for item in page.data:
                yield item
            start, more = page.next_start, page.has_more

    async def responses(
        self, job_id: str, requests: Sequence[Request], sent: float | None = None
    ) -> AsyncGenerator[tuple[int, Response], None]:
        """The results as responses to the requests that the job was made of, in their order: (index, response).

        `sent`: when the job was submitted, on the running loop's clock; without it, now. With a job's id and its
        input, any later process can collect what an earlier one asked for. Raises `JobError`.
        """
        now = clock()
        began = now() if sent is None else sent
        async for item in self.results(job_id):
            yield item.index, _response(requests[item.index], item, began, now())

    async def cancel(self, job_id: str) -> JobState:
        """Cancel a job: no further item of it is computed."""
        state: JobState = await self._ask(Request((), _STATE, f"{PATH}/{job_id}/cancel", b""))
        return state

    async def _ask(self, request: Request, refused: bool = False) -> Any:
        return (await self._answered(request, refused)).answers[0]

    async def _answered(self, request: Request, refused: bool = False) -> Response:
        """A good answer, after retries if necessary; with `refused`, a refusal is returned to the caller."""
        for number in range(self._polling.tries):
            response = await self._send(request)
            if response.outcome is Outcome.ok:
                return response
            if response.outcome not in _RETRIABLE or (refused and response.outcome is Outcome.rejected):
                break
            await asyncio.sleep(max(self._polling.wait_s(number + 3), response.retry_after_s or 0.0))
        raise JobError(response)


class JobSend:
    """A `Send` that submits requests as jobs: up to `size` requests that arrive together form one job.

    Close it with `aclose`.

    Args:
        send: Transport, or one with layers around it.
        size: Upper bound of requests in a job.
        jobs: Upper bound of jobs at the server at a time.
        linger_s: Seconds that a request waits for others to join its job. Default 0.005.
        polling: How often to ask. Default None: `Polling()`.
    """

    def __init__(
        self, send: Send, *, size: int, jobs: int, linger_s: float = 0.005, polling: Polling | None = None
    ) -> None:
        self._client = JobClient(send, polling)
        self._size = size
        self._linger_s = linger_s
        self._slots = asyncio.Semaphore(jobs)
        self._waiting: dict[str, list[tuple[Request, asyncio.Future[Response]]]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._now = clock()

    async def __call__(self, request: Request, /) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(request.path, [])
        waiting.append((request, future))
        if len(waiting) == self._size:
            self._flush(request.path)
        elif len(waiting) == 1:
            asyncio.get_running_loop().call_later(self._linger_s, self._flush, request.path, waiting)
        return await future

    async def aclose(self) -> None:
        """Cancel the jobs in flight, at the server too."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _flush(self, path: str, only: list[tuple[Request, asyncio.Future[Response]]] | None = None) -> None:
        waiting = self._waiting.get(path)
        if waiting and (only is None or only is waiting):
            del self._waiting[path]
            task = asyncio.get_running_loop().create_task(self._run(waiting))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, group: list[tuple[Request, asyncio.Future[Response]]]) -> None:
        async with self._slots:
            group = [(request, future) for request, future in group if not future.done()]
            if group:
                await self._one_job(group)

    async def _one_job(self, group: list[tuple[Request, asyncio.Future[Response]]]) -> None:
        sent, job_id = self._now(), None
        try:
            state = await self._client.submit([request for request, _ in group])
            job_id = state.id
            await self._client.wait(job_id)
            async with aclosing(self._client.responses(job_id, [request for request, _ in group], sent)) as responses:
                async for index, response in responses:
                    if not group[index][1].done():
                        group[index][1].set_result(response)
            self._settle(group, Response(Outcome.cancelled, sent=sent, error="the job was cancelled at the server"))
        except JobError as error:
            failed = error.response
            if job_id is None:  # nothing was accepted: no item is on the wire
                failed = msgspec.structs.replace(failed, sent=float("nan"), first_byte=float("nan"))
            self._settle(group, failed)
        except asyncio.CancelledError:
            if job_id is not None:
                await asyncio.shield(self._cancel(job_id))
            raise
        except Exception as error:  # such as a user-defined transport that raises: no caller may wait for ever
            why = excerpt(f"{type(error).__name__}: {error}", 300)
            self._settle(group, Response(Outcome.bad_response, sent=sent, error=why))

    async def _cancel(self, job_id: str) -> None:
        try:
            await self._client.cancel(job_id)
        except JobError:
            return  # the job or the server is gone: nothing to cancel

    def _settle(self, group: list[tuple[Request, asyncio.Future[Response]]], response: Response) -> None:
        for _, future in group:
            if not future.done():
                future.set_result(msgspec.structs.replace(response, done=self._now()))


def _response(request: Request, item: JobItem, sent: float, now: float) -> Response:
    """An item's result as a response of a separate exchange, which began with the submission."""
    outcome, body = outcome_of_status(item.status), bytes(item.body)
    response = Response(outcome, item.status, sent=sent, first_byte=now, done=now)
    if outcome is Outcome.ok:
        try:
            response.answers = plain_answers_of(request, body)
        except BadResponse as error:
            response.outcome, response.error = Outcome.bad_response, excerpt(str(error), 300)
    else:
        response.error = f"HTTP {item.status}: {excerpt(body, 200)}"
    return response
