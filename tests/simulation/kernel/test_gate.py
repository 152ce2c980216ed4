"""The gate on simulated servers: a slower one is flagged, an equal one passes."""

from pathlib import Path

import pytest

from harness.experiment.gate import blocks, interleaved
from harness.experiment.gate_settings import GateSettings
from harness.experiment.prepare import Run, prepare
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.gate_result import Gate

PROFILE = """
[service]
base_s = {base_s}

[service.jitter]
kind = "lognormal"
cv = 0.1

[capacity]
workers = 4
"""


def side(folder: Path, name: str, base_s: float, seed: int) -> Run:
    profile = folder / f"{name}.toml"
    profile.write_text(PROFILE.format(base_s=base_s))
    return prepare(
        RunSettings(
            strategies=("queue-stream:concurrency=4",),
            server=str(profile),
            items=150,
            seed=seed,
            out=folder / name,
            simulated=True,
            calibrate=False,
        )
    )


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
