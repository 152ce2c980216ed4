"""Scripts that Redis runs atomically, so that a half-changed job is never visible.

Keys of a job, always in this order: its state, results, inputs, `begun` (chunks that a worker has begun and not ended,
with the number of times), `alone` (items in computation alone, with the number of times); then the undone jobs.
"""

from __future__ import annotations

SUBMIT = """
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
"""Keys of this script: state, inputs, all jobs, the Idempotency-Key, undone. Returns '' if the job is new, the job id
of a known key, or [number of waiting items] if there is no room."""

_FINISH = """
local function finish(now, keep_s, job)
  redis.call('HSET', KEYS[1], 'completed_at', now)
  redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
  redis.call('HDEL', KEYS[6], job)
  redis.call('EXPIRE', KEYS[1], keep_s)
  redis.call('EXPIRE', KEYS[2], keep_s)
end
"""
"""Ends a job: its inputs are deleted, its results are kept as long as the settings say."""

BEGIN = (
    _FINISH
    + """
local now, keep_s, job, start, count, undone_s = unpack(ARGV)
local endpoint, total, cancelled, over = unpack(
  redis.call('HMGET', KEYS[1], 'endpoint', 'total', 'cancelled', 'completed_at'))
if not endpoint or over then return {} end
if cancelled then
  redis.call('HDEL', KEYS[4], start)
  if redis.call('HLEN', KEYS[4]) == 0 then finish(now, keep_s, job) end
  return {}
end
redis.call('HSETNX', KEYS[1], 'started_at', now)
local chunk = {}
local bodies = redis.call('LRANGE', KEYS[3], start, start + count - 1)
for index = tonumber(start), math.min(start + count, tonumber(total)) - 1 do
  if redis.call('HEXISTS', KEYS[2], index) == 0 then
    chunk[#chunk + 1] = index
    chunk[#chunk + 1] = bodies[index - start + 1] or ''
  end
end
if #chunk == 0 then
  redis.call('HDEL', KEYS[4], start)
  return {}
end
local times = redis.call('HINCRBY', KEYS[4], start, 1)
redis.call('EXPIRE', KEYS[4], undone_s)
return {endpoint, times, unpack(chunk)}
"""
)
"""Begins a chunk. Returns [endpoint, times, index, body, index, body ...] of its items without result, or [] if there
are none; `times` is how often the chunk was begun and not ended, with this time. A missing body is empty."""

END = (
    _FINISH
    + """
local now, keep_s, job, start = unpack(ARGV)
redis.call('HDEL', KEYS[4], start)
local cancelled, over = unpack(redis.call('HMGET', KEYS[1], 'cancelled', 'completed_at'))
if cancelled and not over and redis.call('HLEN', KEYS[4]) == 0 then finish(now, keep_s, job) end
return 0
"""
)
"""Ends a chunk of a live worker; the last chunk of a job that is being cancelled ends the job."""

KEEP = (
    _FINISH
    + """
local now, keep_s, job, undone_s = unpack(ARGV)
local total, cancelled, over = unpack(redis.call('HMGET', KEYS[1], 'total', 'cancelled', 'completed_at'))
if not total or over then return 0 end
local kept = 0
for index = 5, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[2], ARGV[index], ARGV[index + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], ARGV[index + 2], 1)
    kept = kept + 1
  end
  redis.call('HDEL', KEYS[5], ARGV[index])
end
if kept == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], undone_s)
if not cancelled then
  redis.call('HINCRBY', KEYS[6], job, -kept)
  if redis.call('HLEN', KEYS[2]) >= tonumber(total) then finish(now, keep_s, job) end
end
return kept
"""
)
"""Stores results: the first result of an item stays. Returns the number of stored results; 0 if the job has ended."""

CANCEL = (
    _FINISH
    + """
local now, keep_s, job = unpack(ARGV)
local total, cancelled, over = unpack(redis.call('HMGET', KEYS[1], 'total', 'cancelled', 'completed_at'))
if not total or over then return 0 end
if not cancelled then
  redis.call('HSET', KEYS[1], 'cancelled', now)
  redis.call('HSET', KEYS[6], job, 0)
end
if redis.call('HLEN', KEYS[4]) == 0 then finish(now, keep_s, job) end
return 1
"""
)
"""Cancels a job: no further chunk begins. The job ends now, or with the last chunk that a worker has begun."""

GIVE_UP = (
    _FINISH
    + """
local now, keep_s, job, before = unpack(ARGV)
local cancelled, over = unpack(redis.call('HMGET', KEYS[1], 'cancelled', 'completed_at'))
if not cancelled or over or tonumber(cancelled) > tonumber(before) then return 0 end
finish(now, keep_s, job)
return 1
"""
)
"""Ends a job that was cancelled before `before`: the workers that had begun its chunks have died."""
