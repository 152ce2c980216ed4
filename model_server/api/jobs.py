"""Jobs over HTTP: /v1/jobs, similar to OpenAI's batches, and /submit_batch with /task_status/{id}."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from model_server.api._texts import SOME
from model_server.errors import ApiError, draining, invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply
from model_server.http.routes import Route
from model_server.jobs.execute import check, route_of
from model_server.jobs.job import OVER, ItemResult, Job, JobBackend, NewJob

if TYPE_CHECKING:
    from model_server.http.app import App

PAGE_MAX = 1000
CHECKED_AT_ONCE = 200
KEY_MAX = 256
POLL_AFTER_S = 0.02
"""Poll interval that is suggested to clients."""

_encode = msgspec.json.Encoder().encode


class JobBody(msgspec.Struct):
    """A job. Each input is a request body of `endpoint` (`/fill-mask`; or `task`: `fill-mask`)."""

    inputs: Annotated[list[msgspec.Raw], SOME]
    endpoint: str | None = None
    task: str | None = None


class BatchBody(msgspec.Struct):
    """Texts for a task that takes one text. A bare list of texts means the default task."""

    texts: Annotated[list[str], SOME]
    task: str = "fill-mask"


class RequestCounts(msgspec.Struct):
    """Counts of a job's items."""

    total: int
    completed: int
    failed: int


class JobAnswer(msgspec.Struct):
    """State of a job; instants are Unix time in seconds."""

    id: str
    object: str
    endpoint: str
    status: str
    request_counts: RequestCounts
    progress: float
    created_at: float
    started_at: float | None
    completed_at: float | None
    expires_at: float | None


class JobList(msgspec.Struct):
    """A page of jobs, latest first."""

    object: str
    data: list[JobAnswer]
    has_more: bool


class ResultEntry(msgspec.Struct):
    """The answer to one item: status and body of its route."""

    index: int
    status: int
    body: msgspec.Raw


class ResultList(msgspec.Struct):
    """A page of results by index; while `has_more` is true, the next page begins at `start` = `next_start`."""

    object: str
    data: list[ResultEntry]
    has_more: bool
    next_start: int


class BatchAnswer(msgspec.Struct):
    """An accepted batch; its state is at /task_status/{task_id}."""

    task_id: str
    message: str


class TaskStatus(msgspec.Struct, omit_defaults=True):
    """`state` as in Celery; with SUCCESS there is a `result`, else `status` describes the state."""

    state: str
    status: str | None = None
    result: list[msgspec.Raw] | None = None


def backend_of(app: App) -> JobBackend:
    """The server's jobs; 404 if it has none."""
    if app.jobs is None:
        raise ApiError(404, "this server was started without jobs", code="no_jobs")
    return app.jobs


async def submit(app: App, exchange: Exchange, body: JobBody) -> Reply:
    named = body.endpoint or body.task
    if named is None:
        raise invalid("endpoint: is required (or task)", "endpoint", "missing_field")
    endpoint = f"/{named.removeprefix('/')}"
    key = exchange.headers.get(b"idempotency-key", b"").decode("latin-1") or None
    job, _ = await _accept(app, endpoint, [bytes(raw) for raw in body.inputs], key, "inputs")
    reply = _job_reply(app, job, 202)
    reply.headers = [*(reply.headers or []), (b"location", f"/v1/jobs/{job.id}".encode())]
    return reply


async def submit_batch(app: App, exchange: Exchange, body: BatchBody | list[str]) -> Reply:
    if isinstance(body, list):
        body = BatchBody(body)
    inputs = [_encode({"text": text}) for text in body.texts]
    job, _ = await _accept(app, "/" + body.task.removeprefix("/"), inputs, None, "texts")
    return Reply(_encode(BatchAnswer(job.id, f"{job.total} texts accepted; ask GET /task_status/{job.id}")))


async def _accept(app: App, endpoint: str, inputs: list[bytes], key: str | None, param: str) -> tuple[Job, bool]:
    backend = backend_of(app)
    if app.draining:
        raise draining()
    if not inputs:
        raise invalid(f"{param}: must hold at least one item", param, "empty")
    if len(inputs) > backend.settings.items_max:
        message = f"{param}: holds {len(inputs)} items, over the limit of {backend.settings.items_max}"
        raise invalid(message, param, "too_many_items")
    if key is not None and len(key) > KEY_MAX:
        raise invalid(f"Idempotency-Key: is longer than {KEY_MAX}", "Idempotency-Key")
    route_of(app, endpoint)
    for index, raw in enumerate(inputs):
        if index % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1:
            # Other requests do not wait until a long job is checked.
            await asyncio.sleep(0)
        check(app, endpoint, raw, index)
    job, is_new = await backend.submit(NewJob(f"job_{uuid.uuid4().hex}", endpoint, inputs, time.time(), key))
    if is_new:
        app.counts.accept(job.total)
    return job, is_new


async def _found(app: App, exchange: Exchange) -> Job:
    backend, job_id = backend_of(app), exchange.params["id"]
    job = await backend.get(job_id) if _is_id(job_id) else None
    if job is None:
        message = f"no job {job_id[:80]!r}: unknown or expired"
        raise ApiError(404, message, code="job_not_found", param="id")
    return job


