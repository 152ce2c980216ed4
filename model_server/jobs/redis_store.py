"""Jobs in Redis: what the server writes and asks, and what workers store. All of it expires.

Keys, of a job `J`: `paceline:job:J` a hash with its state, `...:inputs` a list, `...:results` a hash from index to
result; `paceline:jobs` all jobs by age, `paceline:undone` a hash from job to items left, `paceline:key:K` the job of an
Idempotency-Key.
"""

from __future__ import annotations

import time
from typing import Any, cast

import msgspec
import redis.asyncio

from model_server.jobs.job import ItemResult, Job, JobSettings, NewJob, key_conflict, no_room, status_of

PREFIX = "paceline:"
JOBS = PREFIX + "jobs"
UNDONE = PREFIX + "undone"
UNDONE_KEEP_S = 7 * 24 * 3600  # a job that nobody works on does not stay for ever

_SUBMIT = """
local known = ARGV[1] ~= '' and redis.call('GET', KEYS[4]) or false
if known then return known end
local waiting, undone = 0, redis.call('HGETALL', KEYS[5])
for place = 1, #undone, 2 do
  if redis.call('EXISTS', ARGV[9] .. undone[place]) == 1 then
    waiting = waiting + tonumber(undone[place + 1])
  else
    redis.call('HDEL', KEYS[5], undone[place])
  end
end
if waiting + tonumber(ARGV[5]) > tonumber(ARGV[8]) then return {waiting} end
if ARGV[1] ~= '' then redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[7]) end
redis.call('HSET', KEYS[1], 'endpoint', ARGV[3], 'created_at', ARGV[4], 'total', ARGV[5], 'fingerprint', ARGV[6],
  'completed', 0, 'failed', 0)
for index = 10, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[index]) end
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[2], ARGV[5])
for _, key in ipairs({KEYS[1], KEYS[2]}) do redis.call('EXPIRE', key, ARGV[7]) end
return ''
"""
_KEEP = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local state, kept = redis.call('HMGET', KEYS[1], 'cancelled', 'total'), 0
for index = 5, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[2], ARGV[index], ARGV[index + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], ARGV[index + 2], 1)
    kept = kept + 1
  end
end
if kept == 0 then return 0 end
if not state[1] then redis.call('HINCRBY', KEYS[4], ARGV[4], -kept) end
local keep_s, undone_s = ARGV[2], ARGV[3]
if redis.call('HLEN', KEYS[2]) >= tonumber(state[2]) then
  redis.call('HSET', KEYS[1], 'completed_at', ARGV[1])
  redis.call('DEL', KEYS[3])
  redis.call('HDEL', KEYS[4], ARGV[4])
  redis.call('EXPIRE', KEYS[1], keep_s)
  redis.call('EXPIRE', KEYS[2], keep_s)
else
  redis.call('EXPIRE', KEYS[2], undone_s)
end
return kept
"""
_CANCEL = """
local state = redis.call('HMGET', KEYS[1], 'total', 'completed_at', 'cancelled')
if not state[1] or state[2] or state[3] then return 0 end
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], 'cancelled', 1, 'completed_at', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ItemResult).decode


