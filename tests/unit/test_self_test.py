"""The self-test's verdict on a machine, on made-up figures, and the laws that it injects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.experiment import self_test
from harness.measure.judge.self_test import LawFigures, SelfTest, judged
from mock_server.profiles import load


def found(**more: Any) -> SelfTest:
    """A quiet machine."""
    sound = SelfTest(
        measured_unix_s=0.0,
        machine={},
        took_s=20.0,
        ceilings_per_s={"asyncio": 4000.0},
        laws=[LawFigures("constant", 0.02, 0.02, 300, 0.0203, 0.0206)],
        sleep_late_p50_s=0.0001,
        sleep_late_p99_s=0.0003,
        run_queue_share=0.01,
    )
    return judged(msgspec.structs.replace(sound, **more))


def test_a_quiet_machine_is_fit_up_to_a_share_of_its_ceiling() -> None:
    """70 % of 4,000/s, with the largest timing error."""
    quiet = found()
    assert quiet.fit
    assert quiet.text == "fit for up to 2,800/s for each process; timing error at most 600 µs"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"laws": [LawFigures("constant", 0.02, 0.02, 300, 0.0203, 0.0211)]}, "constant: p99 is 1.1 ms too high"),
        ({"laws": [LawFigures("constant", 0.02, None, 300, 0.0188)]}, "constant: p50 is 1.2 ms too low"),
        ({"laws": [LawFigures("first token", 0.04, 0.04)]}, "'first token' could not be measured"),
        ({"ceilings_per_s": {}}, "the rate of the generator could not be measured"),
        ({"run_queue_share": 0.3}, "the client waited for a processor 30 % of the time"),
        ({"sleep_late_p99_s": 0.006}, "sleeps end up to 6 ms late"),
    ],
)
def test_a_machine_that_falls_short_is_not_fit_for_a_reason(change: dict[str, Any], reason: str) -> None:
    """One fault each."""
    short = found(**change)
    assert not short.fit
    assert reason in short.text


def test_one_percent_is_allowed_where_it_is_more_than_a_millisecond() -> None:
    """4 ms of half a second."""
    assert found(laws=[LawFigures("constant", 0.5, 0.5, 300, 0.504, 0.5049)]).fit
    assert not found(laws=[LawFigures("constant", 0.5, 0.5, 300, 0.504, 0.5051)]).fit


def test_the_injected_profiles_are_the_mocks_and_the_figures_are_kept(tmp_path: Path) -> None:
    """Every profile loads, and a stored self-test reads back the same."""
    for number, injected in enumerate(self_test.INJECTED):
        path = tmp_path / f"{number}.toml"
        path.write_text(injected.profile)
        load(str(path))
    self_test.store(found(), tmp_path / "state" / "self-test.json")
    assert msgspec.json.decode((tmp_path / "state" / "self-test.json").read_bytes(), type=SelfTest) == found()
