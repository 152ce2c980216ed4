"""The table of clients by how fast they join: what a cell measures."""

from __future__ import annotations

import pytest

from harness.client.limits.fixed import Fixed
from tests.simulation.limits.joining import AFTER_S, CLIENTS, SHARED_S, joining, shared, table
from tests.simulation.limits.run import Played, play


def test_clients_join_one_after_the_other_and_stay() -> None:
    """The first at any instant between two drains; the run lasts until the end of the last cell."""
    shape = joining(16, 1.0, 7)
    joins_s = [joined for joined, _ in shape.presence()]
    assert 0.0 <= joins_s[0] < 4.0
    assert joins_s[-1] - joins_s[0] == CLIENTS - 1
    assert shape.duration_s == pytest.approx(joins_s[-1] + AFTER_S[-1] + SHARED_S)
    assert {left for _, left in shape.presence()} == {shape.duration_s}


def test_a_cell_counts_its_ten_seconds_only() -> None:
    """One answer of each client before it, two of each and four of the last in it, and one after it."""
    owners = [*range(CLIENTS), *range(CLIENTS), *range(CLIENTS), CLIENTS - 1, CLIENTS - 1, 0]
    done = [4.9] * CLIENTS + [5.0] * CLIENTS + [14.9] * (CLIENTS + 2) + [15.0]
    latencies = [9.0] * CLIENTS + [0.1] * (2 * CLIENTS + 2) + [9.0]
    p50_s, index, least = shared(Played(owners=owners, done=done, latencies=latencies), 5.0)
    assert p50_s == 0.1
    assert index == pytest.approx(18**2 / (8 * (7 * 2**2 + 4**2)))
    assert least == pytest.approx(2 / (18 / 8))


def test_clients_with_the_fair_share_share_fairly() -> None:
    """Two in flight of each, at sixteen workers: no one waits."""
    shape = joining(16, 1.0, 7)
    p50_s, index, least = shared(play(shape, lambda: Fixed(2), 7), shape.presence()[-1][0] + AFTER_S[0])
    assert p50_s == pytest.approx(0.069, rel=0.1)
    assert index > 0.98
    assert least > 0.8


def test_the_table_has_a_line_a_server_and_a_cell_a_time() -> None:
    lines = list(table([1]))
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {6}
