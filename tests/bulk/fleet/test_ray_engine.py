"""`paceline process --engine ray` on a cluster of two nodes: killed workers, a killed node, a killed coordinator."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.fleet.fleet_status import status_of
from tests.bulk.fleet.inside import check_whole
from tests.bulk.fleet.test_local_engine import seen, until_answers
from tests.bulk.helpers import write_input
from tests.processes import ROOT, mock, paceline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (the extra ray)"),
]
SLOW = "[generation]\nttft_base_s = 0.01\nitl_base_s = 0.0001\n"
CONCURRENCY = 8
LINES = 2400
ARGUMENTS = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "-s", f"queue-stream:concurrency={CONCURRENCY}"]
ARGUMENTS += ["--engine", "ray", "--workers", "3", "--range-lines", "100", "--resume"]


def _cluster(tries: int = 3) -> Any:
    """A head. Ray gives it 30 s to start, which are too few at times on a busy machine."""
    from ray.cluster_utils import Cluster

    try:
        return Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    except Exception:
        if tries == 1:
            raise
        return _cluster(tries - 1)


class TwoNodes:
    """A cluster on this machine: a head, and a second node that may be killed."""

    def __init__(self) -> None:
        self.cluster = _cluster()
        self.second: Any = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()

    def kill_second(self) -> None:
        """As if its machine had lost its power."""
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    found = TwoNodes()
    yield found
    found.cluster.shutdown()


def start(url: str, cwd: Path, address: str) -> subprocess.Popen[str]:
    """The command in the background."""
    line = [sys.executable, "-m", "harness", "process", *ARGUMENTS, "--target", url, "--ray-address", address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def worker_of(folder: Path) -> int:
    """The process of an actor, as the run's own snapshot names it."""
    while not (workers := status_of(str(folder / "out.jsonl")).workers):
        time.sleep(0.1)
    return int(workers[0]["pid"])


def test_a_cluster_that_loses_workers_a_node_and_the_coordinator(tmp_path: Path, nodes: TwoNodes) -> None:
    """Nothing is lost or doubled, and no more is sent again than was in flight."""
    write_input(tmp_path / "in.jsonl", LINES)
    with mock(SLOW, tmp_path) as server:
        run = start(server.url, tmp_path, nodes.cluster.address)
        until_answers(tmp_path, 300, run)
        os.kill(worker_of(tmp_path), signal.SIGKILL)
        until_answers(tmp_path, 700, run)
        nodes.kill_second()
        until_answers(tmp_path, 1200, run)
        run.kill()
        # Ray's own messages about the losses would come between the words of --json.
        said, noted = run.communicate()
        assert said == ""
        assert "raylet" not in noted
        assert noted.count("actor is gone") >= 1
        time.sleep(1.0)
        arguments = [*ARGUMENTS, "--target", server.url, "--ray-address", nodes.cluster.address]
        done = paceline("process", *arguments, cwd=tmp_path, timeout_s=240.0)
        assert done.returncode == 0, done.stderr
        check_whole(tmp_path, LINES)
        assert seen(server.url) - LINES <= 3 * CONCURRENCY


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:9", "no Ray cluster at 127.0.0.1:9: Connection refused"),
        ("ray://head:10001", "run the command on a node of the cluster"),
        ("head", "must be HOST:PORT, auto or local"),
        ("head:99999", "must be HOST:PORT, auto or local"),
        ("head:²", "must be HOST:PORT, auto or local"),
    ],
)
def test_a_wrong_address_is_a_mistake(tmp_path: Path, address: str, why: str) -> None:
    """At once, and nothing is written."""
    write_input(tmp_path / "in.jsonl", 10)
    arguments = [*ARGUMENTS, "--target", "http://127.0.0.1:9", "--ray-address", address]
    done = paceline("process", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
