"""The loads of a calibration: their order, repetitions of invalid ones, and what refusals change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.fitting.calibration import Calibrating, Calibration, CalibrationPlan
from harness.fitting.fit_loads import FitLoad
from harness.fitting.request_shapes import Shape
from harness.fitting.seen import Seen
from harness.fitting.suitability import failures
from harness.measure.result import Reason

STARVED = Reason("client_starved", "The client waited for a processor.", "a load")


class Played:
    """A bench whose server takes 10 ms, and refuses from `bound` requests in flight on."""

    begins_afresh = True
    policy = None

    def __init__(
        self,
        bound: int = 1000,
        invalid: dict[str, int] | None = None,
        slower: float = 1.0,
        first_refused: int = 0,
        warming: float = 1.0,
    ) -> None:
        self.names: list[str] = []
        self._bound = bound
        self._invalid = invalid or {}
        self._slower = slower
        self._first_refused = first_refused
        self._unread: list[str] = []
        self._warming = warming

    def play(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
        self.names.append(load.name)
        self._unread.append(load.name)
        count = 96
        sent = np.arange(count) * 0.02
        took = 0.01 * (self._slower if load.name.startswith("idle again") else 1.0)
        if load.name.startswith("warm-up "):
            took *= self._warming ** int(load.name.removeprefix("warm-up "))
        refused = np.full(count, load.concurrency >= self._bound or not load.concurrency)
        refused[: self._first_refused] = True
        shapes = tuple(Shape("similarity", (8 + 8 * (place % 6),)) for place in range(count))
        none = np.full(count, np.nan)
        seen = Seen(
            load.name, load.concurrency, shapes, sent, none, none, sent + took, ~refused, refused,
            np.where(refused, 429.0, 200.0), np.zeros(count), sent,
        )  # fmt: skip
        base = load.name.removesuffix(", again")
        left = self._invalid.get(base, 0)
        self._invalid[base] = left - 1
        return seen, [STARVED] if left > 0 else []

    def queue_s(self, lengths: Any) -> float:
        self._unread.append("stamps")
        return 0.0

    def batches(self) -> list[str]:
        """The loads since the last call, in place of their batches."""
        played, self._unread = self._unread, []
        return played

    def retry_after_s(self, lengths: Any, count: int) -> list[float | None]:
        return [2.0]


def calibrated(played: Played, **plan: Any) -> Calibration:
    bench: Any = played
    return Calibrating(bench, CalibrationPlan(**plan), lambda text: None).run()


def test_a_server_is_warmed_until_three_windows_agree_and_then_gets_every_load() -> None:
    played = Played()
    found = calibrated(played)
    assert played.names == [
        *("warm-up 1", "warm-up 2", "warm-up 3", "idle", "in flight 2", "in flight 4", "in flight 8", "in flight 16"),
        *("in flight 32", "in flight 16, one length", "burst of 512", "idle again"),
    ]
    assert found.settled
    assert found.drift == 0.0
    assert found.problems == []


def test_after_a_refusal_no_more_are_in_flight_and_arrivals_look_for_the_rate() -> None:
    played = Played(bound=8)
    found = calibrated(played)
    assert [name for name in played.names if name.startswith("in flight")] == [
        "in flight 2",
        "in flight 4",
        "in flight 8",
    ]
    assert played.names[-2].startswith("arrivals at ")
    assert found.retry_after_s == [2.0]


def test_an_invalid_load_is_repeated_once_and_named_if_it_stays_invalid() -> None:
    played = Played(invalid={"idle": 1, "in flight 4": 2})
    found = calibrated(played)
    assert played.names.count("idle, again") == 1
    assert played.names.count("in flight 4, again") == 1
    assert [reason.code for reason in found.problems] == ["client_starved"]
    # What counts is the last one.
    assert [seen.name for seen in found.closed][:2] == ["in flight 2", "in flight 4, again"]


def test_without_time_nothing_is_repeated() -> None:
    played = Played(invalid={"idle": 2})
    found = calibrated(played, time_s=1.0)
    assert "idle, again" not in played.names
    assert len(found.problems) == 1


def test_a_server_that_became_slower_has_a_drift() -> None:
    found = calibrated(Played(slower=1.2))
    assert abs(found.drift - 0.2) < 0.02


def test_batches_of_the_warm_up_belong_to_no_load() -> None:
    bench: Any = Played()
    found = Calibrating(bench, CalibrationPlan(), lambda text: None, white_box=True).run()
    found_by_load: dict[str, Any] = found.batches
    assert found_by_load["idle"] == ["idle"]
    assert found_by_load["in flight 2"] == ["in flight 2"]


def test_refusals_at_the_end_are_no_drift() -> None:
    found = calibrated(Played())
    assert found.idle_again is not None
    again = found.idle_again
    refused = np.arange(len(again)) % 2 == 0
    done = np.where(refused, again.sent + 0.0001, again.done)
    found.idle_again = replace(again, refused=refused, ok=~refused, done=done)
    assert abs(found.drift) < 1e-9
    assert found.drift_noise < 1e-9
    # Without any answer there is nothing to compare.
    found.idle_again = replace(again, refused=refused | True, ok=~(refused | True))
    assert found.drift == found.drift_noise == 0.0


class Failing(Played):
    """A server that answers nothing."""

    def play(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
        seen, reasons = super().play(load)
        return replace(seen, ok=np.zeros(len(seen), bool), refused=np.zeros(len(seen), bool)), reasons


def test_a_server_that_answers_nothing_gets_one_window_and_no_further_load() -> None:
    played = Failing()
    assert [seen.name for seen in calibrated(played).all] == played.names == ["warm-up 1"]


def test_a_server_that_refuses_the_first_request_of_each_load_gets_arrivals_all_the_same() -> None:
    played = Played(first_refused=1)
    calibrated(played)
    assert [name for name in played.names if name.startswith("arrivals at ")] == ["arrivals at 75.4/s"]


def test_a_server_that_refuses_everything_gets_no_further_load() -> None:
    played = Played(bound=1)
    found = calibrated(played)
    assert played.names[-1] == "idle"
    assert failures(found) is not None


def test_a_warm_up_whose_windows_differ_does_not_settle() -> None:
    played = Played(warming=1.1)
    assert not calibrated(played).settled
    assert played.names[9:11] == ["warm-up 10", "idle"]


class Dying(Played):
    """A server that is gone from one load on."""

    def play(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
        seen, reasons = super().play(load)
        gone = "in flight 8" in self.names
        return (replace(seen, ok=~seen.ok & False, refused=seen.refused & False) if gone else seen), reasons


def test_after_a_load_that_failed_there_is_no_further_load() -> None:
    played = Dying()
    found = calibrated(played)
    assert played.names[-1] == "in flight 8"
    assert failures(found) == "100 % of the requests of the load 'in flight 8' failed"


@pytest.mark.parametrize("time_s", [60.0, 120.0, 300.0])
def test_the_loads_end_within_the_time_however_long_each_takes_to_start(time_s: float) -> None:
    now = 0.0

    class Slow(Played):
        """Each load starts late, and takes its whole time."""

        def play(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
            nonlocal now
            now += 3.0 + load.seconds
            seen, reasons = super().play(load)
            end = np.linspace(load.seconds / len(seen), load.seconds, len(seen))
            return replace(seen, sent=end - 0.01, done=end), reasons

    bench: Any = Slow()
    plan = CalibrationPlan(idle_s=24.0, level_s=14.0, time_s=time_s)
    found = Calibrating(bench, plan, lambda text: None, clock=lambda: now).run()
    # The last loads may be as short as a second, and not shorter.
    assert now <= time_s + 2
    assert found.idle_again is not None
