"""Redis that dies, messages that are lost, items that kill their workers: nothing is lost, and all has an end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model_server.jobs.celery_backend import CeleryJobs
from model_server.jobs.job import ALONE_MAX, TOGETHER_MAX, ItemResult, JobSettings, NewJob
from model_server.jobs.queue import CHUNK, chunk_id, chunk_of
from model_server.jobs.redis_server import RedisServer
from model_server.jobs.redis_store import RedisStore
from model_server.jobs.sweeping import Sweeper
from tests.jobs.restarts import SETTINGS, own_redis, play
from tests.jobs.servers import MASKED, kill, server, worker
from tests.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def test_a_killed_redis_loses_no_item(tmp_path: Path) -> None:
    """kill -9 in mid-job, restarted on its append-only file; `python -m tests.jobs.restarts` does it ten times."""
    found = await play(tmp_path, items=120, kills=2, away_s=0.5)
    assert (found["lost"], found["doubled"], found["right"], found["status"]) == (0, 0, 120, "completed")


async def test_chunks_without_a_message_are_sent_again() -> None:
    """Whatever took them: those with items without result, after two sweeps, and no others."""
    with RedisServer() as redis:
        backend = CeleryJobs(redis.url, SETTINGS)
        async with server(backend) as client, Redis.from_url(redis.url) as direct:
            job = await client.submit([MASKED] * (3 * CHUNK + 5))
            store = backend._store
            assert store is not None
            assert backend._sweeping is not None
            backend._sweeping.cancel()  # this test sweeps itself
            messages = await store.messages()
            assert {chunk_of(message) for message in messages} == {chunk_id(job["id"], i * CHUNK) for i in range(4)}
            await store.keep(job["id"], [ItemResult(index, 200, b"{}") for index in range(CHUNK)])
            lost = [message for message in messages if chunk_of(message) != chunk_id(job["id"], CHUNK)]
            for message in lost:
                await direct.lrem("paceline", 1, message)
            sweeper = Sweeper(store, backend._send)
            assert await sweeper.sweep() == 0
            sent = await sweeper.sweep()
            carried = sorted(chunk_of(message) or "" for message in await store.messages())
            assert await sweeper.sweep() == 0
    assert sent == 2
    assert carried == sorted(chunk_id(job["id"], start) for start in (CHUNK, 2 * CHUNK, 3 * CHUNK))


async def test_an_input_that_is_gone_is_the_items_error() -> None:
    """As when Redis evicts it: the job ends, with the reason at each of its items."""
    with RedisServer() as redis:
        async with server(CeleryJobs(redis.url, SETTINGS)) as client, Redis.from_url(redis.url) as direct:
            job = await client.submit([MASKED] * 20)
            await direct.delete(f"paceline:job:{job['id']}:inputs")
            with worker(redis.url, "null", SETTINGS, "late"):
                over = await client.over(job["id"])
                results = await client.results(job["id"])
    assert over["status"] == "failed"
    assert {(item["status"], item["body"]["error"]["code"]) for item in results} == {(500, "item_lost")}


async def test_a_redis_without_persistence_that_restarts_is_reported_as_a_loss(tmp_path: Path) -> None:
    """The client learns that the job is lost, not that it never was."""
    with own_redis(tmp_path, append=False) as redis:
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            job = await client.submit([MASKED] * 20)
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(redis.start)
            while (answer := await client("GET", f"/v1/jobs/{job['id']}"))[0] == 503:
                await asyncio.sleep(0.05)
            unknown = await client("GET", "/v1/jobs/job_none")
    assert (answer[0], answer[1]["error"]["code"]) == (404, "job_lost")
    assert "appendonly" in answer[1]["error"]["message"]
    assert unknown[1]["error"]["code"] == "job_not_found"


async def test_a_redis_that_is_away_is_reported_by_ready(tmp_path: Path) -> None:
    with own_redis(tmp_path) as redis:
        backend = CeleryJobs(redis.url, SETTINGS)
        async with server(backend) as client:
            assert (await client("GET", "/ready"))[0] == 200
            await asyncio.to_thread(redis.kill)
            while (answer := await client("GET", "/ready"))[0] == 200:
                await asyncio.sleep(0.05)
            assert answer[1]["error"]["code"] == "jobs_unavailable"
            await asyncio.to_thread(redis.start)
            while (await client("GET", "/ready"))[0] != 200:
                await asyncio.sleep(0.05)


POISONED_WORKER = """
import os
import signal
import sys
from dataclasses import replace
from mock_server.app import create
from model_server.jobs.job import JobSettings
from model_server.jobs.worker import build

