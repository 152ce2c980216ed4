"""Kills actors and nodes of a bulk run on a Ray cluster of this machine: `python -m tests.bench.bulk_ray_kills`.

The command runs on one node; the second one is killed and replaced. Prints what was lost, doubled and sent again, and
the bound: the common concurrency for each kill.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from harness.bulk.fleet.fleet_status import status_of
from harness.client.errors import UsageError
from tests.bulk.fleet.test_local_engine import seen
from tests.bulk.fleet.test_ray_engine import CONCURRENCY, SLOW, TwoNodes, start
from tests.bulk.helpers import rows, write_input
from tests.processes import mock


def main() -> int:
    """Run it, and say what became of the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=30_000)
    parser.add_argument("--worker-kills", type=int, default=5)
    parser.add_argument("--node-kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    nodes = TwoNodes()
    with tempfile.TemporaryDirectory() as folder, mock(SLOW, Path(folder)) as server:
        place = Path(folder)
        write_input(place / "in.jsonl", given.lines)
        run = start(server.url, place, nodes.cluster.address)
        made = _kill(run, place, nodes, given)
        said = run.communicate(timeout=250)[1]
        assert run.returncode == 0, said
        code = _judged(place, seen(server.url), made, given.lines)
    nodes.cluster.shutdown()
    return code


def _kill(run: subprocess.Popen[str], folder: Path, nodes: TwoNodes, given: argparse.Namespace) -> dict[str, int]:
    rng = Random(given.seed)
    victims = ["worker"] * given.worker_kills + ["node"] * given.node_kills
    rng.shuffle(victims)
    made = {"worker": 0, "node": 0}
    for victim in victims:
        pids = _workers(run, folder)
        if not pids:
            break
        time.sleep(rng.uniform(0.2, 1.5))
        if victim == "worker":
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(pids), signal.SIGKILL)
        else:
            nodes.kill_second()
            nodes.second = nodes.cluster.add_node(num_cpus=1)
        made[victim] += 1
    return made


def _workers(run: subprocess.Popen[str], folder: Path) -> list[int]:
    """Wait for three working workers; empty once the run has ended."""
    while run.poll() is None:
        with contextlib.suppress(UsageError):
            workers = [each for each in status_of(str(folder / "out.jsonl")).workers if each["ranges"]]
            if len(workers) >= 3:
                return [each["pid"] for each in workers]
        time.sleep(0.1)
    return []


def _judged(folder: Path, calls: int, made: dict[str, int], lines: int) -> int:
    numbers = [row["line"] for row in rows(folder / "out.jsonl")]
    lost, doubled = len(set(range(1, lines + 1)) - set(numbers)), len(numbers) - len(set(numbers))
    bound = CONCURRENCY * sum(made.values())
    print(
        json.dumps(
            {
                **made,
                "lost": lost,
                "doubled": doubled,
                "in order": numbers == sorted(numbers),
                "sent again": calls - lines,
                "bound": bound,
            }
        )
    )
    return int(bool(lost or doubled or numbers != sorted(numbers) or calls - lines > bound))


if __name__ == "__main__":
    sys.exit(main())
