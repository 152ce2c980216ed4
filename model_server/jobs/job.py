"""Jobs, the results of their items, and the protocol of a backend."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from model_server.errors import ApiError, full

if TYPE_CHECKING:
    from model_server.http.app import App

Status = Literal["queued", "in_progress", "completed", "failed", "cancelling", "cancelled"]
OVER: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
"""Final states of a job."""
SECONDS_MAX = 366 * 24 * 3600
TOGETHER_MAX = 2
"""After this number of deaths of the process during their computation, items are computed one by one."""
ALONE_MAX = 3
"""An item that ended this number of processes by itself gets an error as its result."""


@dataclass(frozen=True)
class JobSettings:
    """Bounds, retries and retention of a backend.

    A job has at most `items_max` items, and all jobs together at most `waiting_max` open items. At most `concurrency`
    items are in the batcher at the same time, so that other requests are not delayed. An item with a server error is
    retried `retries` times. A job and its results are kept for `keep_s` after its end.
    """

    items_max: int = 20_000
    waiting_max: int = 200_000
    concurrency: int = 16
    retries: int = 3
    retry_delay_s: float = 10.0
    keep_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, low in (("items_max", 1), ("waiting_max", 1), ("concurrency", 1), ("retries", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be an integer >= {low}")
        for name in ("retry_delay_s", "keep_s"):
            if not 0 <= getattr(self, name) <= SECONDS_MAX:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be a number in 0..{SECONDS_MAX}")


class JobsError(OSError):
    """Jobs cannot be stored: a file, a Redis or a package is missing; the message names it and the remedy."""


class NewJob(msgspec.Struct, frozen=True):
    """A requested job; its inputs are checked, and kept unchanged."""

    id: str
    endpoint: str
    inputs: list[bytes]
    created_at: float  # wall clock, valid for later processes too
    key: str | None = None  # Idempotency-Key

    @property
    def fingerprint(self) -> str:
        """A hash of endpoint and inputs: an Idempotency-Key must not be used with two of them."""
        digest = sha256(self.endpoint.encode())
        for body in self.inputs:
            digest.update(b"%d:" % len(body))
            digest.update(body)
        return digest.hexdigest()


class Job(msgspec.Struct, frozen=True):
    """State of a job."""

    id: str
    endpoint: str
    status: Status
    total: int
    completed: int  # items with an answer
    failed: int  # items with an error
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None

    @property
    def done(self) -> int:
        return self.completed + self.failed


class ItemResult(msgspec.Struct, frozen=True, array_like=True):
    """The result of one item: its index in the job, and the status and body of the route's answer."""

    index: int
    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status == 200


class JobBackend(Protocol):
    """Stores jobs and has them computed. Its methods run on the server's loop and never block it."""

    settings: JobSettings

    @property
    def problem(self) -> str | None:
        """The reason why jobs are not computed at present, for /ready and new jobs; None if there is none."""
        ...

    def open(self, app: App) -> None:
        """Called once, on the running loop."""
        ...

    async def close(self) -> None:
        """Stop; accepted jobs are kept."""
        ...

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Accept a job; returns the job, and True if it is new. The same key and inputs give the first job again.

        Raises `ApiError` 409 for the same key with other inputs, 503 if too many items wait."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """The job; None if it is unknown or expired."""
        ...

    async def page(self, limit: int, after: str | None) -> list[Job]:
        """The jobs, latest first, that come after job `after` in this order."""
        ...

    async def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        """The existing results of the items from `start` on, by index."""
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Compute no further item of a job: it is `cancelling` while items are in computation, then `cancelled`."""
        ...


def status_of(total: int, failed: int, done: int, *, cancelled: bool, started: bool, over: bool) -> Status:
    """The status by the counts; a cancelled job ends as cancelled, even if all items are done."""
    if cancelled:
        return "cancelled" if over else "cancelling"
    if done >= total:
        return "failed" if failed == total else "completed"
    return "in_progress" if started else "queued"


def key_conflict(key: str) -> ApiError:
    """The error for an Idempotency-Key that was used for another job."""
    message = f"Idempotency-Key: {key!r} was used for another job with other inputs"
    return ApiError(409, message, code="idempotency_conflict", param="Idempotency-Key")


def unavailable(message: str) -> ApiError:
    """The error while the backend cannot be used."""
    return ApiError(503, message, code="jobs_unavailable", type="server_error", retry_after_s=1.0)


def item_error(message: str, code: str) -> bytes:
    """The error body of an item that was given up, in its route's format."""
    return ApiError(500, message, code=code, type="server_error").body()


def ended_worker(index: int, times: int) -> ItemResult:
    """The result of an item that ends every process that computes it."""
    message = f"the worker ended {times} times while it computed this item alone; it is not tried again"
    return ItemResult(index, 500, item_error(message, "item_ended_worker"))


def no_room(waiting: int, new: int, settings: JobSettings, rate_per_s: float) -> ApiError:
    """The error for too many waiting items; its Retry-After is the time until there is room for this job."""
    message = f"{waiting} items wait already and this job has {new}, over the limit of {settings.waiting_max}"
    return full(message, (waiting + new - settings.waiting_max) / rate_per_s if rate_per_s > 0 else 1.0)
