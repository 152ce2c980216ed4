"""What a job is, what its items come to, and what a backend must be able to do."""

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
"""A job in one of these changes no more."""
SECONDS_MAX = 366 * 24 * 3600
TOGETHER_MAX = 2
"""Items that were being computed when the process died, as often as this, are computed one by one the next time."""
ALONE_MAX = 3
"""An item that ended so many processes by itself is answered with an error."""


@dataclass(frozen=True)
class JobSettings:
    """Bounds and patience of a backend; seconds, and numbers of items."""

    items_max: int = 20_000  # in one job
    waiting_max: int = 200_000  # items accepted and not done, of all jobs
    concurrency: int = 16  # items in the batcher at once, so that live traffic is not crowded out
    retries: int = 3  # of an item that met a server error
    retry_delay_s: float = 10.0
    keep_s: float = 3600.0  # a job and its results, from its end

    def __post_init__(self) -> None:
        for name, low in (("items_max", 1), ("waiting_max", 1), ("concurrency", 1), ("retries", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be an integer >= {low}")
        for name in ("retry_delay_s", "keep_s"):
            if not 0 <= getattr(self, name) <= SECONDS_MAX:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be a number in 0..{SECONDS_MAX}")


class JobsError(OSError):
    """Jobs cannot be kept: a file, a Redis or a package is missing; the message says which and what to do."""


class NewJob(msgspec.Struct, frozen=True):
    """A job as it was asked for; its inputs are checked, and kept as they came."""

    id: str
    endpoint: str
    inputs: list[bytes]
    created_at: float  # wall clock: it outlives the process
    key: str | None = None  # Idempotency-Key

    @property
    def fingerprint(self) -> str:
        """The same for the same endpoint and inputs: what an Idempotency-Key must not be used twice for."""
        digest = sha256(self.endpoint.encode())
        for body in self.inputs:
            digest.update(b"%d:" % len(body))
            digest.update(body)
        return digest.hexdigest()


class Job(msgspec.Struct, frozen=True):
    """Where a job stands."""

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
    """What came of one item: its place in the job, and the status and body that the route answered."""

    index: int
    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status == 200


class JobBackend(Protocol):
    """Keeps jobs and has them worked through. Its methods run on the server's loop and never block it."""

    settings: JobSettings

    @property
    def problem(self) -> str | None:
        """Why jobs are not worked through at present, for /ready and whoever submits; None while all is well."""
        ...

    def open(self, app: App) -> None:
        """Called once, on the running loop."""
        ...

    async def close(self) -> None:
        """Stop; what was accepted is kept."""
        ...

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Accept a job; (the job, whether it is a new one). The same key and inputs give the job of the first time.

        Raises `ApiError` 409 for the same key with other inputs, 503 when there is no room."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """None if there is no such job, or no more."""
        ...

    async def page(self, limit: int, after: str | None) -> list[Job]:
        """The latest first, beginning behind job `after`."""
        ...

    async def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        """Those there are of the items from `start` on, by index."""
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Compute no further item of it: `cancelling` while some are being computed, then `cancelled`."""
        ...


def status_of(total: int, failed: int, done: int, *, cancelled: bool, started: bool, over: bool) -> Status:
    """The status that follows from the counts; what was cancelled ends as cancelled, whatever was done by then."""
    if cancelled:
        return "cancelled" if over else "cancelling"
    if done >= total:
        return "failed" if failed == total else "completed"
    return "in_progress" if started else "queued"


def key_conflict(key: str) -> ApiError:
    """The key was used for something else."""
    message = f"Idempotency-Key: {key!r} was used for another job with other inputs"
    return ApiError(409, message, code="idempotency_conflict", param="Idempotency-Key")


def unavailable(message: str) -> ApiError:
    """What keeps the jobs does not work at present."""
    return ApiError(503, message, code="jobs_unavailable", type="server_error", retry_after_s=1.0)


def item_error(message: str, code: str) -> bytes:
    """The body of an item that was given up, as its route would have told it."""
    return ApiError(500, message, code=code, type="server_error").body()


def ended_worker(index: int, times: int) -> ItemResult:
    """The result of an item that ends whatever computes it."""
    message = f"the worker ended {times} times while it computed this item alone; it is not tried again"
    return ItemResult(index, 500, item_error(message, "item_ended_worker"))


def no_room(waiting: int, new: int, settings: JobSettings, rate_per_s: float) -> ApiError:
    """Too many items wait; come back when as many as this job has are done."""
    message = f"{waiting} items wait already and this job has {new}, over the limit of {settings.waiting_max}"
    return full(message, (waiting + new - settings.waiting_max) / rate_per_s if rate_per_s > 0 else 1.0)
