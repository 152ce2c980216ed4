"""Clients side by side in one run: rate, CPU per request and memory, with a server that always gives the same answer.

`python -m tests.bench.clients [--seconds S] [--rounds N] [--json FILE]`

Each client runs in a process of its own with 32 connections; the rounds take turns, and the least CPU of each counts.
The figures of wrk (8.7 µs) and k9-load (13.3 µs) in `docs/performance.md` are of another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness import plugins
from harness.experiment.child_process import play
from harness.experiment.spec import SAMPLE_PAIRS, Trial
from harness.measure.record.files import find
from harness.measure.record.plan import TaskShare
from harness.measure.record.rows_file import End
from harness.measure.result import Named
from tests.bench.client_loops import IN_FLIGHT, PAIR, Measured
from tests.bench.fixed_server import fixed_server

ROOT = Path(__file__).parents[2]


def of_loop(name: str, rate: float | None = None) -> Callable[[str, float], Measured]:
    """One of the loops of `client_loops`, in a process of its own."""

    def measured(url: str, seconds: float) -> Measured:
        line = [sys.executable, "-m", "tests.bench.client_loops", name, "--url", url, "--seconds", str(seconds)]
        line += [] if rate is None else ["--rate", str(rate)]
        found: Measured = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
        return found

    return measured


def trial(url: str, records: str, transport: Any, seconds: float, rate: float | None) -> Trial:
    """The load of the whole harness: a backlog, or arrivals at a rate."""
    task = Named("similarity", plugins.settings_of(plugins.make("task", "similarity")))
    return Trial(
        name="whole",
        target=url,
        transport=transport,
        strategy=Named("queue-stream", {"concurrency": IN_FLIGHT * (1 if rate is None else 2)}),
        tasks=[TaskShare(task)],
        records=records,
        load=Named("backlog") if rate is None else Named("poisson", {"rate_per_s": rate}),
        duration_s=seconds,
        items=round(seconds * (20_000 if transport == "lean" else 5_000)) if rate is None else None,
        input=str(SAMPLE_PAIRS),
    )


def of_harness(transport: Any, rate: float | None = None) -> Callable[[str, float], Measured]:
    """The whole harness in its Locust process, recording everything."""

    def measured(url: str, seconds: float) -> Measured:
        with tempfile.TemporaryDirectory() as records:
            play(trial(url, records, transport, seconds, rate))
            end = msgspec.json.decode(find(Path(records))["whole"][0][0].end.read_bytes(), type=End)
        assert end.recorded == end.locust_requests, (end.recorded, end.locust_requests)
        assert end.locust_failures == 0
        return of_end(end)

    return measured


def of_end(end: End) -> Measured:
    """The figures that a process wrote of itself."""
    return {"requests": end.recorded, "seconds": end.duration_s, "cpu_s": end.cpu_s, "rss_mb": end.rss_max_mb}


def fast_http_user(url: str, seconds: float) -> Measured:
    """Locust's own quick user; none of its requests may fail."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(msgspec.json.encode(PAIR))
        body.flush()
        users, span = str(IN_FLIGHT), f"{max(1, round(seconds))}s"
        line = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("fast_http.py")), "--headless"]
        # The printed number of failures is looked at, and says more than Locust's exit code.
        line += ["--host", url, "-u", users, "-r", users, "-t", span, "--only-summary", "--exit-code-on-error", "0"]
        environment = {**os.environ, "PACELINE_BENCH_BODY": body.name, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60 + seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return of_fast_http(done.stdout, seconds)


def of_fast_http(said: str, seconds: float) -> Measured:
    """The figures that `fast_http.py` printed. Raises AssertionError if a request failed."""
    words = next((text for text in said.splitlines() if text.startswith("cpu_us_per_request")), "").split()
    assert words, f"no figures: {said}"
    found = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert found["failures"] == 0, f"{found['failures']:.0f} of {found['requests']:.0f} requests failed"
    cpu_s = found["cpu_us_per_request"] * found["requests"] / 1e6
    return {"requests": found["requests"], "seconds": seconds, "cpu_s": cpu_s, "rss_mb": found["rss_mb"]}


CLIENTS: dict[str, Callable[[str, float], Measured]] = {
    "bare Protocol loop": of_loop("bare"),
    "lean transport alone": of_loop("lean"),
    "bare aiohttp loop": of_loop("aiohttp"),
    "paceline, lean, backlog": of_harness("lean"),
    "the same without Locust": of_loop("runner"),
    "paceline, lean, 10,000 arrivals/s": of_harness("lean", 10_000.0),
    "paceline, lean, 20,000 arrivals/s": of_harness("lean", 20_000.0),
    "paceline, aiohttp, backlog": of_harness("asyncio"),
    "Locust FastHttpUser": fast_http_user,
}


def side_by_side(
    seconds: float, rounds: int, clients: dict[str, Callable[[str, float], Measured]]
) -> dict[str, Measured]:
    """Each client's round with the least CPU per request."""
    best: dict[str, Measured] = {}
    with fixed_server() as url:
        for number in range(rounds):
            for name, client in clients.items():
                found = client(url, seconds)
                found["cpu_us"] = 1e6 * found["cpu_s"] / found["requests"]
                found["per_s"] = found["requests"] / found["seconds"]
                print(
                    f"  round {number + 1} of {rounds}: {name}: {found['cpu_us']:.1f} µs", file=sys.stderr, flush=True
                )
                if name not in best or found["cpu_us"] < best[name]["cpu_us"]:
                    best[name] = found
    return best


def table(found: dict[str, Measured]) -> Iterator[str]:
    """The lines of the table; ratios to the first client."""
    least = next(iter(found.values()))["cpu_us"]
    yield f"{'client':<36} {'requests/s':>10} {'CPU/request':>12} {'of first':>8} {'memory':>8}"
    for name, one in found.items():
        cost = f"{one['cpu_us']:.1f} µs"
        yield f"{name:<36} {one['per_s']:>10,.0f} {cost:>12} {one['cpu_us'] / least:>7.1f}x {one['rss_mb']:>5.0f} MB"


def main(arguments: list[str]) -> None:
    """Print the table; write the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args(arguments)
    found = side_by_side(options.seconds, options.rounds, CLIENTS)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
