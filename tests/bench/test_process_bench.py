"""What bulk processing promises in figures: memory, kills, and what keeping the order costs."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from harness.bulk import ProcessSettings, process
from harness.client.transport.server import call
from harness.client.types import Outcome, Request, Response
from harness.experiment.event_loop import new_event_loop
from tests.bulk.killing import check, kill_and_go_on
from tests.processes import ROOT, mock

LINES = 1_000_000
KILLS = 20
CONCURRENCY = 32


def write_lines(path: Path, lines: int) -> None:
    """Rows of annotation, each with an id."""
    with path.open("w") as file:
        for n in range(1, lines + 1):
            file.write(json.dumps({"id": f"i{n}", "text": f"a text of some words to be annotated, number {n}"}) + "\n")


def test_memory_stays_the_same_over_a_million_lines(benchmark: Any, tmp_path: Path) -> None:
    """At most 20 MB more at a million lines than at ten thousand, in either order."""
    write_lines(tmp_path / "in.jsonl", LINES)

    def run(order: str) -> dict[str, float]:
        line = [sys.executable, "-m", "tests.bench.process_run", str(tmp_path), order]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        said: dict[str, float] = json.loads(subprocess.check_output(line, env=environment, cwd=ROOT))
        return said

    measured = {"completion": run("completion")}
    measured["input"] = benchmark.pedantic(run, args=("input",), rounds=1)
    for order, said in measured.items():
        growth = said["most_mb"] - said["first_mb"]
        print(f"\n{order} order: {said['per_s']:,.0f} lines/s, {said['first_mb']:.0f} MB at 10,000, {growth:+.1f} MB")
        benchmark.extra_info[f"growth_mb_{order}"] = round(growth, 1)
        assert said["ok"] == LINES
        assert growth <= 20


def test_twenty_kills_lose_nothing(benchmark: Any, tmp_path: Path) -> None:
    """The command against a real mock, kill -9 at random moments: each id once, no more repeated than was in flight."""
    lines = 20_000
    write_lines(tmp_path / "in.jsonl", lines)
    with mock("[generation]\nttft_base_s = 0.01\nitl_base_s = 0.0001\n", tmp_path) as server:

        def start() -> subprocess.Popen[bytes]:
            line = [sys.executable, "-m", "harness", "process", str(tmp_path / "in.jsonl"), "--task", "annotate"]
            line += ["--output", str(tmp_path / "out.jsonl"), "--dead-letter", str(tmp_path / "bad.jsonl"), "--resume"]
            line += ["--target", server.url, "-s", f"queue-stream:concurrency={CONCURRENCY}", "--quiet"]
            return subprocess.Popen(line, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

        def run() -> int:
            return kill_and_go_on(start, tmp_path / "out.jsonl.journal", KILLS, Random(), at_most_s=0.4)

        kills = benchmark.pedantic(run, rounds=1)
        seen = call(f"{server.url}/debug/counts")["total"]["seen"]
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", lines)
    repeated = seen - lines
    print(
        f"\n{kills} kills: 0 lost, 0 twice, {repeated} of {lines} calls repeated ({kills * CONCURRENCY} were in flight)"
    )
    benchmark.extra_info["repeated"] = repeated
    assert kills == KILLS
    assert repeated <= kills * CONCURRENCY


def test_input_order_costs_no_throughput(benchmark: Any, tmp_path: Path) -> None:
    """At least 95 % of the rate in completion order, with latencies that scatter by half their mean."""
    lines = 20_000
    write_lines(tmp_path / "in.jsonl", lines)

    def rate(order: str, seed: int) -> float:
        rng = Random(seed)

        async def send(request: Request, /) -> Response:
            await asyncio.sleep(rng.lognormvariate(-4.6, 0.47))
            return Response(Outcome.ok, 200, ("an answer",), sent=0.0, done=0.0)

        settings = ProcessSettings(
            input=str(tmp_path / "in.jsonl"),
            output=str(tmp_path / "out.jsonl"),
            tasks=("annotate",),
            strategy="queue-stream:concurrency=50",
            order=order,  # type: ignore[arg-type] # one of the two
            overwrite=True,
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            began = time.perf_counter()
            assert runner.run(process(settings, send=send)).passed
            return lines / (time.perf_counter() - began)

    def pair(seed: int) -> float:
        return rate("input", seed) / rate("completion", seed)

    ratios = [pair(1), pair(2), benchmark.pedantic(pair, args=(3,), rounds=1)]
    ratio = statistics.median(ratios)
    print(f"\ninput order has {ratio:.1%} of the rate of completion order")
    benchmark.extra_info["ratio"] = round(ratio, 3)
    assert ratio >= 0.95
