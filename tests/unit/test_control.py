"""The A/A control of a comparison: the reference played twice shows the noise."""

import random
from pathlib import Path

import pytest

from harness.client.errors import UsageError
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.judge.comparison import controlled, ranked
from harness.measure.judge.comparison_words import noise, rows
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, RunResult
from reports.formats import html, markdown
from tests.comparison_samples import case

CONTROL = "sync (control)"


def noisy(name: str, factor: float, seed: int, spread: float = 0.02) -> Case:
    rng = random.Random(seed)
    return case(name, [100 * factor * rng.gauss(1, spread) for _ in range(8)])


def test_the_floor_is_the_far_end_of_the_interval_of_equal_cases() -> None:
    """Of each figure: here all fall and rise together."""
    found = controlled([noisy("sync", 1, 1), noisy(CONTROL, 1, 2)], None, CONTROL)
    assert found is not None
    effect = {figure.figure: figure for figure in found.comparison.figures}["completed"]
    assert effect.low is not None
    assert effect.high is not None
    assert found.floors["completed"] == pytest.approx(max(1 / effect.low, effect.high) - 1)
    (line,) = noise(found)
    assert "differences under" in line
    assert "% of throughput" in line


def test_a_difference_within_the_noise_says_so() -> None:
    """It can be found: six pairs that all differ by 1 % are a difference, but a control that differs by 3 % is more."""
    base = case("sync", [100.0] * 8)
    control = controlled([base, noisy(CONTROL, 1, 3, spread=0.03)], None, CONTROL)
    found = ranked([base, case("adaptive", [101 + number / 100 for number in range(8)])])
    assert any("better, but within the noise of the control" in cell for row in rows(found, control) for cell in row)
    assert not any("within the noise" in cell for row in rows(found) for cell in row)


def test_two_equal_cases_that_differ_are_a_warning() -> None:
    found = controlled([noisy("sync", 1, 1), noisy(CONTROL, 1.3, 2)], None, CONTROL)
    assert found is not None
    assert "The two equal cases differ in throughput" in noise(found)[1]


@pytest.mark.parametrize("names", [("sync",), (CONTROL,), ()])
def test_without_both_cases_there_is_no_control(names: tuple[str, ...]) -> None:
    """A run that was stopped early."""
    assert controlled([noisy(name, 1, 1) for name in names], "sync", CONTROL) is None


def settings(out: Path, **more: object) -> RunSettings:
    strategies = ("queue-stream:concurrency=2", "queue-stream:concurrency=4")
    plain = {
        "strategies": strategies,
        "items": 20,
        "repeats": 6,
        "simulated": True,
        "calibrate": False,
        "control": True,
    }
    return RunSettings(out=out, **{**plain, **more})  # type: ignore[arg-type] # values of several types


def played(out: Path) -> RunResult:
    run = prepare(settings(out, reference="queue-stream:concurrency=4"))
    return execute(run, lambda event, facts: None, VirtualTime(run))[0]


def test_the_reference_is_played_twice_and_never_recommended(tmp_path: Path) -> None:
    """In virtual time the two are equal. The reports show the control below the table of effects."""
    result = played(tmp_path / "run")
    name = "queue-stream:concurrency=4 (control)"
    assert [case.name for case in result.cases][-1] == name
    assert result.control is not None
    assert result.control.reference == "queue-stream:concurrency=4"
    assert set(result.control.floors.values()) == {0.0}
    assert [one.case for one in result.comparisons] == ["queue-stream:concurrency=2"]
    assert "control" not in " ".join([result.headline, *result.findings])
    assert summarize_run(tmp_path / "run") == result
    assert "played twice" in markdown.render(result)
    assert "played twice" in html.render(result)


def test_too_few_repeats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--repeats of at least 6"):
        prepare(settings(tmp_path / "run", repeats=5))
