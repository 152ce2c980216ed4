"""What only the Celery backend promises: workers that die, retries, servers that die before they handed a job over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis.asyncio import Redis

from model_server.jobs import redis_server
from model_server.jobs.celery_backend import CeleryJobs
from model_server.jobs.command import check_broker
from model_server.jobs.job import Job, JobsError, JobSettings, NewJob
from model_server.jobs.redis_server import RedisServer
from model_server.jobs.redis_store import RedisStore
from tests.jobs.servers import MASKED, kill, server, slow_profile, worker
from tests.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SETTINGS = JobSettings(retry_delay_s=0.2)


async def test_a_killed_workers_items_are_done_by_another(tmp_path: Path) -> None:
    """kill -9 in the middle of a job: nothing lost, nothing twice."""
    profile = slow_profile(tmp_path)
    with (
        RedisServer() as redis,
        worker(redis.url, profile, SETTINGS, "one") as one,
        worker(redis.url, profile, SETTINGS, "two"),
    ):
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            job = await client.submit([MASKED] * 600)
            while (await client("GET", f"/v1/jobs/{job['id']}"))[1]["request_counts"]["completed"] < 100:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(kill, one)
            over = await client.over(job["id"])
            results = await client.results(job["id"])
    assert over["request_counts"] == {"total": 600, "completed": 600, "failed": 0}
    assert [item["index"] for item in results] == list(range(600))


async def test_a_server_error_is_tried_again_and_then_reported(tmp_path: Path) -> None:
    """Three retries by Celery, then the error is the item's result."""
    with RedisServer() as redis:
        line = [sys.executable, "-c", BROKEN_WORKER, redis.url]
        with (tmp_path / "out").open("wb") as out:
            broken = subprocess.Popen(line, cwd=ROOT, start_new_session=True, stdout=out, stderr=out)
        try:
            async with server(CeleryJobs(redis.url, SETTINGS)) as client:
                job = await client.submit([MASKED])
                over = await client.over(job["id"])
                (result,) = await client.results(job["id"])
        finally:
            kill(broken)
    tries = (tmp_path / "out").read_bytes().count(b"tried")
    assert (over["status"], result["status"], tries) == ("failed", 500, 4)


BROKEN_WORKER = """
import os
import sys
from dataclasses import replace
from mock_server.app import create
from model_server.jobs.job import JobSettings
from model_server.jobs.worker import build

async def broken(*_):
    os.write(1, b"tried")  # sys.stdout is the log of Celery
    raise RuntimeError("the model fell over")

def make():
    app = create("null")
    route, decode = app.find("POST", "/fill-mask")
    app._table["/fill-mask"]["POST"] = (replace(route, handler=broken), decode)
    return app

app = build(sys.argv[1], JobSettings(retry_delay_s=0.2), make)
app.worker_main(["--quiet", "worker", "--pool", "solo", "--loglevel", "CRITICAL", "--without-gossip"])
"""


async def test_a_job_that_was_not_handed_over_is_by_the_next_server() -> None:
    """A server that died between the two steps: the job is in Redis, its chunks are not on their way."""
    with RedisServer() as redis, worker(redis.url, "null", SETTINGS, "next"):
        store = RedisStore(redis.url, SETTINGS)
        job, is_new = await store.add(NewJob("job_orphan", "/fill-mask", [b'{"text": "a [MASK]"}'] * 40, time.time()))
        assert is_new
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            assert (await client.over(job.id))["request_counts"]["completed"] == 40
        await store.close()


