"""One rate limit over several worker processes, as the server sees it: `python -m tests.bench.bulk_rate`.

Prints requests per second at the server, and how even the workers' parts are (Jain's index). Then the server refuses
for three seconds all calls of one worker with 429: prints the rate of the others before that, and two seconds after
the first refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.bulk import ProcessSettings
from harness.bulk.fleet.engines.local import LocalEngine
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.fleet_settings import FleetSettings
from harness.client.layer_settings import LayerSettings
from harness.experiment.event_loop import new_event_loop
from tests.bulk.fleet.test_local_engine import seen
from tests.processes import mock

REFUSED, FREE = "/similarity", "/annotate"
"""Paths of the tasks of the worker that is refused, and of the others."""
SLOWER_MAX = 0.85
"""Most of their rate that the others may keep."""
SETTLE_S, BEFORE_S, REFUSE_S = 5.0, 4.0, 3.0


def main() -> int:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mock(_profile(given), Path(folder)) as server:
        given.range_lines = _write_input(Path(folder, "in.jsonl"), given)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            found = runner.run(_measured(Path(folder), server.url, given))
    print(json.dumps(found))
    slow = found["others_after_2s_per_s"] <= SLOWER_MAX * found["others_before_per_s"]
    return int(abs(found["off"]) > 0.02 or found["jain"] < 0.95 or not slow)


def _profile(given: argparse.Namespace) -> str:
    begin = SETTLE_S + given.seconds + 2 * BEFORE_S
    fault = f'kind = "status"\nstatus = 429\nroutes = ["{REFUSED}"]\nstart_s = {begin}\nend_s = {begin + REFUSE_S}\n'
    return f"[generation]\nttft_base_s = 0.02\nitl_base_s = 0.0001\n[[faults]]\n{fault}"


def _write_input(path: Path, given: argparse.Namespace) -> int:
    """Ranges that last for the whole run, so that each worker has one; the first is of another task than the others."""
    each = int(given.rate * (given.seconds + 40) / given.workers)
    other, rest = {"task": "similarity", "text1": "a b", "text2": "b c"}, {"task": "annotate", "text": "a b c"}
    with path.open("w") as file:
        for number in range(each * given.workers):
            file.write(json.dumps(other if number < each else rest) + "\n")
    return each


async def _measured(folder: Path, url: str, given: argparse.Namespace) -> dict[str, Any]:
    settings = ProcessSettings(
        input=str(folder / "in.jsonl"),
        output=str(folder / "out.jsonl"),
        target=url,
        tasks=("annotate", "similarity"),
        strategy="queue-stream:concurrency=64",
        layers=LayerSettings(rate_limit_per_s=given.rate),
    )
    last: dict[str, Any] = {}
    workers = FleetSettings(workers=given.workers, range_lines=given.range_lines)
    fleet = Fleet(settings, workers, LocalEngine(), lambda event, facts: last.update(facts))
    run = asyncio.create_task(fleet.run())
    while not await asyncio.to_thread(seen, url):
        await asyncio.sleep(0.02)
    began = time.monotonic()
    await asyncio.sleep(SETTLE_S)
    first, then, parts = await asyncio.to_thread(seen, url), time.monotonic(), _parts(last)
    await asyncio.sleep(given.seconds)
    second, now = await asyncio.to_thread(seen, url), time.monotonic()
    each = [after - before for before, after in zip(parts, _parts(last), strict=True)]
    fault = began + SETTLE_S + given.seconds + 2 * BEFORE_S
    others_before = await _others(url, fault - BEFORE_S, fault - 0.5)
    others_after = await _others(url, fault + 2.0, fault + REFUSE_S)
    fleet.stop()
    await run
    rate = (second - first) / (now - then)
    jain = sum(each) ** 2 / (len(each) * sum(one**2 for one in each))
    found = {"rate_per_s": round(rate, 2), "off": round(rate / given.rate - 1, 4), "jain": round(jain, 4), "each": each}
    return found | {"others_before_per_s": round(others_before, 1), "others_after_2s_per_s": round(others_after, 1)}


async def _others(url: str, begin: float, end: float) -> float:
    """The rate of the workers that are not refused, between two instants."""
    await asyncio.sleep(begin - time.monotonic())
    first, then = await asyncio.to_thread(seen, url, FREE), time.monotonic()
    await asyncio.sleep(end - time.monotonic())
    return (await asyncio.to_thread(seen, url, FREE) - first) / (time.monotonic() - then)


def _parts(facts: dict[str, Any]) -> list[int]:
    return [worker["lines"] for worker in facts["workers"]]


if __name__ == "__main__":
    sys.exit(main())
