"""What the server looks after while jobs are in Redis: chunks that were lost, cancelled jobs, a Redis that restarted.

Rules of this file
  1. A chunk is lost if it has items without result and no message carries it, in two sweeps one after the other: a
     message that is between two places of Celery's is seen again in the second. It is sent again. Sending one too many
     costs time only, because the first result of an item stays.
  2. A job that was accepted and not handed over, by a server that died between the two, is lost in the same way.
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
"""How long a worker has to finish what it computes of a cancelled job, on top of the visibility time-out."""

Send = Callable[[Job, list[int]], Awaitable[None]]


class Sweeper:
    """Sweeps one Redis; `send` sends the chunks of a job that begin at these items."""

    def __init__(self, store: RedisStore, send: Send) -> None:
        self._store = store
        self._send = send
        self._suspects: set[str] = set()  # chunks that no message carried in the sweep before

    async def sweep(self) -> int:
        """Look once; the number of chunks that were sent again. Raises redis.RedisError when it is away."""
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
        """The jobs that workers should be at; ends cancelled ones whose workers died, forgets those that are gone."""
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
        """Where the chunks begin that have items without result and that no message carries."""
        starts = [start for start in range(0, job.total, CHUNK) if chunk_id(job.id, start) not in carried]
        under_way = job.total - sum(min(CHUNK, job.total - start) for start in starts)
        if not starts or under_way >= job.total - job.done:
            return []  # enough is on its way: no need to ask for every item
        missing = {index - index % CHUNK for index in await self._store.missing(job)}
        return [start for start in starts if start in missing]
