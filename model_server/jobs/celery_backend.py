"""The backend whose work is done by `paceline worker` processes: Celery carries the chunks, Redis keeps the jobs.

Rules of this file
  1. A job is in Redis before its first chunk is sent. A server that dies between the two leaves it marked as not handed
     over, and the next server (or the same request once more, with its Idempotency-Key) does that.
  2. A chunk is a job's id and a range: it may be delivered twice, its items are stored once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import redis
from kombu.exceptions import OperationalError

from model_server.errors import ApiError
from model_server.jobs.job import ItemResult, Job, JobSettings, NewJob
from model_server.jobs.queue import CHUNK, QUEUE, TASK, celery_app
from model_server.jobs.redis_store import RedisStore

if TYPE_CHECKING:
    from model_server.app import App

log = logging.getLogger(__name__)


class CeleryJobs:
    """Jobs on the Redis at `url` (redis://HOST:PORT/DB)."""

    def __init__(self, url: str, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        self._url = url
        self._thread = ThreadPoolExecutor(1, "jobs-sender")
        self._celery: Any = None
        self._store: RedisStore | None = None
        self._recovery: asyncio.Task[None] | None = None

    def open(self, app: App) -> None:
        self._celery = celery_app(self._url, self.settings)
        self._store = RedisStore(self._url, self.settings)
        self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        self._thread.shutdown()
        if self._celery is not None:
            self._celery.close()
        if self._store is not None:
            await self._store.close()

    async def _recover(self) -> None:
        with contextlib.suppress(ApiError):  # a Redis that is away is told to whoever asks for a job
            async with self._asked() as store:
                for job in await store.not_enqueued():
                    await self._hand_over(store, job)

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        async with self._asked() as store:
            job, is_new = await store.add(new)
            if is_new or (job.completed_at is None and not await store.enqueued(job.id)):
                await self._hand_over(store, job)
            return job, is_new

    async def _hand_over(self, store: RedisStore, job: Job) -> None:
        def send() -> None:
            with self._celery.producer_pool.acquire(block=True) as producer:
                for start in range(0, job.total, CHUNK):
                    count = min(CHUNK, job.total - start)
                    self._celery.send_task(TASK, args=[job.id, start, count], queue=QUEUE, producer=producer)

        await asyncio.get_running_loop().run_in_executor(self._thread, send)
        await store.mark_enqueued(job.id)

    async def get(self, job_id: str) -> Job | None:
        async with self._asked() as store:
            return await store.get(job_id)

    async def page(self, limit: int, after: str | None) -> list[Job]:
        async with self._asked() as store:
            return await store.page(limit, after)

    async def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        async with self._asked() as store:
            return await store.results(job_id, start, limit)

    async def cancel(self, job_id: str) -> Job | None:
        async with self._asked() as store:
            return await store.cancel(job_id)

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[RedisStore]:
        """The store; a Redis that does not answer is a 503."""
        assert self._store is not None  # noqa: S101 - `open` came first
        try:
            yield self._store
        except (redis.RedisError, OperationalError, OSError) as error:
            log.warning("redis: %s", error)
            message = "the jobs' Redis does not answer"
            raise ApiError(503, message, code="jobs_unavailable", type="server_error", retry_after_s=1.0) from error
