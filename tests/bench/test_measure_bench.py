"""What recording costs the load, and what a report of a long run costs its reader."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.client.answers import Answers, Usage
from harness.client.types import Item, Outcome, Request, Response
from harness.measure.record.files import slug
from harness.measure.record.health import ProcessSampler
from harness.measure.record.plan import PLAN_VERSION, Measured, Plan, PlanCase, TaskShare, write_measured, write_plan
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import REQUEST_DTYPE, REQUEST_ROW, End, Header, encode_header
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Named, Target
from tests.measure_samples import framed
from tests.unit.recorded import T0, recorder, request

REQUESTS = 20_000
ROWS = 1_000_000


def test_recording_a_request(benchmark: Any, tmp_path: Path) -> None:
    """One request through the recorder's layer, less the same call without it: at most 3 µs (2 on a quiet machine)."""
    t0 = time.monotonic()
    task: Any = None
    request = Request((Item(1, None, task, 0, t0, t0),), task, "/", b"")
    response = Response(Outcome.ok, 200, (1,), t0 + 0.1, t0 + 0.2, t0 + 0.3)

    async def send(_: Request, /) -> Response:
        return response

    async def timed(layered: bool) -> float:
        recorder = Recorder(tmp_path, case="bench", repeat=0, process=0, t0=t0, t0_unix_s=0.0)
        through = recorder.layer(send, 0) if layered else send
        began = time.perf_counter()
        for _ in range(REQUESTS):
            await through(request)
        took = time.perf_counter() - began
        recorder.end(End(REQUESTS, REQUESTS, recorder.recorded, 0))
        return took

    def both() -> float:
        return (asyncio.run(timed(True)) - asyncio.run(timed(False))) / REQUESTS * 1e6

    costs_us = [both() for _ in range(3)]
    costs_us.append(benchmark.pedantic(both, rounds=3))
    benchmark.extra_info["us_per_request"] = round(min(costs_us), 3)
    print(f"\nrecording costs {min(costs_us):.2f} µs a request")
    assert min(costs_us) < 3.0


def test_recording_a_stream(benchmark: Any, tmp_path: Path) -> None:
    """The tokens and the 99 gaps of a stream of 100 events: at most 60 µs, where reading it takes milliseconds."""
    into = recorder(tmp_path)
    chunks = tuple(T0 + 0.1 + 0.01 * k for k in range(100))
    answers = Answers(("x",), usage=Usage(10, 100))
    response = Response(Outcome.ok, 200, answers, T0, chunks[0], chunks[-1], chunks=chunks)
    asked = request()

    def streams() -> float:
        began = time.perf_counter()
        for _ in range(2_000):
            into._append(asked, response, 0)
        return (time.perf_counter() - began) / 2_000 * 1e6

    benchmark.pedantic(streams, rounds=3)
    cost_us = min(streams() for _ in range(5))
    benchmark.extra_info["us_per_stream"] = round(cost_us, 1)
    print(f"\nrecording costs {cost_us:.1f} µs a stream of 100 events")
    assert cost_us < 60.0


def test_asking_for_cpu_and_memory(benchmark: Any) -> None:
    """One sample of the client's own use: cheap enough for 20 a second."""
    sampler = ProcessSampler()
    sampler.start()
    benchmark(sampler.sample)
    assert benchmark.stats.stats.median < 200e-6


def test_summarizing_a_million_requests(benchmark: Any, tmp_path: Path) -> None:
    """From files on disk to the result: a few seconds."""
    rng = np.random.default_rng(1)
    rows = np.zeros(ROWS, REQUEST_DTYPE)
    rows["index"] = np.arange(ROWS)
    rows["first_sent"] = rows["sent"] = np.sort(rng.integers(0, 10**11, ROWS))
    rows["first_byte"] = rows["done"] = rows["sent"] + rng.exponential(1e8, ROWS).astype(np.int64) + 1
    rows["attempts"] = 1
    rows["status"] = 200
    records = tmp_path / "records"
    records.mkdir()
    stem = slug("queue-stream", 0, 0)
    header = Header("requests", "queue-stream", 0, 0, 0.0, REQUEST_ROW.size)
    (records / f"{stem}.requests").write_bytes(encode_header(header) + framed(rows, 150))
    case = PlanCase(
        name="queue-stream",
        strategy=Named("queue-stream"),
        tasks=[TaskShare(Named("similarity"))],
        items=ROWS,
    )
    plan = Plan(
        schema_version=PLAN_VERSION,
        id="bench",
        started_at="2026-01-01T00:00:00+00:00",
        tool={},
        environment={},
        seed=1,
        slo=None,
        cases=[case],
    )
    write_plan(plan, tmp_path)
    write_measured(Measured(Target("http://127.0.0.1:1")), tmp_path)
    result = benchmark.pedantic(summarize_run, (tmp_path,), rounds=2)
    assert result.cases[0].counts.ok == ROWS
    assert benchmark.stats.stats.min < 8.0
