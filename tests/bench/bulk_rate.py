"""One rate limit over several worker processes, as the server sees it: `python -m tests.bench.bulk_rate`.

Prints requests per second at the server, and how even the workers' parts are (Jain's index).
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
from tests.bulk.helpers import write_input
from tests.processes import mock

PROFILE = "[generation]\nttft_base_s = 0.02\nitl_base_s = 0.0001\n"


def main() -> int:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mock(PROFILE, Path(folder)) as server:
        write_input(Path(folder, "in.jsonl"), int(given.rate * (given.seconds + 30)))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            found = runner.run(_measured(Path(folder), server.url, given))
    print(json.dumps(found))
    return int(abs(found["off"]) > 0.02 or found["jain"] < 0.95)


async def _measured(folder: Path, url: str, given: argparse.Namespace) -> dict[str, Any]:
    settings = ProcessSettings(
        input=str(folder / "in.jsonl"),
        output=str(folder / "out.jsonl"),
        target=url,
        tasks=("annotate",),
        strategy="queue-stream:concurrency=64",
        layers=LayerSettings(rate_limit_per_s=given.rate),
    )
    last: dict[str, Any] = {}
    fleet = Fleet(
        settings, FleetSettings(workers=given.workers), LocalEngine(), lambda event, facts: last.update(facts)
    )
    run = asyncio.create_task(fleet.run())
    while not last.get("counts") or last["counts"].settled < 5 * given.rate:
        await asyncio.sleep(0.2)
    first, then, parts = await asyncio.to_thread(seen, url), time.monotonic(), _parts(last)
    await asyncio.sleep(given.seconds)
    second, now = await asyncio.to_thread(seen, url), time.monotonic()
    each = [after - before for before, after in zip(parts, _parts(last), strict=True)]
    fleet.stop()
    await run
    rate = (second - first) / (now - then)
    jain = sum(each) ** 2 / (len(each) * sum(one**2 for one in each))
    return {"rate_per_s": round(rate, 2), "off": round(rate / given.rate - 1, 4), "jain": round(jain, 4), "each": each}


def _parts(facts: dict[str, Any]) -> list[int]:
    return [worker["lines"] for worker in facts["workers"]]


if __name__ == "__main__":
    sys.exit(main())