_is_id = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
"""Format of a job id. Backends only get ids of this format, so an id cannot collide with their other keys."""


async def get(app: App, exchange: Exchange, body: None) -> Reply:
    return _job_reply(app, await _found(app, exchange))


async def page(app: App, exchange: Exchange, body: None) -> Reply:
    backend = backend_of(app)
    limit = _number(exchange, "limit", 20, 1, PAGE_MAX)
    after = exchange.query.get("after")
    if after is not None and not _is_id(after):
        raise invalid(f"after: {after[:80]!r} is not the id of a job", "after")
    jobs = await backend.page(limit + 1, after)
    answers = [_answer(app, job) for job in jobs[:limit]]
    return Reply(_encode(JobList("list", answers, len(jobs) > limit)))


async def results(app: App, exchange: Exchange, body: None) -> Reply:
    job = await _found(app, exchange)
    start = _number(exchange, "start", 0, 0, 1 << 31)
    limit = _number(exchange, "limit", PAGE_MAX, 1, PAGE_MAX)
    found = await backend_of(app).results(job.id, start, limit + 1)
    entries = [ResultEntry(item.index, item.status, msgspec.Raw(item.body)) for item in found[:limit]]
    following = entries[-1].index + 1 if entries else start
    return Reply(_encode(ResultList("list", entries, len(found) > limit, following)))


async def cancel(app: App, exchange: Exchange, body: None) -> Reply:
    job = await _found(app, exchange)
    return _job_reply(app, await backend_of(app).cancel(job.id) or job)


async def task_status(app: App, exchange: Exchange, body: None) -> Reply:
    job = await _found(app, exchange)
    if job.status == "cancelled":
        return Reply(_encode(TaskStatus("REVOKED", f"cancelled after {job.done} of {job.total}")))
    if job.status == "queued":
        return Reply(_encode(TaskStatus("PENDING", f"{job.total} texts wait")))
    if job.status not in OVER:
        return Reply(_encode(TaskStatus("PROGRESS", f"{job.done} of {job.total} done")))
    items: list[ItemResult] = []
    while len(items) < job.total:
        found = await backend_of(app).results(job.id, len(items), PAGE_MAX)
        if not found:
            break
        items += found
    if job.status == "failed":
        return Reply(_encode(TaskStatus("FAILURE", _message(items[0].body) if items else "failed")))
    return Reply(_encode(TaskStatus("SUCCESS", result=[msgspec.Raw(item.body) for item in items])))


def _message(body: bytes) -> str:
    return str(msgspec.json.decode(body).get("error", {}).get("message", "failed"))


def _number(exchange: Exchange, name: str, default: int, low: int, high: int) -> int:
    given = exchange.query.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or not low <= int(given[:20]) <= high:
        raise invalid(f"{name}: {given[:40]!r} is not a whole number in {low}..{high}", name)
    return int(given)


def _answer(app: App, job: Job) -> JobAnswer:
    keep_s = backend_of(app).settings.keep_s
    return JobAnswer(
        job.id,
        "job",
        job.endpoint,
        job.status,
        RequestCounts(job.total, job.completed, job.failed),
        job.done / job.total,
        job.created_at,
        job.started_at,
        job.completed_at,
        None if job.completed_at is None else job.completed_at + keep_s,
    )


def _job_reply(app: App, job: Job, status: int = 200) -> Reply:
    headers = None
    if job.status not in OVER:
        headers = [(b"retry-after", b"1"), (b"retry-after-ms", b"%d" % (POLL_AFTER_S * 1000))]
    return Reply(_encode(_answer(app, job)), status, headers)


def _route(method: str, path: str, handler: Any, summary: str, answer: Any, **more: Any) -> Route:
    statuses = more.pop("statuses", (404,))
    return Route(method, path, handler, summary, "jobs", answer=answer, work=False, statuses=statuses, **more)


ROUTES = [
    _route(
        "POST",
        "/submit_batch",
        submit_batch,
        "Submit texts as a job",
        BatchAnswer,
        request=BatchBody | list[str],
        request_forms=(BatchBody, Annotated[list[str], SOME]),
        statuses=(404, 503),
    ),
    _route("GET", "/task_status/{id}", task_status, "State and results of the texts", TaskStatus),
    _route(
        "POST",
        "/v1/jobs",
        submit,
        "Submit request bodies of one route as a job",
        JobAnswer,
        request=JobBody,
        status=202,
        statuses=(404, 409, 503),
    ),
    _route("GET", "/v1/jobs", page, "The jobs, latest first", JobList),
    _route("GET", "/v1/jobs/{id}", get, "State of a job", JobAnswer),
    _route("GET", "/v1/jobs/{id}/results", results, "Results by index, page by page", ResultList),
    _route("POST", "/v1/jobs/{id}/cancel", cancel, "Cancel a job: no further item is computed", JobAnswer),
    _route("DELETE", "/v1/jobs/{id}", cancel, "Cancel a job", JobAnswer),
]
