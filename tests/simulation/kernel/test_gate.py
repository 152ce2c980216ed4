"""The gate on simulated servers: a slower one is flagged, an equal one passes."""

from pathlib import Path

import pytest

from harness.experiment.gate import blocks, interleaved
from harness.experiment.gate_settings import GateSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.gate_result import Gate
from tests.bench.gate_decisions import drifting, side


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


@pytest.mark.parametrize(("candidate", "right"), [("equal", 0.4), ("slower", 0.4)])
def test_on_a_drifting_machine_a_gate_is_hardly_ever_wrong(candidate: str, right: float) -> None:
    """Made-up figures: drift, a shift of 25 % in half of the gates, 2 % of noise in each trial. Many stay undecided."""
    decisions = [drifting(candidate, seed) for seed in range(100)]
    assert sum(one.kind == "wrong" for one in decisions) == 0
    assert sum(one.kind == "right" for one in decisions) >= right * len(decisions)