def make():
    app = create("null")
    route, decode = app.find("POST", "/fill-mask")

    async def deadly(app, exchange, body):
        if "poison" in body.text:
            os.write(1, b"killed")
            os.kill(os.getpid(), signal.SIGKILL)
        return await route.handler(app, exchange, body)

    app._table["/fill-mask"]["POST"] = (replace(route, handler=deadly), decode)
    return app

app = build(sys.argv[1], JobSettings(retry_delay_s=0.2), make)
app.worker_main(["--quiet", "worker", "--pool", "prefork", "--concurrency", "1", "--loglevel", "CRITICAL"])
"""


async def test_an_item_that_kills_its_worker_gets_an_error_and_its_neighbours_their_answers(tmp_path: Path) -> None:
    """So many processes die of it and no more."""
    bodies = [{"text": f"number {index} of the [MASK]"} for index in range(2 * CHUNK)]
    bodies[5] = {"text": "the poison of the [MASK]"}
    with RedisServer() as redis, (tmp_path / "out").open("wb") as out:
        line = [sys.executable, "-c", POISONED_WORKER, redis.url]
        process = subprocess.Popen(line, cwd=ROOT, start_new_session=True, stdout=out, stderr=out)
        try:
            async with server(CeleryJobs(redis.url, SETTINGS)) as client:
                job = await client.submit(bodies)
                over = await client.over(job["id"])
                results = await client.results(job["id"])
        finally:
            kill(process)
    deaths = (tmp_path / "out").read_bytes().count(b"killed")
    assert over["request_counts"] == {"total": 2 * CHUNK, "completed": 2 * CHUNK - 1, "failed": 1}
    assert results[5]["body"]["error"]["code"] == "item_ended_worker"
    assert [item["status"] for item in results].count(200) == 2 * CHUNK - 1
    assert deaths == TOGETHER_MAX + ALONE_MAX


async def test_a_job_is_cancelling_while_a_worker_computes_and_late_results_are_dropped() -> None:
    """The last chunk that was begun ends it; what comes after that changes nothing."""
    with RedisServer() as redis:
        store = RedisStore(redis.url, SETTINGS)
        job, _ = await store.add(NewJob("job_a", "/fill-mask", [b"{}"] * 40, time.time()))
        assert await store.begin(job.id, 0, CHUNK) is not None
        cancelling = await store.cancel(job.id)
        assert cancelling is not None
        assert (cancelling.status, cancelling.completed_at) == ("cancelling", None)
        assert await store.begin(job.id, CHUNK, CHUNK) is None
        assert await store.keep(job.id, [ItemResult(0, 200, b"{}")]) == 1
        await store.end(job.id, 0)
        over = await store.get(job.id)
        assert await store.keep(job.id, [ItemResult(1, 200, b"{}")]) == 0
        assert await store.get(job.id) == over
        assert over is not None
        assert (over.status, over.completed) == ("cancelled", 1)
        assert over.completed_at is not None
        await store.close()


async def test_a_cancelled_job_whose_workers_died_ends_all_the_same() -> None:
    with RedisServer() as redis:
        store = RedisStore(redis.url, SETTINGS)
        job, _ = await store.add(NewJob("job_a", "/fill-mask", [b"{}"] * 40, time.time()))
        await store.begin(job.id, 0, CHUNK)
        await store.cancel(job.id)
        assert not await store.give_up(job.id, time.time() - 60)
        assert await store.give_up(job.id, time.time() + 1)
        over = await store.get(job.id)
        assert over is not None
        assert over.status == "cancelled"
        assert await store.undone() == []
        await store.close()


async def test_a_worker_beside_the_server_is_started_again(tmp_path: Path) -> None:
    """A child that ends is replaced for as long as the block lasts."""
    from model_server.jobs.children import Children

    line = [sys.executable, "-c", f"open({str(tmp_path / 'lives')!r}, 'a').write('x')"]
    with Children([line]):
        while not (tmp_path / "lives").exists() or len((tmp_path / "lives").read_text()) < 2:
            await asyncio.sleep(0.05)


def test_settings_have_an_end() -> None:
    with pytest.raises(ValueError, match="keep_s = inf"):
        JobSettings(keep_s=float("inf"))
