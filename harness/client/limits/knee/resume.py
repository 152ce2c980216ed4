"""Begins with what an earlier run learnt."""

from __future__ import annotations

from harness.client.limits.knee.block import Block
from harness.client.limits.knee.phases import CALIBRATED, MORE
from harness.client.limits.knee.search import LEAST, Search


def resume(search: Search, value: int, latency_s: float, service_s: float) -> None:
    """Begin as if in a probe at more, so that a server that has grown is found. What was learnt is one measurement."""
    value = max(search.minimum, min(search.maximum, value))
    search.curve.add(1, service_s, CALIBRATED)
    search.curve.add(value, latency_s, CALIBRATED)
    search.curve.fit()
    before = max(1, int(value / MORE))
    search.phase, search.calibrated = "more", True
    search.reference = (before, search.curve.free(before), CALIBRATED)
    search.wanted, search.value = float(value), value
    # The first answers are the quick ones, and pass before the block.
    search.block = Block(value, LEAST["more"], value)
