"""The gate on simulated servers: a slower one is flagged, an equal one passes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.experiment.gate import _check_comparable, against_run, blocks, interleaved
from harness.experiment.gate_settings import GateSettings
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.gate_result import Gate
from harness.measure.judge.conditions import FinishedRun
from harness.measure.reduce.finished import read_finished
from harness.measure.result import RunResult, Verdict
from tests.bench.gate_decisions import drifting, side
from tests.comparison_samples import case


def gate(folder: Path, slower: float, seed: int) -> Gate:
    """Baseline and candidate with different random service times: their seeds differ."""
    runs = [side(folder, "baseline", 0.1, 2 * seed), side(folder, "candidate", 0.1 * slower, 2 * seed + 1)]
    return interleaved(GateSettings(), runs, [VirtualTime(run) for run in runs], lambda event, facts: None)


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_is_five_percent_slower_is_flagged_and_confirmed(tmp_path: Path, seed: int) -> None:
    found = gate(tmp_path, 1.05, seed)
    assert found.status == "failed"
    assert found.confirmation == 8
    assert all("confirmed" in check.text for check in found.checks if check.status == "failed")


@pytest.mark.parametrize("seed", range(5))
def test_an_equal_server_passes_and_is_played_again_only_if_the_first_pairs_do_not_decide(
    tmp_path: Path, seed: int
) -> None:
    found = gate(tmp_path, 1.0, seed)
    assert found.status == "passed"
    assert found.pairs in {8, 16}
    assert found.confirmation == 0


def test_each_side_begins_as_often_as_the_other() -> None:
    turns = blocks(1)
    first = [next(turns)[0] for _ in range(100)]
    assert sum(first) == 50


def against_earlier(folder: Path, slower: float, items: int = 150, **more: Any) -> Gate:
    """A run of eight repeats, and a candidate that is played after it."""
    first = prepare(replace(side(folder / "1", "main", 0.1, 1).settings, repeats=8, out=folder / "main"))
    execute(first, lambda event, facts: None, VirtualTime(first))
    settings = replace(side(folder / "2", "candidate", 0.1 * slower, 2).settings, out=folder / "candidate", items=items)
    run = prepare(replace(settings, seed=1, **more))
    wanted = GateSettings(baseline=str(folder / "main"))
    baseline = read_finished(folder / "main")
    return against_run(wanted, run, VirtualTime(run), baseline, lambda event, facts: None)


@pytest.mark.parametrize(("slower", "status", "confirmation"), [(1.0, "passed", 0), (1.05, "failed", 8)])
def test_a_candidate_is_held_against_an_earlier_run(
    tmp_path: Path, slower: float, status: str, confirmation: int
) -> None:
    found = against_earlier(tmp_path, slower)
    assert (found.status, found.pairs, found.confirmation, found.paired) == (status, 8, confirmation, False)


def test_another_load_than_the_baselines_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    """One line names every difference."""
    with pytest.raises(UsageError, match="Give this command the load of the baseline") as raised:
        against_earlier(tmp_path, 1.0, items=20, task="fill-mask")
    assert "load.items is 150 there and 20 here" in str(raised.value)
    assert "task is similarity there and fill-mask here" in str(raised.value)
    assert not list((tmp_path / "candidate" / "records").glob("*"))


def test_another_transport_than_the_baselines_is_refused(tmp_path: Path) -> None:
    """The client's own time is part of every figure: `run` sends over lean and the gate over aiohttp, for example."""

    def of(name: str) -> FinishedRun:
        return FinishedRun(RunResult(1, name, "", {}, {}, 1, None, Verdict("valid"), "", [case("a", [1.0])]))

    earlier, later = of("main"), of("branch")
    earlier.result.cases[0] = msgspec.structs.replace(earlier.result.cases[0], transport="lean")
    _check_comparable(GateSettings(baseline="runs/main"), earlier, later)
    later.result.cases[0] = msgspec.structs.replace(later.result.cases[0], transport="aiohttp")
    with pytest.raises(UsageError, match=r"transport is lean there and aiohttp here. Add --transport lean$"):
        _check_comparable(GateSettings(baseline="runs/main"), earlier, later)


def test_other_strategies_than_the_baselines_are_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"would play sync: name the strategies of the baseline with -s"):
        against_earlier(tmp_path, 1.0, strategies=("sync",))
    assert not list((tmp_path / "candidate" / "records").glob("*"))


@pytest.mark.parametrize(("candidate", "right"), [("equal", 0.4), ("slower", 0.4)])
def test_on_a_drifting_machine_a_gate_is_hardly_ever_wrong(candidate: str, right: float) -> None:
    """Made-up figures: drift, a shift of 25 % in half of the gates, 2 % of noise in each trial. Many stay undecided."""
    decisions = [drifting(candidate, seed) for seed in range(100)]
    assert sum(one.kind == "wrong" for one in decisions) == 0
    assert sum(one.kind == "right" for one in decisions) >= right * len(decisions)
