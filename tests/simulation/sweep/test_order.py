"""The order of the levels, the pauses between them, and a stop by Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.experiment.draining import Draining, drain_s
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.sweep import SweepOrder, SweepSettings, prepare_sweep
from harness.measure.judge.verdict import exit_code
from harness.measure.record.plan import read_plan
from harness.measure.reduce.summary import Observed, summarize_run
from harness.measure.result import Case, Counts, InFlight, Rates
from tests.simulation.sweep.known import HERE
from tests.simulation.sweep.made_up import VALID, case, curve
from tests.simulation.sweep.test_judgement import CAP

SETTINGS = SweepSettings(concurrency="1:64:x2", duration=1.0)


def prepared(directory: Path, wanted: SweepSettings = SETTINGS, **more: Any) -> tuple[Any, SweepOrder]:
    settings = {"server": str(HERE / "flat_cap.toml"), "out": directory / "run", "simulated": True, "repeats": 3}
    return prepare_sweep(RunSettings(strategies=("queue-stream",), duration=1.0, **{**settings, **more}), wanted)


def played(order: SweepOrder) -> list[tuple[float, int]]:
    """Levels and repeats, on a server with a flat cap at 8."""
    known: dict[str, Case] = {one.name: one for one in curve(CAP)}
    found = []
    for spec, repeat in order:
        found.append((float(spec.name.split("=")[1]), repeat))
        order.ended(spec, repeat, lambda spec=spec: Observed(known[spec.name], VALID))  # type: ignore[misc] # bound now
    return found


def test_the_first_pass_ascends_and_stops_and_the_others_are_shuffled(tmp_path: Path) -> None:
    _, order = prepared(tmp_path)
    found = played(order)
    first = [level for level, repeat in found if repeat == 0]
    later = [[level for level, repeat in found if repeat == number] for number in (1, 2)]
    assert first == [1, 2, 4, 8, 16, 32]
    assert [sorted(one) for one in later] == [first, first]
    assert len({tuple(one) for one in (first, *later)}) == 3


def test_every_level_is_played_in_random_order_on_request(tmp_path: Path) -> None:
    _, order = prepared(tmp_path, SweepSettings(concurrency="1:64:x2", every_level=True))
    found = played(order)
    assert len(found) == 21
    assert [level for level, repeat in found if repeat == 0] != sorted(CAP)


def test_the_same_seed_gives_the_same_order(tmp_path: Path) -> None:
    orders = [played(prepared(tmp_path / name, seed=seed)[1]) for name, seed in (("a", 4), ("b", 4), ("c", 5))]
    assert orders[0] == orders[1] != orders[2]


def left(timed_out: int, in_flight: int | None, rate: float | None) -> Case:
    """A case whose client gave some calls up."""
    return msgspec.structs.replace(
        case(1.0, [10.0]),
        counts=Counts(scheduled=100, ok=100 - timed_out, timed_out=timed_out),
        in_flight=InFlight(None, in_flight),
        rates_per_s=Rates(completed=rate),
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (left(0, 50, 10.0), 0.0),
        (left(9, 50, 10.0), 5.0),
        (left(9, 5000, 10.0), 30.0),
        (left(100, 50, None), 30.0),
        (None, 0.0),
    ],
)
def test_a_server_gets_the_time_for_calls_that_its_client_gave_up(found: Case | None, expected: float) -> None:
    assert drain_s(found, 30.0) == expected


@pytest.mark.parametrize(("pause_s", "expected"), [(1.0, [1.0, 1.0, 6.0]), (0.0, [])])
def test_pauses_between_levels(tmp_path: Path, pause_s: float, expected: list[float]) -> None:
    _, order = prepared(tmp_path, repeats=1)
    waited: list[float] = []
    draining = Draining(order, pause_s, 30.0, waited.append)
    answers = [left(0, 4, 10.0), left(0, 8, 20.0), left(9, 50, 10.0), left(0, 1, 40.0)]
    for found, (spec, repeat) in zip(answers, draining, strict=False):
        draining.ended(spec, repeat, lambda found=found: Observed(found, VALID))  # type: ignore[misc] # bound now
    assert waited == expected


class Stopped(VirtualTime):
    """Ctrl-C while the fourth level is being played."""

    plays = 0

    def play(self, trial: Any, watch: Any) -> Any:
        self.plays += 1
        if self.plays == 4:
            raise KeyboardInterrupt
        return super().play(trial, watch)


def test_a_stop_keeps_what_was_measured_and_marks_it(tmp_path: Path) -> None:
    run, _order = prepared(tmp_path)
    result, interrupted = execute(run, lambda event, facts: None, Stopped(run))
    assert interrupted
    assert result.sweep is not None
    assert [point.level for point in result.sweep.points] == [1, 2, 4]
    assert result.sweep.not_played == [8, 16, 32, 64]
    assert result.verdict.status == "inconclusive"
    assert exit_code(result) == 5
    assert "The levels above it were not played." in result.headline
    assert any("8, 16, 32 and 64 not played" in one.text for one in result.verdict.reasons)


def test_the_judgement_is_computed_again_from_the_records(tmp_path: Path) -> None:
    run, _order = prepared(tmp_path, SweepSettings(concurrency="1:4:x2", duration=1.0), repeats=1)
    result, _ = execute(run, lambda event, facts: None, VirtualTime(run))
    assert read_plan(run.directory).kind == "sweep"
    assert summarize_run(run.directory).sweep == result.sweep
