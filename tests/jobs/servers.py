"""A server with jobs for tests: in this process, its backend embedded or Celery with a real Redis and real workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from mock_server.app import create
from mock_server.main import MockOptions, worker_recipe
from mock_server.profiles import load
from model_server.http.serving import served
from model_server.jobs.job import JobBackend, JobSettings

OVER_S = 100.0
MASKED = {"text": "the [MASK] of the matter"}
SLOW = "# slow\n[service]\nbase_s = 0.02\n[capacity]\nworkers = 4\n"


@contextmanager
def worker(url: str, profile: str, settings: JobSettings, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker in a process group of its own; killed at the end."""
    line = worker_recipe(MockOptions(profile)).command(url, settings, name)
    process = subprocess.Popen(line, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to it and its children, as when a machine is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


class Client:
    """Asks the server, and answers with status and JSON."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            self.headers = answer.headers
            return answer.status, json.loads(await answer.read())

    async def submit(self, bodies: list[Any], endpoint: str = "fill-mask", **headers: str) -> dict[str, Any]:
        """A job that is accepted."""
        status, job = await self("POST", "/v1/jobs", {"endpoint": endpoint, "inputs": bodies}, **headers)
        assert status == 202, job
        return dict(job)

    async def over(self, job_id: str) -> dict[str, Any]:
        """Wait for its end; a job that has none is shown as it is."""
        deadline = time.monotonic() + OVER_S
        while True:
            _, job = await self("GET", f"/v1/jobs/{job_id}")
            if job["status"] in ("completed", "failed", "cancelled"):
                return dict(job)
            assert time.monotonic() < deadline, job
            await asyncio.sleep(0.1)

    async def results(self, job_id: str, limit: int = 1000) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        start, more = 0, True
        while more:
            _, page = await self("GET", f"/v1/jobs/{job_id}/results?start={start}&limit={limit}")
            found += page["data"]
            start, more = page["next_start"], page["has_more"]
        return found


@asynccontextmanager
async def server(backend: JobBackend | None, profile: str = "null") -> AsyncIterator[Client]:
    """The mock with this backend on a free port."""
    app = create(load(profile), jobs=backend)
    async with served(app) as url, aiohttp.ClientSession(url) as session:
        yield Client(session)


def slow_profile(folder: Path) -> str:
    """A file of a profile with 20 ms an item, four at a time."""
    path = folder / "slow.toml"
    path.write_text(SLOW)
    return str(path)
