"""Periodic maintenance of jobs in Redis: sends lost chunks again and ends cancelled jobs.

Rules of this file
  1. A chunk is lost if, in two consecutive sweeps, it has items without result and no message has it: a message between
     two of Celery's keys is visible in the second sweep. A lost chunk is sent again. An unnecessary message only costs
     time, because the first result of an item stays.
  2. The chunks of an accepted job whose server died before it sent them are lost in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from model_server.jobs.job import Job
from model_server.jobs.queue import CHUNK, chunk_id, chunk_of, visibility_s
from model_server.jobs.redis_store import RedisStore

log = logging.getLogger(__name__)

SWEEP_S = 5.0
CANCEL_S = 30.0
"""Seconds for a worker to finish a chunk of a cancelled job, in addition to the visibility time-out."""

Send = Callable[[Job, list[int]], Awaitable[None]]


class Sweeper:
    """Sweeps one Redis; `send` sends the chunks of a job that begin at these items."""

    def __init__(self, store: RedisStore, send: Send) -> None:
        self._store = store
        self._send = send
        # Chunks without a message in the previous sweep.
        self._suspects: set[str] = set()

    async def sweep(self) -> int:
        """Sweep once; returns the number of chunks sent again. Raises redis.RedisError if Redis does not answer."""
        jobs = await self._open_jobs()
        if not jobs:
            self._suspects = set()
            return 0
        messages = await self._store.messages()
        carried = await asyncio.to_thread(lambda: {chunk_of(message) for message in messages})
        lost = [(job, await self._lost(job, carried)) for job in jobs]
        suspects, self._suspects = self._suspects, {chunk_id(job.id, start) for job, starts in lost for start in starts}
        sent = 0
        for job, starts in lost:
            again = [start for start in starts if chunk_id(job.id, start) in suspects]
            if again:
                log.warning("job %s: %d chunks were lost on their way and are sent again", job.id, len(again))
                await self._send(job, again)
                sent += len(again)
        return sent

    async def _open_jobs(self) -> list[Job]:
        """The jobs in computation; ends cancelled jobs whose workers died, and removes jobs that ended or expired."""
        found = []
        for job_id in await self._store.undone():
            job = await self._store.get(job_id)
            if job is None or job.completed_at is not None:
                await self._store.forget_undone(job_id)
            elif job.status == "cancelling":
                patience_s = CANCEL_S + visibility_s(self._store.settings)
                await self._store.give_up(job_id, time.time() - patience_s)
            else:
                found.append(job)
        return found

    async def _lost(self, job: Job, carried: set[str | None]) -> list[int]:
        """The starts of chunks that have items without result and no message."""
        starts = [start for start in range(0, job.total, CHUNK) if chunk_id(job.id, start) not in carried]
        under_way = job.total - sum(min(CHUNK, job.total - start) for start in starts)
        if not starts or under_way >= job.total - job.done:
            # The messages have enough items for all open ones, so the results need not be read.
            return []
        missing = {index - index % CHUNK for index in await self._store.missing(job)}
        return [start for start in starts if start in missing]
