"""`paceline self-test` with made-up figures: what it prints, keeps and returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from harness.cli.self_test import command
from harness.measure.self_test_result import SelfTest
from tests.unit.self_test_samples import found, law


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "paceline" / "self-test"


def called(monkeypatch: pytest.MonkeyPatch, made: SelfTest, *arguments: str) -> Result:
    """The command, with these figures in place of measurements."""

    def measured(progress: Any, settings: Any) -> SelfTest:
        progress(1, 7, "sleep precision")
        assert settings.full is ("--full" in arguments)
        return made

    monkeypatch.setattr("harness.cli.self_test.self_test", measured)
    return CliRunner().invoke(command, list(arguments), standalone_mode=False)


def test_the_last_line_is_the_verdict_and_the_figures_are_kept(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    """Progress and the place of the file go to standard error."""
    done = called(monkeypatch, found())
    assert done.return_value == 0
    assert done.stdout.splitlines()[-1] == (
        "This machine is fit for up to 6,300/s over lean and 2,800/s over aiohttp for each process; timing error at "
        "most 600 µs."
    )
    [path] = state.iterdir()
    assert done.stderr.splitlines() == ["self-test 1/7: sleep precision", f"kept: {path}"]
    assert msgspec.json.decode(path.read_bytes(), type=SelfTest) == found()


def test_a_machine_that_is_not_fit_gives_exit_code_4_and_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, with its causes; the verdict is shorter. Then the step that helps."""
    made = found(laws=[law("constant", 0.02, 0.02, 0.022, 0.023)], sleep_late_p99_s=0.006)
    done = called(monkeypatch, made, "--quiet")
    assert done.return_value == 4
    *_, verdict, step = done.stdout.splitlines()
    assert [done.stdout.count(reason) for reason in made.reasons] == [1] * len(made.reasons)
    assert len(made.reasons) == 2
    assert step.startswith("What to do: ")
    assert verdict == (
        "This machine is not fit now: constant: p99 is 3 ms too high (limit 1 ms); times above 60 ms are right to 5 %."
    )
    assert "\n- constant: p99 is 3 ms too high (limit 1 ms), and no cause was found\n" in done.stdout
    assert "OFF" in done.stdout
    assert "sleep precision" not in done.stderr


@pytest.mark.parametrize(
    ("load", "step"),
    [
        (None, "end other programs or use a machine"),
        (3.2, "end other programs (load average 3.2) or use a machine"),
        (0.133, "no other program was busy here (load average 0.133), so the processors are too slow or shared"),
    ],
)
def test_the_advice_fits_a_busy_machine_and_a_slow_one(
    monkeypatch: pytest.MonkeyPatch, load: float | None, step: str
) -> None:
    """Nobody is asked to end programs that do not run."""
    done = called(monkeypatch, found(laws=[law("constant", 0.02, 0.02, 0.022, 0.023)], load_average_1m=load), "--quiet")
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"What to do: {step}")
    assert last.endswith("Until then, compare figures only within one run, as ratios.")


def test_json_has_the_figures_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard output."""
    done = called(monkeypatch, found(), "--json")
    assert msgspec.json.decode(done.stdout, type=SelfTest) == found()


def test_a_full_self_test_prints_the_table_as_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/measuring.md shows it."""
    cell = law("sync", 0.1, 0.1, 0.1001, 0.1002, in_flight=1)
    done = called(monkeypatch, found(table=[cell]), "--full")
    assert "| sync | +100 µs, +200 µs |" in done.stdout.splitlines()


def test_figures_that_cannot_be_kept_are_shown_all_the_same(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    """A file stands where the folder should be."""
    state.parent.parent.mkdir()
    state.parent.write_text("")
    done = called(monkeypatch, found(), "--quiet")
    assert done.return_value == 0
    assert "not kept" in done.stderr
    assert "This machine is fit" in done.stdout
