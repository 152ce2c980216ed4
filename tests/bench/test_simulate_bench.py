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
PER_S_MIN = {
    "queue-stream:concurrency=8": 16_000,
    "queue-stream:concurrency=16": 14_000,
    "adaptive": 11_000,
    "sync": 24_000,
}
"""A million requests in a minute and a half at most. A quiet machine is two and a half times as fast."""
OVER_HTTP_PER_S_MIN = 2_000
"""A run of 10,000 requests in five seconds."""


@pytest.mark.parametrize("strategy", PER_S_MIN)
def test_simulated_requests_per_second(benchmark: Any, tmp_path: Path, strategy: str) -> None:
    """Straight into the server: at its capacity, and at twice that (every request queues). The best of the rounds."""
    assert _rate(benchmark, tmp_path, strategy, REQUESTS, "none") >= PER_S_MIN[strategy]


def test_simulated_requests_per_second_over_http(benchmark: Any, tmp_path: Path) -> None:
    """With the real HTTP client and face over the network in memory."""
    per_s = _rate(benchmark, tmp_path, "queue-stream:concurrency=16", REQUESTS // 10, "memory")
    assert per_s >= OVER_HTTP_PER_S_MIN


def _rate(benchmark: Any, folder: Path, strategy: str, items: int, network: Literal["none", "memory"]) -> float:
    """Requests a second of the quickest round."""
    server = servers.written(folder, servers.WORKERS_8)
    runs = benchmark.pedantic(
        lambda: simulate(strategy, server, items=items, seed=7, network=network), rounds=3, warmup_rounds=1
    )
    assert len(runs.rows) == items
    per_s: float = items / benchmark.stats.stats.min
    benchmark.extra_info["requests_per_s"] = round(per_s)
    print(f"\n{strategy}: {per_s:,.0f} simulated requests a second")
    return per_s


@pytest.mark.slow
def test_a_million_requests_are_the_same_to_the_byte_twice(benchmark: Any, tmp_path: Path) -> None:
    """The same seed, the same SHA-256 of all records."""
    server = servers.written(tmp_path, servers.WORKERS_8)
    digests: list[str] = []

    def once() -> None:
        digests.append(simulate("queue-stream:concurrency=8", server, items=1_000_000, seed=7).sha256)

    benchmark.pedantic(once, rounds=2)
    assert len(set(digests)) == 1
