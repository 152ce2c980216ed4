"""Kills workers and coordinators of a bulk run at random moments: `python -m tests.bench.bulk_kills [--lines N] ...`.

Prints what was lost, doubled, out of order and sent again. The bound of calls that are sent again is the common
concurrency for each kill: nobody can have more in flight.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import psutil

from tests.bulk.fleet.test_local_engine import seen
from tests.bulk.helpers import rows, write_input
from tests.processes import ROOT, mock

CONCURRENCY = 32
PROFILE = "[generation]\nttft_base_s = 0.02\nitl_base_s = 0.0001\n"


def main() -> int:
    """Run it, and say what became of the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=120_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--worker-kills", type=int, default=20)
    parser.add_argument("--coordinator-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-s", type=float, default=1.2, help="most seconds between two kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mock(PROFILE, Path(folder)) as server:
        place = Path(folder)
        write_input(place / "in.jsonl", given.lines)
        made = _kill(place, server.url, given)
        return _judged(place, seen(server.url), made, given.lines)


def _start(folder: Path, url: str, workers: int) -> subprocess.Popen[bytes]:
    arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "--target", url, "--resume", "--quiet"]
    arguments += ["-s", f"queue-stream:concurrency={CONCURRENCY}", "--workers", str(workers), "--range-lines", "500"]
    line = [sys.executable, "-m", "harness", "process", *arguments]
    return subprocess.Popen(line, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})


def _kill(folder: Path, url: str, given: argparse.Namespace) -> dict[str, int]:
    """Kill in random order, go on each time, and let the last session end."""
    rng = Random(given.seed)
    victims = ["worker"] * given.worker_kills + ["coordinator"] * given.coordinator_kills
    rng.shuffle(victims)
    made = {"worker": 0, "coordinator": 0, "orphans": 0}
    run = _start(folder, url, given.workers)
    for victim in victims:
        children = _working(run, folder)
        time.sleep(rng.uniform(0.1, given.most_s))
        if run.poll() is not None:
            break
        if victim == "worker":
            with contextlib.suppress(psutil.NoSuchProcess):
                rng.choice(psutil.Process(run.pid).children() or children).kill()
        else:
            children = psutil.Process(run.pid).children()
            run.kill()
            run.wait()
            made["orphans"] += len(psutil.wait_procs(children, timeout=5)[1])
            run = _start(folder, url, given.workers)
        made[victim] += 1
    assert run.wait(250) == 0, "the last session did not pass"
    return made


def _working(run: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """Wait until the session has workers that have written a part."""
    began = time.time()
    while run.poll() is None:
        children = psutil.Process(run.pid).children()
        parts = list(folder.glob("out.jsonl.parts/part-*.jsonl"))
        if children and any(path.stat().st_mtime > began for path in parts if path.exists()):
            return children
        time.sleep(0.02)
    return []


def _judged(folder: Path, calls: int, made: dict[str, int], lines: int) -> int:
    numbers = [row["line"] for row in rows(folder / "out.jsonl")]
    bound = CONCURRENCY * (made["worker"] + made["coordinator"])
    found = {
        **made,
        "lines": lines,
        "lost": len(set(range(1, lines + 1)) - set(numbers)),
        "doubled": len(numbers) - len(set(numbers)),
        "in order": numbers == sorted(numbers),
        "sent again": calls - lines,
        "bound": bound,
    }
    print(json.dumps(found))
    return int(
        bool(found["lost"] or found["doubled"] or found["orphans"] or not found["in order"] or calls - lines > bound)
    )


if __name__ == "__main__":
    sys.exit(main())
