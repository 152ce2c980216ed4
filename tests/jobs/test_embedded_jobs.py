"""What only the embedded backend promises: a file that survives the process, bounds, expiry, cancelling."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from model_server.api import native
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import ItemResult, JobSettings, NewJob
from model_server.jobs.store import Store, StoreError
from tests.http.test_server_command import command
from tests.jobs.servers import MASKED, server, slow_profile

pytestmark = pytest.mark.timeout(120)


@pytest.mark.slow
def test_a_killed_server_loses_no_job(tmp_path: Path) -> None:
    """kill -9 in the middle; the next server on the file finishes what is left, each item once."""
    line = ["--profile", slow_profile(tmp_path), "--jobs-file", str(tmp_path / "jobs.sqlite")]
    body = json.dumps({"endpoint": "fill-mask", "inputs": [MASKED] * 300}).encode()
    with command(*line) as (process, ready):
        job_id = ask(ready["url"] + "/v1/jobs", body)["id"]
        done = 0
        while not 10 <= done < 300:
            done = ask(f"{ready['url']}/v1/jobs/{job_id}")["request_counts"]["completed"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    with command(*line) as (_, ready):
        while (state := ask(f"{ready['url']}/v1/jobs/{job_id}"))["status"] != "completed":
            assert state["request_counts"]["completed"] >= done
        results = ask(f"{ready['url']}/v1/jobs/{job_id}/results")["data"]
    assert [item["index"] for item in results] == list(range(300))
    assert state["request_counts"] == {"total": 300, "completed": 300, "failed": 0}


def ask(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:  # noqa: S310 - our own URL
        return json.loads(answer.read())


async def test_a_cancelled_job_computes_no_further_item(tmp_path: Path) -> None:
    async with server(EmbeddedJobs(None, JobSettings(concurrency=4)), slow_profile(tmp_path)) as client:
        job = await client.submit([MASKED] * 400)
        while not (await client("GET", f"/v1/jobs/{job['id']}"))[1]["request_counts"]["completed"]:
            await asyncio.sleep(0.01)
        _, cancelled = await client("DELETE", f"/v1/jobs/{job['id']}")
        assert cancelled["status"] == "cancelled"
        assert (await client("GET", f"/task_status/{job['id']}"))[1]["state"] == "REVOKED"
        following = await client.submit([MASKED])
        assert (await client.over(following["id"]))["status"] == "completed"
        assert (await client.over(job["id"]))["request_counts"]["completed"] < 400


async def test_too_much_waiting_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with server(EmbeddedJobs(None, JobSettings(waiting_max=100)), slow_profile(tmp_path)) as client:
        await client.submit([MASKED] * 90)
        status, answer = await client("POST", "/v1/jobs", {"endpoint": "fill-mask", "inputs": [MASKED] * 30})
        assert (status, answer["error"]["code"]) == (503, "server_full")
        assert int(client.headers["Retry-After"]) >= 1


async def test_a_job_is_forgotten_when_its_time_is_over() -> None:
    async with server(EmbeddedJobs(None, JobSettings(keep_s=0.0))) as client:
        job = await client.submit([MASKED])
        while (await client("GET", f"/v1/jobs/{job['id']}"))[0] != 404:
            await asyncio.sleep(0.01)
        assert (await client("GET", "/v1/jobs"))[1]["data"] == []


async def test_a_server_error_is_tried_again(tmp_path: Path) -> None:
    """So often and no more, then it is the item's result."""
    settings = JobSettings(retries=2, retry_delay_s=0.0)
    async with server(EmbeddedJobs(None, settings)) as client:
        calls = 0

        async def broken(*_: Any) -> None:
            nonlocal calls
            calls += 1
            raise RuntimeError("the model fell over")

        route = next(route for route in native.ROUTES if route.path == "/fill-mask")
        object.__setattr__(route, "handler", broken)
        try:
            over = await client.over((await client.submit([MASKED]))["id"])
            results = await client.results(over["id"])
        finally:
            object.__setattr__(route, "handler", native.fill_mask)
    assert calls == 3
    assert (over["status"], results[0]["status"]) == ("failed", 500)


def test_a_result_is_kept_once(tmp_path: Path) -> None:
    """The first one stays, and counts; results of a job that is gone are dropped."""
    store = Store(tmp_path / "jobs.sqlite")
    job, _, _ = store.add(NewJob("job_a", "/embed", [b"1", b"2"], 1.0))
    store.keep(job.id, [ItemResult(0, 200, b"first")], 2.0)
    store.keep(job.id, [ItemResult(0, 500, b"second")], 3.0)
    found = store.get(job.id)
    assert found is not None
    assert (found.completed, found.failed, found.status) == (1, 0, "queued")
    assert store.results(job.id, 0, 10) == [ItemResult(0, 200, b"first")]
    assert store.waiting() == 1
    assert store.keep("job_b", [ItemResult(0, 200, b"x")], 4.0) is None
    store.keep(job.id, [ItemResult(1, 200, b"last")], 5.0)
    assert store.expire(4.0) == 0
    assert store.expire(6.0) == 1
    assert store.get(job.id) is None
    store.close()


def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    """Both would do the same work."""
    store = Store(tmp_path / "jobs.sqlite")
    with pytest.raises(StoreError, match=r"jobs.sqlite: another server has it open"):
        Store(tmp_path / "jobs.sqlite")
    store.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"items_max": 0}, "items_max = 0"), ({"retries": -1}, "retries = -1"), ({"keep_s": -1.0}, "keep_s = -1.0")],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobSettings(**settings)