async def test_a_job_that_the_first_sweep_finds_while_it_is_submitted_is_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sweep of a new server lists jobs that were not enqueued; one of them may be under way to the broker."""
    sent, found = [], asyncio.Event()

    async def slow_send(_: CeleryJobs, job: Job, starts: list[int]) -> None:
        sent.extend((job.id, start) for start in starts)
        await asyncio.wait_for(found.wait(), 10)
        await asyncio.sleep(0.05)

    async def not_enqueued(store: RedisStore) -> list[Job]:
        while not (jobs := await listed(store)):
            await asyncio.sleep(0.01)
        found.set()
        return jobs

    listed = RedisStore.not_enqueued
    monkeypatch.setattr(RedisStore, "not_enqueued", not_enqueued)
    monkeypatch.setattr(CeleryJobs, "_send", slow_send)
    with RedisServer() as redis:
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            job = await client.submit([MASKED])
            await asyncio.sleep(0.2)
    assert sent == [(job["id"], 0)]


async def test_a_submission_that_failed_on_its_way_is_finished_by_its_repetition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker fell over between the two steps: 503, and the same key hands the job over."""
    from celery import Celery

    with RedisServer() as redis, worker(redis.url, "null", SETTINGS, "later"):
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            with monkeypatch.context() as patch:
                patch.setattr(Celery, "send_task", fall_over)
                body = {"task": "fill-mask", "inputs": [MASKED] * 20}
                status, answer = await client("POST", "/v1/jobs", body, **{"Idempotency-Key": "once"})
            assert (status, answer["error"]["code"]) == (503, "jobs_unavailable")
            job = await client.submit([MASKED] * 20, **{"Idempotency-Key": "once"})
            assert (await client.over(job["id"]))["request_counts"]["completed"] == 20


def fall_over(*_: object, **__: object) -> None:
    raise OperationalError("the broker is away")


async def test_no_room_is_reported_and_a_job_that_is_gone_makes_some() -> None:
    """What waits is what jobs that are there have left."""
    settings = JobSettings(waiting_max=50)
    with RedisServer() as redis:
        async with server(CeleryJobs(redis.url, settings)) as client:
            job = await client.submit([MASKED] * 40)
            status, answer = await client("POST", "/v1/jobs", {"endpoint": "fill-mask", "inputs": [MASKED] * 20})
            assert (status, answer["error"]["code"]) == (503, "server_full")
            async with Redis.from_url(redis.url) as gone:
                await gone.delete(f"paceline:job:{job['id']}")
            await client.submit([MASKED] * 20)


async def test_a_cancelled_job_is_left_alone(tmp_path: Path) -> None:
    with RedisServer() as redis, worker(redis.url, slow_profile(tmp_path), SETTINGS, "idle"):
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            job = await client.submit([MASKED] * 2000)
            while not (await client("GET", f"/v1/jobs/{job['id']}"))[1]["request_counts"]["completed"]:
                await asyncio.sleep(0.01)
            _, cancelled = await client("POST", f"/v1/jobs/{job['id']}/cancel")
            assert cancelled["status"] in ("cancelling", "cancelled")
            assert (await client.over((await client.submit([MASKED]))["id"]))["status"] == "completed"
            over = await client.over(job["id"])
            assert over["status"] == "cancelled"
            assert over["request_counts"]["completed"] < 2000


async def test_a_redis_that_is_gone_is_a_503() -> None:
    with RedisServer() as redis:
        backend = CeleryJobs(redis.url, SETTINGS)
        async with server(backend) as client:
            os.kill(redis.pid, signal.SIGKILL)
            status, answer = await client("GET", "/v1/jobs")
            assert (status, answer["error"]["code"]) == (503, "jobs_unavailable")


def test_the_redis_dies_with_its_parent() -> None:
    """Also when the parent is killed."""
    code = (
        "from model_server.jobs.redis_server import RedisServer; import time\n"
        "with RedisServer() as redis: print(redis.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate(timeout=30)
    give_up = time.monotonic() + 30
    while (state := Path(f"/proc/{pid}/stat")).exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:1/0", "is Redis running"),
        ("amqp://127.0.0.1", "expected redis://HOST:PORT/DB or embedded"),
    ],
)
def test_a_broker_that_is_not_there_is_reported_in_a_line(url: str, message: str) -> None:
    with pytest.raises(JobsError, match=message):
        check_broker(url)


def test_a_missing_redis_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(JobsError, match=r"pip install 'paceline\[celery\]'"):
        redis_server.find()
