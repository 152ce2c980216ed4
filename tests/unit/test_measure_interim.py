"""Failures and layer figures of a process that is killed: they are on the disk before its end file could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.client.figures import LayerCounts
from harness.client.types import Outcome
from harness.measure.record.interim import RARELY_S, Interim, InterimFile, read_interim
from harness.measure.result import FailureSample
from tests.measure_samples import summarize_case
from tests.unit.recorded import Exchange, end, one_by_one, plan_case, record, recorder

REFUSED = FailureSample(503, "overloaded")


class Clock:
    """Shows what it is set to; each call of `slow` takes `cost_s`."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.at = 100.0
        self.cost_s = cost_s
        self.calls = 0

    def __call__(self) -> float:
        return self.at

    def slow(self) -> list[LayerCounts]:
        self.at += self.cost_s
        self.calls += 1
        return [LayerCounts("cache", {"hits": self.calls})]


def failed(outcome: Outcome, text: str) -> Exchange:
    return one_by_one(1, outcome=outcome, status=503, error=text)[0]


def test_a_killed_process_leaves_its_failures_and_layer_figures(tmp_path: Path) -> None:
    """It has no end file; an ended one beside it adds its own."""
    killed, ended = recorder(tmp_path, process=0), recorder(tmp_path, process=1)
    record(killed, [*one_by_one(3), failed(Outcome.rejected, "no room"), failed(Outcome.rejected, "no room again")])
    killed.flush()
    killed.keep_interim(lambda: [LayerCounts("cache", {"hits": 3})])
    record(ended, [*one_by_one(3), failed(Outcome.server_error, "broken")], first_index=5)
    end(ended, layers=[LayerCounts("cache", {"hits": 4})])
    case = summarize_case(plan_case(), tmp_path)
    assert case.failure_samples == {
        "rejected": FailureSample(503, "no room"),
        "server_error": FailureSample(503, "broken"),
    }
    assert [(layer.name, layer.figures) for layer in case.layer_figures] == [("cache", {"hits": 7})]
    assert case.partial


def test_an_end_file_replaces_it(tmp_path: Path) -> None:
    """Nothing is counted twice, and a complete run has no such file."""
    into = recorder(tmp_path)
    record(into, [*one_by_one(3), failed(Outcome.rejected, "no room")])
    into.keep_interim(lambda: [LayerCounts("cache", {"hits": 3})])
    assert into.paths.interim.exists()
    end(into, layers=[LayerCounts("cache", {"hits": 5})])
    assert not into.paths.interim.exists()
    case = summarize_case(plan_case(), tmp_path)
    assert [layer.figures for layer in case.layer_figures] == [{"hits": 5}]
    assert case.failure_samples == {"rejected": FailureSample(503, "no room")}


def test_nothing_is_written_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    into = recorder(tmp_path)
    record(into, one_by_one(3))
    into.keep_interim(list)
    assert not into.paths.interim.exists()


def test_a_new_failure_is_written_at_once_and_figures_rarely(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "x.interim.json"
    file = InterimFile(path, clock)
    file.update({}, clock.slow)
    clock.at += RARELY_S / 2
    file.update({}, clock.slow)
    assert clock.calls == 1
    file.update({"rejected": REFUSED}, clock.slow)
    assert read_interim(path, []) == Interim({"rejected": REFUSED}, [LayerCounts("cache", {"hits": 2})])
    clock.at += RARELY_S
    file.update({"rejected": REFUSED}, clock.slow)
    assert read_interim(path, []).layers == [LayerCounts("cache", {"hits": 3})]


def test_slow_figures_take_a_hundredth_of_the_time(tmp_path: Path) -> None:
    """0.1 s for each reading: the next comes 10 s later."""
    clock = Clock(cost_s=0.1)
    file = InterimFile(tmp_path / "x.interim.json", clock)
    file.update({}, clock.slow)
    clock.at += 9.9
    file.update({}, clock.slow)
    assert clock.calls == 1
    clock.at += 0.2
    file.update({}, clock.slow)
    assert clock.calls == 2


def test_equal_figures_are_not_written_again(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "x.interim.json"
    file = InterimFile(path, clock)
    file.update({}, lambda: [LayerCounts("cache", {"hits": 1})])
    path.unlink()
    clock.at += 1
    file.update({}, lambda: [LayerCounts("cache", {"hits": 1})])
    assert not path.exists()


def test_a_disk_that_fails_ends_the_writing_only(tmp_path: Path) -> None:
    clock = Clock()
    file = InterimFile(tmp_path / "missing" / "x.interim.json", clock)
    for _ in range(3):
        file.update({}, clock.slow)
        clock.at += 1
    assert clock.calls == 1


@pytest.mark.parametrize("place", [0, 20, -3])
def test_a_changed_byte_is_damage(place: int, tmp_path: Path) -> None:
    path = tmp_path / "x.interim.json"
    InterimFile(path).update({"rejected": REFUSED}, list)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    damaged: list[str] = []
    assert read_interim(path, damaged) == Interim()
    assert len(damaged) == 1
    assert "x.interim.json" in damaged[0]
