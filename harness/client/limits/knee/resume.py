"""Begins with what an earlier run learnt."""

from __future__ import annotations

from harness.client.limits.knee.search import Search
from harness.client.limits.knee.window import Window


def resume(search: Search, value: int, latency_s: float, service_s: float) -> None:
    """Begin at rest, with a drain soon, after which a look at more finds a server that has grown."""
    value = max(search.minimum, min(search.maximum, value))
    search.phase = "rest"
    search.wanted, search.value = float(value), value
    search.latency_s, search.service_hint_s = latency_s, service_s
    search.window = Window(value, 0.0)
