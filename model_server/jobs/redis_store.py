"""Jobs in Redis: reads and writes of the server and its workers. All keys expire.

Keys, of a job `J`: `paceline:job:J` a hash with its state, `...:inputs` a list, `...:results` a hash from index to
result, `...:begun` and `...:alone` hashes that count begun chunks and items (see `redis_scripts`); `paceline:jobs` all
jobs by age, `paceline:undone` a hash from open job to items left, `paceline:key:K` the job of an Idempotency-Key.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, cast

import msgspec
import redis
import redis.asyncio

from model_server.jobs import redis_scripts
from model_server.jobs.job import ItemResult, Job, JobSettings, NewJob, key_conflict, no_room, status_of
from model_server.jobs.queue import QUEUE

PREFIX = "paceline:"
JOBS = PREFIX + "jobs"
UNDONE = PREFIX + "undone"
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
"""kombu's keys: its deliveries, and their index by age."""
UNDONE_KEEP_S = 7 * 24 * 3600
"""Seconds after which a job without any progress expires."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ItemResult).decode


class Chunk(msgspec.Struct, frozen=True):
    """Work for a worker. `times` is how often the chunk was begun without an end, with this time."""

    endpoint: str
    times: int
    items: list[tuple[int, bytes]]


class RedisStore:
    """Access to Redis, by one connection pool on the running loop. Raises redis.RedisError if it does not answer."""

    def __init__(self, url: str, settings: JobSettings) -> None:
        self.settings = settings
        self._redis = redis.asyncio.Redis.from_url(url)
        script = self._redis.register_script
        self._submit = script(redis_scripts.SUBMIT)
        self._begin = script(redis_scripts.BEGIN)
        self._end = script(redis_scripts.END)
        self._keep = script(redis_scripts.KEEP)
        self._cancel = script(redis_scripts.CANCEL)
        self._give_up = script(redis_scripts.GIVE_UP)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        """Accept a job, or return the job with the same key. Raises `ApiError` 409 and 503 as `JobBackend.submit`."""
        total, keys = len(new.inputs), _keys(new.id)
        said = await self._submit(
            keys=[keys[0], keys[2], JOBS, f"{PREFIX}key:{new.key}", UNDONE],
            args=[
                new.key or "",
                new.id,
                new.endpoint,
                repr(new.created_at),
                total,
                new.fingerprint,
                UNDONE_KEEP_S,
                self.settings.waiting_max,
                f"{PREFIX}job:",
                *new.inputs,
            ],
        )
        if isinstance(said, list):
            raise no_room(int(said[0]), total, self.settings, await self._rate_per_s())
        if not said:
            return Job(new.id, new.endpoint, "queued", total, 0, 0, new.created_at), True
        job_id = said.decode()
        job, fingerprint = await self._read(job_id)
        # The key may expire later than its job.
        if job is None:
            await self._redis.delete(f"{PREFIX}key:{new.key}")
            return await self.add(new)
        if fingerprint != new.fingerprint:
            raise key_conflict(new.key or "")
        return job, False

    async def get(self, job_id: str) -> Job | None:
        """One job."""
        return (await self._read(job_id))[0]

    async def _read(self, job_id: str) -> tuple[Job | None, str]:
        raw: dict[bytes, bytes] = await self._ask(self._redis.hgetall(_keys(job_id)[0]))
        state = {key.decode(): value.decode() for key, value in raw.items()}
        if "total" not in state:
            return None, ""
        total, completed, failed = int(state["total"]), int(state["completed"]), int(state["failed"])
        status = status_of(
            total,
            failed,
            completed + failed,
            cancelled="cancelled" in state,
            started="started_at" in state,
            over="completed_at" in state,
        )
        job = Job(
            job_id,
            state["endpoint"],
            status,
            total,
            completed,
            failed,
            float(state["created_at"]),
            float(state["started_at"]) if "started_at" in state else None,
            float(state["completed_at"]) if "completed_at" in state else None,
        )
        return job, state["fingerprint"]

    async def page(self, limit: int, after: str | None) -> list[Job]:
        """The jobs, latest first; removes expired jobs from the list."""
        rank = None if after is None else await self._ask(self._redis.zrevrank(JOBS, after))
        start = 0 if rank is None else int(rank) + 1
        jobs: list[Job] = []
        while len(jobs) < limit:
            ids: list[bytes] = await self._ask(self._redis.zrevrange(JOBS, start, start + limit - 1))
            if not ids:
                break
            for raw in ids:
                job = await self.get(raw.decode())
                if job is None:
                    await self._ask(self._redis.zrem(JOBS, raw))
                else:
                    start += 1
                    jobs.append(job)
        return jobs[:limit]

    async def results(self, job_id: str, start: int, limit: int) -> list[ItemResult]:
        """The existing results, by index."""
        state, key = _keys(job_id)[:2]
        total = int(await self._ask(self._redis.hget(state, "total")) or 0)
        found: list[ItemResult] = []
        while start < total and len(found) < limit:
            places = [str(index) for index in range(start, min(total, start + limit))]
            values: list[bytes | None] = await self._ask(self._redis.hmget(key, places))
            found += [_decode(value) for value in values if value is not None]
            start += limit
        return found[:limit]

    async def _rate_per_s(self) -> float:
        """Completed items per second of all running jobs; 0 if there are none."""
        rate, now = 0.0, time.time()
        for raw in await self._ask(self._redis.hkeys(UNDONE)):
            job = await self.get(raw.decode())
            if job is not None and job.started_at is not None and now > job.started_at:
                rate += job.done / (now - job.started_at)
        return rate

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a job: workers begin no further chunk of it."""
        await self._change(self._cancel, job_id)
        return await self.get(job_id)

    async def give_up(self, job_id: str, before: float) -> bool:
        """End a job that was cancelled before this instant and is still being cancelled; True if it was."""
        return bool(await self._change(self._give_up, job_id, repr(before)))

    async def _change(self, script: Any, job_id: str, *args: Any) -> Any:
        """Run a script with the job's keys; the first arguments are the same for all scripts."""
        keep_s = max(1, int(self.settings.keep_s))
        return await script(keys=[*_keys(job_id), UNDONE], args=[repr(time.time()), keep_s, job_id, *args])

    async def enqueued(self, job_id: str) -> bool:
        """True if all chunks of the job were sent to the workers."""
        return bool(await self._ask(self._redis.hexists(_keys(job_id)[0], "enqueued")))

    async def mark_enqueued(self, job_id: str) -> None:
        """Record that all chunks of the job were sent to the workers."""
        await self._ask(self._redis.hset(_keys(job_id)[0], "enqueued", "1"))

    async def not_enqueued(self) -> list[Job]:
        """Accepted jobs of a server that died before it had sent all their chunks."""
        found = []
        for raw in await self._ask(self._redis.zrange(JOBS, 0, -1)):
            if not await self.enqueued(raw.decode()):
                job = await self.get(raw.decode())
                if job is not None and job.completed_at is None:
                    found.append(job)
        return found

    async def undone(self) -> list[str]:
        """The jobs that have not ended."""
        found: list[bytes] = await self._ask(self._redis.hkeys(UNDONE))
        return [raw.decode() for raw in found]

    async def forget_undone(self, job_id: str) -> None:
        """Remove a job that has ended or expired from the undone jobs."""
        await self._ask(self._redis.hdel(UNDONE, job_id))

    async def missing(self, job: Job) -> list[int]:
        """The items of a job without result."""
        known: list[bytes] = await self._ask(self._redis.hkeys(_keys(job.id)[1]))
        return sorted(set(range(job.total)).difference(map(int, known)))

    async def run_id(self) -> str:
        """The run id of Redis, which changes at a restart."""
        return str((await self._ask(self._redis.info("server")))["run_id"])

    async def appends(self) -> bool | None:
        """True if Redis has an append-only file; None if it does not answer this."""
        with contextlib.suppress(redis.ResponseError):
            return bool((await self._ask(self._redis.config_get("appendonly")))["appendonly"] == "yes")
        return None

    async def begin(self, job_id: str, start: int, count: int) -> Chunk | None:
        """A chunk's items without result; None if there are none, or if the job has ended or was cancelled."""
        said = await self._change(self._begin, job_id, start, count, UNDONE_KEEP_S)
        if not said:
            return None
        items = [(int(said[place]), bytes(said[place + 1])) for place in range(2, len(said), 2)]
        return Chunk(said[0].decode(), int(said[1]), items)

    async def end(self, job_id: str, start: int) -> None:
        """End a chunk, with any result, of a live worker."""
        await self._change(self._end, job_id, start)

    async def alone(self, job_id: str, index: int) -> int:
        """Record that an item will be computed alone; returns how often that began without a result, with this time."""
        key = _keys(job_id)[4]
        async with self._redis.pipeline() as pipe:
            pipe.hincrby(key, str(index), 1)
            pipe.expire(key, UNDONE_KEEP_S)
            return int((await pipe.execute())[0])

    async def keep(self, job_id: str, results: list[ItemResult]) -> int:
        """Store results; returns how many of them are the first of their item."""
        rows = [x for item in results for x in (item.index, _encode(item), "completed" if item.ok else "failed")]
        return int(await self._change(self._keep, job_id, UNDONE_KEEP_S, *rows))

    async def messages(self) -> list[bytes]:
        """All of Celery's messages to workers, with those that were delivered and not acknowledged."""
        async with self._redis.pipeline() as pipe:
            pipe.lrange(QUEUE, 0, -1)
            pipe.hvals(UNACKED)
            queued, unacked = await pipe.execute()
        return [*queued, *unacked]

    async def touch(self, tag: str) -> None:
        """Renew a delivery: its visibility time-out starts again."""
        await self._ask(self._redis.zadd(UNACKED_INDEX, {tag: time.time()}, xx=True))

    @staticmethod
    async def _ask(answer: Any) -> Any:
        """Await a result of redis-py, whose methods are typed for synchronous use too."""
        return await cast("Any", answer)


def _keys(job_id: str) -> tuple[str, ...]:
    """The keys of a job: state, results, inputs, begun, alone."""
    base = f"{PREFIX}job:{job_id}"
    return base, *(f"{base}:{part}" for part in ("results", "inputs", "begun", "alone"))