class RedisStore:
    """Every question to Redis; one connection pool of the running loop. Raises redis.RedisError when it is away."""

    def __init__(self, url: str, settings: JobSettings) -> None:
        self.settings = settings
        self._redis = redis.asyncio.Redis.from_url(url)
        self._submit = self._redis.register_script(_SUBMIT)
        self._keep = self._redis.register_script(_KEEP)
        self._cancel = self._redis.register_script(_CANCEL)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        """Accept a job, or give the one with the same key. Raises `ApiError` 409 and 503 as the backend must."""
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
        if job is None:  # the key outlived its job
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
        status = status_of(total, failed, completed + failed, "cancelled" in state, "started_at" in state)
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
        """The latest first; forgets those that expired as it meets them."""
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
        """Those that are there, by index."""
        state, key, _ = _keys(job_id)
        total = int(await self._ask(self._redis.hget(state, "total")) or 0)
        found: list[ItemResult] = []
        while start < total and len(found) < limit:
            places = [str(index) for index in range(start, min(total, start + limit))]
            values: list[bytes | None] = await self._ask(self._redis.hmget(key, places))
            found += [_decode(value) for value in values if value is not None]
            start += limit
        return found[:limit]

    async def _rate_per_s(self) -> float:
        """Items done a second over all jobs that are being worked on; 0 if there is none."""
        rate, now = 0.0, time.time()
        for raw in await self._ask(self._redis.hkeys(UNDONE)):
            job = await self.get(raw.decode())
            if job is not None and job.started_at is not None and now > job.started_at:
                rate += job.done / (now - job.started_at)
        return rate

    async def cancel(self, job_id: str) -> Job | None:
        """No worker begins another item of it."""
        await self._cancel(
            keys=[*_keys(job_id)[:2], UNDONE], args=[repr(time.time()), int(self.settings.keep_s), job_id]
        )
        return await self.get(job_id)

    async def enqueued(self, job_id: str) -> bool:
        """Whether all of its items are the workers' business."""
        return bool(await self._ask(self._redis.hexists(_keys(job_id)[0], "enqueued")))

    async def mark_enqueued(self, job_id: str) -> None:
        """From now on its items are the workers' business."""
        await self._ask(self._redis.hset(_keys(job_id)[0], "enqueued", "1"))

    async def not_enqueued(self) -> list[Job]:
        """Jobs that were accepted by a server that died before it had handed them all over."""
        found = []
        for raw in await self._ask(self._redis.zrange(JOBS, 0, -1)):
            if not await self.enqueued(raw.decode()):
                job = await self.get(raw.decode())
                if job is not None and job.completed_at is None:
                    found.append(job)
        return found

    async def todo(self, job_id: str, start: int, count: int) -> tuple[str, list[tuple[int, bytes]]] | None:
        """Endpoint and the items of a chunk that have no result yet; None if the job is over, cancelled or gone."""
        keys = _keys(job_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys[0], ["endpoint", "cancelled", "completed_at"])
            pipe.lrange(keys[2], start, start + count - 1)
            pipe.hmget(keys[1], [str(index) for index in range(start, start + count)])
            pipe.hsetnx(keys[0], "started_at", repr(time.time()))
            state, bodies, known, _ = await pipe.execute()
        endpoint, cancelled, completed_at = state
        if endpoint is None or cancelled or completed_at:
            if endpoint is None:
                await self._ask(self._redis.delete(keys[0]))  # the stamp just made a hash of its own
            return None
        items = [(start + i, body) for i, (body, result) in enumerate(zip(bodies, known, strict=False)) if not result]
        return endpoint.decode(), items

    async def keep(self, job_id: str, results: list[ItemResult]) -> int:
        """Store results; how many of them are the first for their item."""
        keys = _keys(job_id)
        rows = [x for item in results for x in (item.index, _encode(item), "completed" if item.ok else "failed")]
        args = [repr(time.time()), int(self.settings.keep_s) or 1, UNDONE_KEEP_S, job_id, *rows]
        return int(await self._keep(keys=[*keys, UNDONE], args=args))

    async def touch(self, index_key: str, tag: str) -> None:
        """Tell the transport that this delivery is being worked on: its visibility time-out starts anew."""
        await self._ask(self._redis.zadd(index_key, {tag: time.time()}, xx=True))

    @staticmethod
    async def _ask(answer: Any) -> Any:
        """redis-py's methods are typed for both worlds; here they are awaitable."""
        return await cast("Any", answer)


def _keys(job_id: str) -> tuple[str, str, str]:
    """State, results, inputs."""
    base = f"{PREFIX}job:{job_id}"
    return base, f"{base}:results", f"{base}:inputs"
