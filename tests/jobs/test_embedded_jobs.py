"""What only the embedded backend promises: a file that survives the process, bounds, expiry, cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from model_server.api import native
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import ALONE_MAX, TOGETHER_MAX, ItemResult, JobSettings, NewJob
from model_server.jobs.store import Store, StoreError
from tests.http.test_server_command import command
from tests.jobs.servers import MASKED, server, slow_profile
from tests.processes import ROOT

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
        assert cancelled["status"] in ("cancelling", "cancelled")
        assert (await client.over(job["id"]))["status"] == "cancelled"
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
    job, _, _ = store.add(NewJob("job_a", "/embed", [b"1", b"2"], 1.0), 100)
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


def test_a_late_result_does_not_touch_a_job_that_is_over(tmp_path: Path) -> None:
    """The cancelled job keeps its end, its counts and its status, and expires in its time."""
    store = Store(tmp_path / "jobs.sqlite")
    job, _, _ = store.add(NewJob("job_a", "/embed", [b"1", b"2"], 1.0), 100)
    store.cancel(job.id, 2.0, running=False)
    assert store.keep(job.id, [ItemResult(0, 200, b"late"), ItemResult(1, 200, b"late")], 3.0) is None
    found = store.get(job.id)
    assert found is not None
    assert (found.status, found.completed_at, found.done) == ("cancelled", 2.0, 0)
    assert store.expire(3.0) == 1
    store.close()


def test_a_job_is_cancelling_until_its_last_item_is_stored(tmp_path: Path) -> None:
    """Then it is cancelled, also if every item came to a result."""
    store = Store(tmp_path / "jobs.sqlite")
    job, _, _ = store.add(NewJob("job_a", "/embed", [b"1"], 1.0), 100)
    assert store.next_open(1.5) is not None
    cancelling = store.cancel(job.id, 2.0, running=True)
    assert cancelling is not None
    assert (cancelling.status, cancelling.completed_at) == ("cancelling", None)
    assert store.next_open(2.5) is None
    kept = store.keep(job.id, [ItemResult(0, 200, b"late")], 3.0)
    assert kept is not None
    assert (kept.status, kept.completed_at, kept.completed) == ("cancelling", None, 1)
    store.end_cancelled(4.0)
    over = store.get(job.id)
    assert over is not None
    assert (over.status, over.completed_at) == ("cancelled", 4.0)
    store.close()


async def test_a_repeated_submission_needs_no_room(tmp_path: Path) -> None:
    """The job of its key is there already, however full the server is."""
    key = {"Idempotency-Key": "nightly"}
    async with server(EmbeddedJobs(None, JobSettings(waiting_max=100)), slow_profile(tmp_path)) as client:
        job = await client.submit([MASKED] * 90, **key)
        again = await client.submit([MASKED] * 90, **key)
        assert again["id"] == job["id"]


async def test_a_full_disk_is_reported_and_the_jobs_go_on_when_there_is_room_again(tmp_path: Path) -> None:
    """SQLite's own limit of pages plays the disk: /ready says why nothing is done, and no result is lost."""
    backend = EmbeddedJobs(tmp_path / "jobs.sqlite", JobSettings(concurrency=4))
    async with server(backend, slow_profile(tmp_path)) as client:
        job = await client.submit([MASKED] * 60)
        pages = await backend._ask(lambda store: store._db.execute("PRAGMA page_count").fetchone()[0])
        await backend._ask(lambda store: store._db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        while (answer := await client("GET", "/ready"))[0] == 200:
            await asyncio.sleep(0.01)
        assert (answer[0], answer[1]["error"]["code"]) == (503, "jobs_unavailable")
        assert "disk is full" in answer[1]["error"]["message"]
        many = [{"text": "the [MASK] " + "x" * 5000}] * 50
        refused, error = await client("POST", "/v1/jobs", {"endpoint": "fill-mask", "inputs": many})
        assert (refused, error["error"]["code"]) == (503, "jobs_unavailable")
        await backend._ask(lambda store: store._db.execute("PRAGMA max_page_count = 1000000").fetchone())
        over = await client.over(job["id"])
        assert over["request_counts"] == {"total": 60, "completed": 60, "failed": 0}
        assert [item["index"] for item in await client.results(job["id"])] == list(range(60))
        assert (await client("GET", "/ready"))[0] == 200


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """An older file, too, and what SQLite puts beside it."""
    path = tmp_path / "jobs.sqlite"
    path.touch(0o644)
    store = Store(path)
    store.add(NewJob("job_a", "/embed", [b"1"], 1.0), 100)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    store.close()
    assert modes["jobs.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_mock_writes_nothing_unasked(tmp_path: Path) -> None:
    """Its jobs are in memory unless a file is named; the home directory stays as it was."""
    home = tmp_path / "home"
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    with command("--profile", "null", "--port", str(port), env=environment) as (_, ready):
        body = json.dumps({"endpoint": "fill-mask", "inputs": [MASKED]}).encode()
        assert ask(ready["url"] + "/v1/jobs", body)["status"] == "queued"
    assert list(home.rglob("*")) == []


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


DEADLY_SERVER = """
import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from mock_server.app import create
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import JobSettings

async def main():
    backend = EmbeddedJobs(Path(sys.argv[1]), JobSettings(concurrency=8))
    app = create("null", jobs=backend)
    route, decode = app.find("POST", "/fill-mask")

    async def deadly(app, exchange, body):
        if "poison" in body.text:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.005)
        return await route.handler(app, exchange, body)

    app._table["/fill-mask"]["POST"] = (replace(route, handler=deadly), decode)
    app.open()
    while (await backend.get("job_a")).completed_at is None:
        await asyncio.sleep(0.01)
    await app.aclose()

asyncio.run(main())
"""


@pytest.mark.slow
def test_an_item_that_kills_the_server_gets_an_error_and_its_neighbours_their_answers(tmp_path: Path) -> None:
    """The server is started again as a supervisor would; after so many deaths it is not killed any more."""
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    texts = [f"number {index} of the [MASK]" for index in range(40)]
    texts[10] = "the poison of the [MASK]"
    store.add(NewJob("job_a", "/fill-mask", [json.dumps({"text": text}).encode() for text in texts], 1.0), 100)
    store.close()
    ends: list[int] = []
    while not ends or ends[-1]:
        ends.append(subprocess.run([sys.executable, "-c", DEADLY_SERVER, str(path)], cwd=ROOT, check=False).returncode)
        assert len(ends) < 12
    store = Store(path)
    job, results = store.get("job_a"), store.results("job_a", 0, 100)
    store.close()
    assert job is not None
    assert (job.completed, job.failed) == (39, 1)
    assert json.loads(results[10].body)["error"]["code"] == "item_ended_worker"
    assert set(ends[:-1]) == {-signal.SIGKILL}
    assert len(ends) > TOGETHER_MAX + ALONE_MAX


def test_a_file_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    """The columns that came later are added; what is in it stays."""
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    store.add(NewJob("job_a", "/embed", [b"1"], 1.0), 100)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as old:
        for column in ("begun", "begun_at", "alone", "alone_times"):
            old.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    store = Store(path)
    assert store.begin("job_a") == 1
    assert store.begin("job_a") == 2
    store.rest()
    assert store.begin("job_a") == 1
    store.close()
