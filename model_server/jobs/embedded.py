"""The embedded backend: a queue in the process, jobs and results in SQLite. No other service; jobs survive a restart.

Rules of this file
  1. SQLite is called in its own thread, and results are written many at a time.
  2. Jobs are computed in the order of their arrival, with a bound on concurrent items.
  3. At a stop, items in computation are dropped: they have no result yet, and the next process computes them.
  4. The task that computes the jobs never ends by itself. An error, such as a full disk, is logged and reported by
     /ready, and the task retries until it succeeds.
  5. If processes died repeatedly before a job had a new result, its next items are computed one by one; an item that
     ends the process by itself finally gets an error as its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from model_server.jobs.execute import with_retries
from model_server.jobs.job import (
    ALONE_MAX,
    TOGETHER_MAX,
    ItemResult,
    Job,
    JobSettings,
    NewJob,
    ended_worker,
    key_conflict,
    no_room,
    unavailable,
)
from model_server.jobs.store import NoRoom, Store, StoreError

if TYPE_CHECKING:
    from model_server.http.app import App

log = logging.getLogger(__name__)

FLUSH_S = 0.02
SWEEP_S = 30.0
AGAIN_S = 1.0
T = TypeVar("T")


class EmbeddedJobs:
    """Jobs in the file `path`, or in memory. An existing file is opened immediately, a new one with the first job."""

    def __init__(self, path: Path | None, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        self._path = path
        self._thread = ThreadPoolExecutor(1, "jobs-store")
        self._store: Store | None = Store(path) if path is not None and path.exists() else None
        self._app: App | None = None
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._running: str | None = None  # the job in computation
        self._begun: set[str] = set()  # jobs that this process has begun
        self._cancelled: set[str] = set()
        self._problem: str | None = None
        self._done_at: deque[float] = deque(maxlen=256)

    @property
    def problem(self) -> str | None:
        return self._problem

    def open(self, app: App) -> None:
        """Continue the jobs of an earlier process."""
        self._app = app
        if self._store is not None:
            self._begin()

    def _begin(self) -> None:
        self._runner = asyncio.get_running_loop().create_task(self._supervise())
        self._wake.set()

    async def close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._store is not None:
            # With a full disk this fails, and the next process treats this one as dead.
            with contextlib.suppress(sqlite3.Error):
                await self._ask(Store.rest)
            await self._ask(lambda store: store.close())
        self._thread.shutdown()

    async def _asked(self, question: Callable[[Store], T]) -> T:
        """Call the store for an HTTP request: an unusable file gives `ApiError` 503."""
        try:
            return await self._ask(question)
        except (sqlite3.Error, StoreError) as error:
            log.warning("jobs file: %s", error)
            raise unavailable(f"the jobs file cannot be used: {error}") from error

    async def _ask(self, question: Callable[[Store], T]) -> T:
        def asked() -> T:
            if self._store is None:
                self._store = Store(self._path or ":memory:")
            return question(self._store)

        return await asyncio.get_running_loop().run_in_executor(self._thread, asked)

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        try:
            job, fingerprint, is_new = await self._asked(lambda store: store.add(new, self.settings.waiting_max))
        except NoRoom as full:
            raise no_room(full.waiting, len(new.inputs), self.settings, self._rate_per_s()) from None
        if not is_new and fingerprint != new.fingerprint:
            raise key_conflict(new.key or "")
        if self._runner is None:
            self._begin()
        self._wake.set()
        return job, is_new

    async def get(self, job_id: str) -> Job | None:
        job = await self._asked(lambda store: store.get(job_id))
        return None if job is None or self._expired(job) else job

    async def page(self, limit: int, after: str | None) -> list[Job]:
        jobs = await self._asked(lambda store: store.page(limit, after))
        return [job for job in jobs if not self._expired(job)]

    async def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        return await self._asked(lambda store: store.results(job_id, start, limit))

    async def cancel(self, job_id: str) -> Job | None:
        def cancel(store: Store) -> Job | None:
            running = job_id == self._running
            if running:
                self._cancelled.add(job_id)
            return store.cancel(job_id, time.time(), running=running)

        return await self._asked(cancel)

    def _expired(self, job: Job) -> bool:
        return job.completed_at is not None and job.completed_at + self.settings.keep_s <= time.time()

    def _rate_per_s(self) -> float:
        """Recently completed items per second; 0 if unknown."""
        if len(self._done_at) < 2 or self._done_at[-1] <= self._done_at[0]:
            return 0.0
        return len(self._done_at) / (self._done_at[-1] - self._done_at[0])

    async def _supervise(self) -> None:
        """Compute the jobs, and continue after an error."""
        while True:
            try:
                await self._run()
            except Exception as error:
                log.exception("the computation of jobs failed; retry in %g s", AGAIN_S)
                self._problem = f"the computation of jobs failed: {type(error).__name__}: {error}"
            await asyncio.sleep(AGAIN_S)

    async def _run(self) -> None:
        """Compute one job after another until an error."""
        swept_at = 0.0
        while True:
            now = time.time()
            await self._ask(partial(Store.end_cancelled, now=now))
            if now - swept_at > SWEEP_S:
                swept_at = now
                await self._ask(partial(Store.expire, before=now - self.settings.keep_s))
            self._wake.clear()
            found = await self._ask(self._next)
            if found is None:
                self._problem = None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), SWEEP_S)
            elif await self._ask(partial(self._died, job=found[0])) > TOGETHER_MAX:
                await self._one_by_one(found[0], found[1][: self.settings.concurrency])
            else:
                await self._work_through(*found)

    def _next(self, store: Store) -> tuple[Job, list[tuple[int, bytes]]] | None:
        """The next job and its items. It counts as running from here on, so that a cancel applies to it."""
        found = store.next_open(time.time())
        self._running = None if found is None else found[0].id
        return found

    def _died(self, store: Store, job: Job) -> int:
        """The number of processes that began this job since its last result; 0 if this process has begun it before."""
        if job.id in self._begun:
            return 0
        self._begun.add(job.id)
        return store.begin(job.id)

    async def _one_by_one(self, job: Job, items: list[tuple[int, bytes]]) -> None:
        """Compute these items one by one, and record each before its computation."""
        try:
            for item in items:
                if job.id in self._cancelled:
                    return
                await self._alone(job, item)
        finally:
            self._running = None
            self._cancelled.discard(job.id)
        self._begun.discard(job.id)

    async def _alone(self, job: Job, item: tuple[int, bytes]) -> None:
        times = await self._ask(partial(Store.alone, job_id=job.id, index=item[0]))
        results = [ended_worker(item[0], times - 1)]
        if times <= ALONE_MAX:
            results.clear()
            await self._worker(job, deque([item]), results)
        else:
            log.error("item %d of job %s ended %d processes: it is given up", item[0], job.id, times - 1)
        await self._ask(partial(Store.keep, job_id=job.id, results=results, now=time.time()))

    async def _work_through(self, job: Job, items: list[tuple[int, bytes]]) -> None:
        left = deque(items)
        results: list[ItemResult] = []
        workers = [
            asyncio.create_task(self._worker(job, left, results))
            for _ in range(min(self.settings.concurrency, len(items)))
        ]
        try:
            pending: set[asyncio.Task[Any]] = set(workers)
            while pending or results:
                if pending:
                    _, pending = await asyncio.wait(pending, timeout=FLUSH_S)
                batch, results[:] = list(results), []
                if batch:
                    await self._ask(partial(Store.keep, job_id=job.id, results=batch, now=time.time()))
                    self._problem = None
            for worker in workers:
                # Raises the exception of a failed worker.
                worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            self._running = None
            self._cancelled.discard(job.id)

    async def _worker(self, job: Job, left: deque[tuple[int, bytes]], results: list[ItemResult]) -> None:
        assert self._app is not None  # noqa: S101 - `open` came first
        while left and job.id not in self._cancelled:
            index, body = left.popleft()
            result = await with_retries(
                self._app, job.endpoint, index, body, self.settings, given_up=lambda: job.id in self._cancelled
            )
            if result is not None:
                results.append(result)
                self._done_at.append(self._app.clock())
