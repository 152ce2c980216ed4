"""A run of ten million requests: memory of the recorder, size on disk, and what its summary and report cost.

`python -m tests.bench.ten_million [--requests N] [--keep DIRECTORY]`
`python -m tests.bench.ten_million --real SECONDS [--rate N]` plays real requests, and prints how its memory grew.

The records are written by the real recorder, with made-up instants in place of a server: an open load of 40,000
arrivals a second, of which one in five thousand is refused. The summary and the report run in processes of their own,
whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from harness.client.types import Item, Outcome, Request, Response
from harness.experiment.child_process import play
from harness.measure.record.files import find
from harness.measure.record.plan import CaseFacts, write_facts
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import read
from tests.bench.clients import trial
from tests.bench.fixed_server import fixed_server
from tests.bench.peak_memory import peak_mb
from tests.unit.recorded import T0, end, plan, plan_case

RATE_PER_S = 40_000
FLUSH_ROWS = 2_000
REFUSED_EVERY = 5_000
FIRST = 100_000
"""Requests after which memory may grow no more."""

_PEAK = "from tests.bench.peak_memory import peak_mb; print(round(peak_mb()), file=sys.stderr)"
SUMMARY = (
    "import sys; from pathlib import Path; from harness.measure.reduce.summary import summarize_run\n"
    "import msgspec; result = summarize_run(Path(sys.argv[1]))\n"
    "(Path(sys.argv[1]) / 'result.json').write_bytes(msgspec.json.encode(result))\n"
    "case = result.cases[0]; print(case.counts.ok, case.latency_s.p50.value, case.latency_s.p99.value)\n" + _PEAK
)
REPORT = f"import sys; from harness.cli.main import main\ntry: main(['report', sys.argv[1]])\nfinally: {_PEAK}"


def rss_mb() -> float:
    """Resident memory of this process."""
    return psutil.Process().memory_info().rss / 1e6


def written(directory: Path, requests: int, watch: Callable[[int], None]) -> None:
    """The records of one case; `watch` gets the number of rows so far, from time to time."""
    task: Any = None
    records = directory / "records"
    records.mkdir(parents=True)
    recorder = Recorder(records, case="sync", t0=T0, t0_unix_s=5e8)
    draw = np.random.default_rng(1)
    for start in range(0, requests, FLUSH_ROWS):
        number = min(FLUSH_ROWS, requests - start)
        service = draw.lognormal(-6.0, 0.5, number).tolist()
        late = draw.exponential(0.0001, number).tolist()
        for place in range(number):
            index = start + place
            due = T0 + index / RATE_PER_S
            sent = due + late[place]
            done = sent + service[place]
            refused = index % REFUSED_EVERY == REFUSED_EVERY - 1
            recorder.started += 1
            recorder._append(
                Request((Item(index, None, task, 0, due, due),), task, "/", b""),
                Response(Outcome.rejected if refused else Outcome.ok, 503 if refused else 200, (), sent, done, done),
                0,
            )
        recorder.tick(t=start / RATE_PER_S, limit=64.0, pulled=start, cpu=start / 1e6, rss=7e7)
        recorder.flush()
        watch(recorder.recorded)
    span_s = requests / RATE_PER_S
    end(recorder, duration_s=span_s, cpu_s=requests / 5e4, schedule_sha256="ab")
    more = {"duration_s": span_s, "items": None, "scheduled": requests, "span_s": span_s}
    plan(directory, plan_case("sync", "constant", **more))
    write_facts(CaseFacts("sync", 0, exit_code=0, server_seen=requests), directory)


def process(program: str, directory: Path) -> tuple[float, int, str]:
    """Seconds, peak megabytes and output of a Python program."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program, str(directory)], capture_output=True, text=True, check=False)
    took, lines = time.monotonic() - began, done.stderr.split()
    if not lines or not lines[-1].isdigit():
        raise RuntimeError(done.stderr)
    return took, int(lines[-1]), done.stdout


def packed(directory: Path, within_s: float = 120.0) -> None:
    """Wait until the closed segments are compressed: a real run closes one in ten seconds or more."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and any(path.name[-1].isdigit() for path in (directory / "records").iterdir()):
        time.sleep(0.1)


def size_mb(directory: Path) -> float:
    """Bytes of all files of a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def real(seconds: float, rate: float) -> None:
    """Play arrivals on the lean transport under Locust, with a server that always gives the same answer."""
    with fixed_server() as url, tempfile.TemporaryDirectory() as records:
        play(trial(url, records, "lean", seconds, rate))
        (process,) = find(Path(records))["whole"][0]
        rows, ticks = read(process.requests)[1], read(process.timeline)[1]
        late = (rows["fired"] - rows["due"]) / 1e6
        cpu_us, lag_ms = 1e6 * ticks["cpu"][-1] / len(rows), np.percentile(late, 99)
        first, most = ticks["rss"][np.searchsorted(ticks["done"], FIRST)] / 1e6, ticks["rss"].max() / 1e6
        print(f"real:     {len(rows):,} requests in {ticks['t'][-1]:.0f} s, {np.mean(rows['outcome'] == 0):.2%} ok")
        print(f"          CPU {cpu_us:.1f} µs a request, lag p99 {lag_ms:.2f} ms")
        print(f"          memory {first:.0f} MB at {FIRST:,} requests, at most +{most - first:.1f} MB later")


def main(arguments: list[str]) -> None:
    """Write, summarize and report; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path, default=None, help="a new directory for the run, which is kept")
    parser.add_argument("--real", type=float, default=None, help="seconds of a real load, in place of made-up instants")
    parser.add_argument("--rate", type=float, default=20_000.0)
    options = parser.parse_args(arguments)
    if options.real:
        real(options.real, options.rate)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or Path(temporary) / "run"
        seen: list[tuple[int, float, float]] = []

        def watch(rows: int) -> None:
            if not seen or rows - seen[-1][0] >= FIRST:
                seen.append((rows, rss_mb(), size_mb(directory)))

        began = time.process_time()
        written(directory, options.requests, watch)
        cost_us = 1e6 * (time.process_time() - began) / options.requests
        base = next((rss for rows, rss, _ in seen if rows >= FIRST), seen[0][1])
        most = max(rss for _, rss, _ in seen)
        print(
            f"recorder: {options.requests:,} requests at {cost_us:.1f} µs, memory {base:.0f} MB at {FIRST:,} requests"
        )
        print(f"          and at most {most:.0f} MB later (+{most - base:.1f} MB)")
        packed(directory)
        most_mb, mb = max(size for *_, size in seen), size_mb(directory)
        print(f"disk:     at most {most_mb:.0f} MB while it ran, {mb:.0f} MB at the end")
        for name, program in (("summary", SUMMARY), ("report", REPORT)):
            took, peak, said = process(program, directory)
            print(f"{name + ':':<9} {took:.1f} s, {peak} MB at most; {' '.join(said.split())[:100]}")
        print(f"this process: {peak_mb():.0f} MB at most")


if __name__ == "__main__":
    main(sys.argv[1:])
