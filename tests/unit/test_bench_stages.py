"""The benchmark of the stages plays every rung to its end; its figures are read by hand."""

from __future__ import annotations

from pathlib import Path

from tests.bench.stages import ladder_us, table


def test_every_rung_of_the_ladder_sends_and_records_all_its_requests(tmp_path: Path) -> None:
    ladder = ladder_us(tmp_path, requests=150, rounds=1)
    assert list(ladder)[-1] == "feed (backlog from a JSONL file)"
    assert all(0 < cost < 1e5 for cost in ladder.values())


def test_a_stage_is_the_difference_of_two_rungs() -> None:
    lines = list(table({"first": 1.0, "second": 3.5}, {"beside": 7.0}))
    assert lines[1].split() == ["first", "1.00", "1.00"]
    assert lines[2].split() == ["second", "2.50", "3.50"]
    assert lines[4].split() == ["beside", "7.00"]
