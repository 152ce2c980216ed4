"""The stages of a gate, and the directory that it is played into."""

from pathlib import Path
from typing import Any

import pytest

from harness.base.options import filled
from harness.cli import config
from harness.cli.gate import command
from harness.client.errors import UsageError
from harness.experiment.gate import decided, lay_out
from harness.experiment.gate_settings import GateSettings
from harness.measure.gate_result import GATE_VERSION, Gate, GateCheck, GateStatus
from tests.docs.test_docs import blocks
from tests.processes import ROOT


def gate(status: GateStatus) -> Gate:
    return Gate(GATE_VERSION, status, "", [GateCheck("p50", "slo", "sync", "passed", "")], "main", "branch", True, 8, 0,
                0.02, None)  # fmt: skip


class Stages:
    """Plays nothing; answers what a test asks for."""

    def __init__(self, *answers: GateStatus, interrupted_at: int | None = None) -> None:
        self.answers = list(answers)
        self.played: list[tuple[int, int]] = []
        self.confirmed_from: list[int | None] = []
        self.interrupted_at = interrupted_at

    def play(self, first: int, last: int) -> bool:
        self.played.append((first, last))
        return first != self.interrupted_at

    def judged(self, confirmed_from: int | None) -> Gate:
        self.confirmed_from.append(confirmed_from)
        return gate(self.answers.pop(0))

    def decide(self) -> Gate:
        return decided([8, 16], 8, [], self.play, self.judged)


def test_a_pass_needs_the_first_stage_only() -> None:
    stages = Stages("passed")
    assert stages.decide().status == "passed"
    assert stages.played == [(0, 8)]


def test_a_failure_is_played_on_and_then_again() -> None:
    stages = Stages("failed", "failed", "failed")
    assert stages.decide().status == "failed"
    assert stages.played == [(0, 8), (8, 16), (16, 24)]
    assert stages.confirmed_from == [None, None, 16]


def test_what_stays_undecided_is_not_played_again() -> None:
    stages = Stages("inconclusive", "inconclusive")
    assert stages.decide().status == "inconclusive"
    assert stages.played == [(0, 8), (8, 16)]


def test_after_an_interruption_a_failure_must_still_be_confirmed() -> None:
    """There are no repeats from 16 on, so that it is none."""
    stages = Stages("failed", "inconclusive", interrupted_at=8)
    stages.decide()
    assert stages.confirmed_from[-1] == 16


def test_a_directory_with_a_gate_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    old = tmp_path / "candidate"
    (old / "records").mkdir(parents=True)
    for file in (old / "plan.json", old / "records" / "a.bin", tmp_path / "gate.json", tmp_path / "report.md"):
        file.write_text("")
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(UsageError, match="holds a gate already"):
        lay_out(tmp_path, False, None)
    lay_out(tmp_path, True, None).release()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("baseline", ["candidate", "baseline", "baseline/result.json"])
def test_a_baseline_that_the_gate_would_replace_is_refused(tmp_path: Path, baseline: str) -> None:
    with pytest.raises(UsageError, match="would replace it"):
        lay_out(tmp_path, True, str(tmp_path / baseline))


@pytest.mark.parametrize(
    ("options", "target", "message"),
    [
        ({"baseline_capacity": "a"}, None, "given together"),
        ({"baseline_capacity": "a", "candidate_capacity": "b"}, "http://127.0.0.1:1", "name the baseline"),
        ({"baseline_capacity": "a", "candidate_capacity": "b", "baseline_cmd": "x"}, None, "name the candidate"),
    ],
)
def test_sides_that_do_not_fit_together_are_refused(options: dict[str, Any], target: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GateSettings(**options).check(target)


def test_the_table_of_the_page_is_a_whole_gate(tmp_path: Path) -> None:
    """`paceline gate` without an option: SLO, regression and capacity come from paceline.toml."""
    (block,) = blocks(ROOT / "docs" / "gate.md", "toml")
    (tmp_path / "paceline.toml").write_text(block)
    given = config.read(tmp_path / "paceline.toml")["gate"]
    options = command.make_context("gate", [], default_map=given).params
    wanted = filled(GateSettings, options)
    wanted.check(options["target"])
    assert wanted.figures == ("completed", "service_p50", "errors")
    assert (wanted.limit, wanted.capacity_limit, wanted.plays) == (0.03, 0.2, True)
    assert (wanted.baseline_capacity, options["slo"]) == ("runs/capacity-main", "service_p99<500ms,errors<1%")
    assert (options["strategies"], options["items"]) == (("queue-stream:concurrency=8",), 600)


def test_stored_capacities_alone_are_enough() -> None:
    wanted = GateSettings(baseline_capacity="a", candidate_capacity="b")
    wanted.check(None)
    assert not wanted.plays
