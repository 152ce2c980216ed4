"""How fast virtual time passes: simulated requests per second of wall time, and of CPU time.

python -m pytest tests/bench/test_simulate_bench.py --benchmark-only
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from harness.experiment.simulate import simulate
from tests.simulation.kernel import servers

REQUESTS = 60_000


@pytest.mark.parametrize("strategy", ["queue-stream:concurrency=8", "queue-stream:concurrency=16", "adaptive", "sync"])
def test_simulated_requests_per_second(benchmark: Any, tmp_path: Path, strategy: str) -> None:
    """Straight into the server: at its capacity, and at twice that (every request queues). At least 30,000/s."""
    _rate(benchmark, tmp_path, strategy, REQUESTS, "none")


def test_simulated_requests_per_second_over_http(benchmark: Any, tmp_path: Path) -> None:
    """With the real HTTP client and face over the network in memory."""
    _rate(benchmark, tmp_path, "queue-stream:concurrency=16", REQUESTS // 10, "memory")


def _rate(benchmark: Any, folder: Path, strategy: str, items: int, network: Literal["none", "memory"]) -> None:
    server = servers.written(folder, servers.WORKERS_8)
    runs = benchmark.pedantic(
        lambda: simulate(strategy, server, items=items, seed=7, network=network), rounds=3, warmup_rounds=1
    )
    assert len(runs.rows) == items
    benchmark.extra_info["requests_per_s"] = items / benchmark.stats.stats.min


@pytest.mark.slow
def test_a_million_requests_are_the_same_to_the_byte_twice(benchmark: Any, tmp_path: Path) -> None:
    """The same seed, the same SHA-256 of all records."""
    server = servers.written(tmp_path, servers.WORKERS_8)
    digests: list[str] = []

    def once() -> None:
        digests.append(simulate("queue-stream:concurrency=8", server, items=1_000_000, seed=7).sha256)

    benchmark.pedantic(once, rounds=2)
    assert len(set(digests)) == 1
