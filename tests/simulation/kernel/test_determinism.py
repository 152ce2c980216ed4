"""The same seed gives the same records to the byte: again, in another process, and whatever its hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.client import stack
from harness.client.layer_settings import LayerSettings
from harness.experiment.simulate import simulate
from tests.simulation.kernel import servers

MESSY = servers.WORKERS_8 + '[[faults]]\nkind = "status"\nstatus = 503\nprobability = 0.1\n'
EVERY = ["sync", "threads", "unbounded", "batches", "queue-stream", "adaptive", "priority", "adaptive-batch"]


@pytest.mark.parametrize("strategy", EVERY)
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, strategy: str) -> None:
    """With retries, time-outs, faults and a cut at the end; and another seed gives others."""
    server = servers.written(tmp_path, MESSY)
    layers = LayerSettings(retries=2, timeout_s=0.4, retry_budget=True)
    digests = [
        simulate(strategy, server, items=300, seed=seed, layers=layers, rate_per_s=200.0, drain_s=0.1).sha256
        for seed in (7, 7, 8)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_layers_that_race_are_repeatable_too(tmp_path: Path) -> None:
    """Hedges, shared flights and a rate limit."""
    server = servers.written(tmp_path, MESSY)
    layers = LayerSettings(retries=1).around(stack.parse(["hedge", "coalesce", "rate-limit:rate_per_s=70"]))
    runs = [simulate("queue-stream:concurrency=12", server, items=600, seed=3, layers=layers) for _ in range(2)]
    assert runs[0].sha256 == runs[1].sha256


@pytest.mark.slow
def test_another_process_with_other_hashes_gives_the_same_bytes(tmp_path: Path) -> None:
    """No set order, address or hash randomisation is in the result."""
    server = servers.written(tmp_path, MESSY)
    code = (
        "import sys; from harness.experiment.simulate import simulate; "
        "print(simulate('unbounded', sys.argv[1], items=2000, seed=7, rate_per_s=120.0, drain_s=0.2).sha256)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(server)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2", "random")
    }
    assert len(found) == 1
