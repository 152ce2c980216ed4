"""The Celery backend: `paceline worker` processes compute the jobs, Celery delivers chunks, Redis stores jobs.

Rules of this file
  1. A job is in Redis before its first chunk is sent. If the server dies between the two, the job is not marked as
     enqueued, and the next server (or the same request with its Idempotency-Key) sends the chunks.
  2. A chunk is a job's id and a range: it may be delivered twice, but its items are stored once.
  3. Lost chunks are sent again (`sweeping`); the sweeper never ends, and /ready reports its last error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import redis
from kombu.exceptions import OperationalError

from model_server.errors import ApiError
from model_server.jobs.job import ItemResult, Job, JobSettings, NewJob, unavailable
from model_server.jobs.queue import CHUNK, QUEUE, TASK, celery_app, chunk_id
from model_server.jobs.redis_store import RedisStore
from model_server.jobs.sweeping import SWEEP_S, Sweeper

if TYPE_CHECKING:
    from model_server.http.app import App

log = logging.getLogger(__name__)

REMEMBERED_MAX = 10_000
"""Bound on the open jobs whose loss by a restart of Redis a server can report."""


class CeleryJobs:
    """Jobs on the Redis at `url` (redis://HOST:PORT/DB)."""

    def __init__(self, url: str, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        self._url = url
        self._thread = ThreadPoolExecutor(1, "jobs-sender")
        self._celery: Any = None
        self._store: RedisStore | None = None
        self._sweeping: asyncio.Task[None] | None = None
        # The first sweep may find a job that `submit` is about to send: without the lock both would send it.
        self._sending = asyncio.Lock()
        self._problem: str | None = None
        self._run_id: str | None = None
        # Open jobs of this server, and the run id of the Redis that accepted them.
        self._accepted: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        return self._problem

    def open(self, app: App) -> None:
        self._celery = celery_app(self._url, self.settings)
        self._store = RedisStore(self._url, self.settings)
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._thread.shutdown()
        if self._celery is not None:
            self._celery.close()
        if self._store is not None:
            await self._store.close()

    async def _sweep(self) -> None:
        """Enqueue the jobs of a server that died, then sweep until this server ends."""
        assert self._store is not None  # noqa: S101 - `open` came first
        sweeper, recovered = Sweeper(self._store, self._send), False
        while True:
            try:
                await self._watch_redis(self._store)
                if not recovered:
                    for job in await self._store.not_enqueued():
                        await self._hand_over(self._store, job)
                    recovered = True
                await sweeper.sweep()
            except Exception as error:
                # The next sweep may succeed.
                if self._problem is None:
                    log.warning("the sweep of jobs failed: %s: %s", type(error).__name__, error)
                self._problem = f"the jobs' Redis does not answer: {error}"
            else:
                self._problem = None
            await asyncio.sleep(SWEEP_S)

    async def _watch_redis(self, store: RedisStore) -> None:
        """Log the jobs that a restart of Redis has lost, and forget the jobs that have ended."""
        run_id = await store.run_id()
        if self._run_id is None and await store.appends() is False:
            log.warning("Redis keeps no append-only file: if it restarts, jobs are lost (appendonly yes prevents that)")
        lost = 0
        for job_id in list(self._accepted):
            job = await store.get(job_id)
            if job is not None and job.completed_at is None:
                continue
            if job is not None or self._accepted[job_id] == run_id:
                # The job has ended.
                del self._accepted[job_id]
            elif self._run_id != run_id:
                lost += 1
        if lost:
            log.error("Redis restarted without %d jobs that were accepted: they and their results are lost", lost)
        self._run_id = run_id

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        async with self._asked() as store:
            job, is_new = await store.add(new)
            if job.completed_at is None:
                self._remember(job.id, await store.run_id())
                await self._hand_over(store, job)
            return job, is_new

    def _remember(self, job_id: str, run_id: str) -> None:
        self._accepted[job_id] = run_id
        while len(self._accepted) > REMEMBERED_MAX:
            del self._accepted[next(iter(self._accepted))]

    async def _hand_over(self, store: RedisStore, job: Job) -> None:
        """Send all chunks of a job, once: what was enqueued meanwhile is left alone."""
        async with self._sending:
            if not await store.enqueued(job.id):
                await self._send(job, list(range(0, job.total, CHUNK)))
                await store.mark_enqueued(job.id)

    async def _send(self, job: Job, starts: list[int]) -> None:
        """Send the chunks of a job that begin at `starts`."""

        def send() -> None:
            with self._celery.producer_pool.acquire(block=True) as producer:
                for start in starts:
                    arguments = [job.id, start, min(CHUNK, job.total - start)]
                    name = chunk_id(job.id, start)
                    self._celery.send_task(TASK, args=arguments, task_id=name, queue=QUEUE, producer=producer)

        await asyncio.get_running_loop().run_in_executor(self._thread, send)

    async def get(self, job_id: str) -> Job | None:
        async with self._asked() as store:
            job = await store.get(job_id)
            if job is None and job_id in self._accepted and self._accepted[job_id] != await store.run_id():
                raise _lost(job_id)
            return job

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
        """The store; if Redis does not answer, raises `ApiError` 503."""
        assert self._store is not None  # noqa: S101 - `open` came first
        try:
            yield self._store
        except (redis.RedisError, OperationalError, OSError) as error:
            log.warning("redis: %s", error)
            raise unavailable("the jobs' Redis does not answer") from error


def _lost(job_id: str) -> ApiError:
    message = (
        f"job {job_id!r} is lost with all of its results: it was accepted, then Redis restarted without it; "
        "submit it again (a Redis with `appendonly yes` keeps its jobs)"
    )
    return ApiError(404, message, code="job_lost", param="id")
