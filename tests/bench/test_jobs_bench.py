"""What jobs cost on a real Redis with real workers, and ten kills of a worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from model_server.jobs.celery_backend import CeleryJobs
from model_server.jobs.job import JobSettings
from model_server.jobs.redis_server import RedisServer
from tests.jobs.servers import MASKED, kill, server, slow_profile, worker

pytestmark = pytest.mark.slow


def test_a_round_trip_takes_less_than_ten_milliseconds(benchmark: Any) -> None:
    """A job of one item that costs nothing, asked for every millisecond: the median."""
    settings = JobSettings()

    async def round_trips() -> list[float]:
        spans = []
        async with server(CeleryJobs(redis.url, settings)) as client:
            await client.over((await client.submit([{"inputs": "a"}], "embed"))["id"])
            for _ in range(200):
                begun = time.perf_counter()
                job = await client.submit([{"inputs": "a"}], "embed")
                while (await client("GET", f"/v1/jobs/{job['id']}"))[1]["status"] != "completed":
                    await asyncio.sleep(0.001)
                spans.append(time.perf_counter() - begun)
        return spans

    with RedisServer() as redis, worker(redis.url, "null", settings, "bench"):
        spans = benchmark.pedantic(lambda: asyncio.run(round_trips()), rounds=1)
    benchmark.extra_info["p50_ms"] = median(spans) * 1e3
    assert median(spans) < 0.010


def test_ten_kills_lose_nothing_and_are_over_in_fifteen_seconds(benchmark: Any, tmp_path: Path) -> None:
    """At ten different moments of a job, with the settings as they are."""
    settings, profile, spans = JobSettings(), slow_profile(tmp_path), []

    async def one(number: int) -> None:
        with (
            RedisServer() as redis,
            worker(redis.url, profile, settings, "one") as victim,
            worker(redis.url, profile, settings, "two"),
        ):
            async with server(CeleryJobs(redis.url, settings)) as client:
                job = await client.submit([MASKED] * 600)
                while (await client("GET", f"/v1/jobs/{job['id']}"))[1]["request_counts"][
                    "completed"
                ] < 20 + 45 * number:
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(kill, victim)
                killed = time.perf_counter()
                over = await client.over(job["id"])
                spans.append(time.perf_counter() - killed)
                results = await client.results(job["id"])
        assert over["request_counts"] == {"total": 600, "completed": 600, "failed": 0}
        assert [item["index"] for item in results] == list(range(600))

    def all_ten() -> None:
        for number in range(10):
            asyncio.run(one(number))

    benchmark.pedantic(all_ten, rounds=1)
    benchmark.extra_info["worst_s"] = max(spans)
    assert max(spans) < 15
