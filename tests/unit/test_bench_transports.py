"""The benchmark of the transports runs, small, and prints every client."""

from __future__ import annotations

import pytest

from tests.bench import transports
from tests.bench.fixed_answers import fixed_answers


def test_the_transports_are_measured_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its import takes seconds.
    monkeypatch.delitem(transports.CLIENTS, "httpx", raising=False)
    with fixed_answers() as (url, _):
        found = transports.costs(url, 200, 1)
    lines = list(transports.table(found))
    assert len(lines) == 1 + 3 * len(transports.CLIENTS)
    assert all(cost.cpu_us > 0 for cost in found.values())
