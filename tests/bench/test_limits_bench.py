"""What a limit costs an attempt: the controller alone, fed with answers of a busy server."""

from __future__ import annotations

from typing import Any

import pytest

from harness import plugins
from harness.client.types import Outcome, Sample

ATTEMPTS = 10_000
BUDGET_US = {"vegas": 5.0, "knee": 5.0}
"""Those that keep distributions may take what is left of the gate's goal of 5 µs; the rest half of it."""


@pytest.mark.parametrize("name", [name for name in plugins.names("limit") if name != "fixed"])
def test_limit_update(benchmark: Any, name: str) -> None:
    """Ten thousand attempts, of which each may take a part of the gate's goal of 5 µs; the least of the rounds."""
    samples = [Sample(Outcome.ok, k / 1000, k / 1000 + 0.1 + k % 7 / 100, 10**6, 10, 0) for k in range(ATTEMPTS)]

    def feed() -> None:
        limit = plugins.build("limit", name, {})
        generation, value, update = 0, limit.value, limit.update
        for sample in samples:
            update(Sample(Outcome.ok, sample.sent, sample.done, 10**6, value, generation) if generation else sample)
            if limit.value != value:
                value = limit.value
                generation += 1

    benchmark(feed)
    cost_us = benchmark.stats.stats.min / ATTEMPTS * 1e6
    benchmark.extra_info["us_per_attempt"] = round(cost_us, 3)
    print(f"\n{name}: {cost_us:.2f} µs an attempt")
    assert cost_us <= BUDGET_US.get(name, 2.5)
