"""The limits: one that stays, and AIMD by its rules."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.client.errors import SettingError
from harness.client.limits.aimd import Aimd
from harness.client.limits.fixed import Fixed
from harness.client.types import SIGNALS, Limit, Outcome, Sample, Signal


def sample(
    latency_s: float, generation: int, in_flight: int = 1_000_000, outcome: Outcome = Outcome.ok, limit: int = 1
) -> Sample:
    return Sample(outcome, 10.0, 10.0 + latency_s, in_flight, limit, generation)


class LimitDriver:
    """Counts the generations as the concurrency limit does."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.generation = 0

    def feed(
        self, latency_s: float = 0.1, outcome: Outcome = Outcome.ok, times: int = 1, in_flight: int = 10**6
    ) -> None:
        for _ in range(times):
            before = self.limit.value
            self.limit.update(sample(latency_s, self.generation, in_flight, outcome))
            self.generation += self.limit.value != before

    def window(self, latency_s: float = 0.1, in_flight: int = 10**6) -> int:
        self.feed(latency_s, times=max(8, self.limit.value), in_flight=in_flight)
        return self.limit.value


def test_both_are_limits() -> None:
    assert isinstance(Fixed(), Limit)
    assert isinstance(Aimd(), Limit)


def test_fixed_stays_and_is_bounded() -> None:
    """Whatever the samples are; `maximum` caps it from the start."""
    limit = Fixed(30, maximum=20)
    limit.update(sample(9.0, 0, outcome=Outcome.timed_out))
    assert limit.value == 20
    with pytest.raises(SettingError, match="value=0 must be between 1 and 1000000"):
        Fixed(0)


def test_aimd_doubles_then_adds_the_root() -> None:
    """Slow start up to the first decrease, which leaves `backoff` of it; then a square root a window."""
    gate = LimitDriver(Aimd(initial=4, tolerance=2.0))
    assert [gate.window() for _ in range(4)] == [8, 16, 32, 64]
    assert gate.window(0.5) == 44
    assert [gate.window() for _ in range(3)] == [50, 57, 64]


def test_aimd_from_ten_to_its_maximum_in_twenty_five_windows() -> None:
    """As its docstring says."""
    gate = LimitDriver(Aimd(initial=10, slow_start=False))
    values = [gate.window() for _ in range(26)]
    assert values.index(200) == 24
    assert values[-1] == 200


def test_aimd_falls_when_latency_passes_its_target() -> None:
    """An absolute target needs no baseline."""
    gate = LimitDriver(Aimd(initial=100, latency_target_s=0.3))
    assert gate.window(0.31) == 70
    assert gate.window(0.29) == 78


def test_aimd_falls_on_errors_before_the_window_is_full() -> None:
    """As soon as more than the share is sure: 11 of a window of 100, whatever came between."""
    gate = LimitDriver(Aimd(initial=100))
    gate.feed(times=20)
    gate.feed(outcome=Outcome.rejected, times=10)
    assert gate.limit.value == 100
    gate.feed(outcome=Outcome.rejected)
    assert gate.limit.value == 70


def test_one_error_in_a_small_window_is_an_accident() -> None:
    gate = LimitDriver(Aimd(initial=4, slow_start=False))
    gate.feed(outcome=Outcome.timed_out)
    gate.feed(times=7)
    assert gate.limit.value == 6


def test_nothing_but_errors_is_never_a_reason_to_grow() -> None:
    """Even where the settings allow any share of them."""
    gate = LimitDriver(Aimd(initial=4, error_share=1.0))
    gate.feed(outcome=Outcome.server_error, times=8)
    assert gate.limit.value == 2


def test_an_idle_client_learns_nothing() -> None:
    """With less than half of the limit in flight there is no growth; with half there is."""
    gate = LimitDriver(Aimd(initial=10, slow_start=False))
    assert gate.window(in_flight=4) == 10
    assert gate.window(in_flight=5) == 13


def test_a_slower_server_at_the_minimum_is_the_new_baseline() -> None:
    """Or the limit would stay at its minimum for ever."""
    gate = LimitDriver(Aimd(initial=2, minimum=2))
    gate.window(0.1)
    while gate.limit.value > 2:
        gate.window(1.0)
    gate.window(1.0)
    assert gate.window(1.0) > 2


@pytest.mark.parametrize("outcome", sorted(outcome for outcome, signal in SIGNALS.items() if signal is Signal.ignored))
def test_what_the_caller_did_moves_nothing(outcome: Outcome) -> None:
    gate = LimitDriver(Aimd(initial=10))
    gate.feed(9.0, outcome, times=1000)
    assert gate.limit.value == 10


@given(st.lists(st.tuples(st.sampled_from(list(Outcome)), st.floats(0.001, 10.0), st.integers(0, 5)), max_size=600))
def test_at_most_one_change_a_generation_and_always_in_bounds(steps: list[tuple[Outcome, float, int]]) -> None:
    """However late an answer comes, what was admitted before the last change cannot cause the next."""
    limit = Aimd(initial=20, minimum=3, maximum=40)
    generation = 0
    for outcome, latency_s, age in steps:
        before = limit.value
        limit.update(sample(latency_s, max(0, generation - age), outcome=outcome))
        assert 3 <= limit.value <= 40
        if limit.value != before:
            assert age == 0 or generation == 0
            generation += 1


@pytest.mark.parametrize(
    "settings",
    ["initial=0", "minimum=5,maximum=4", "tolerance=0.5", "latency_target_s=0", "error_share=2", "backoff=1"],
)
def test_settings_out_of_range_are_named(settings: str) -> None:
    """Field and range, through the plug-in's front door as well."""
    field = settings.rpartition(",")[2].partition("=")[0]
    with pytest.raises(plugins.UsageError, match=f"limit aimd: {field}="):
        plugins.make("limit", f"aimd:{settings}")


def test_its_settings_are_its_fields_and_nothing_else() -> None:
    """State is not a setting: it would end up in the result file."""
    limit = plugins.make("limit", "aimd:maximum=50,initial=8")
    limit.update(sample(0.1, 0))
    assert plugins.settings_of(limit).keys() == {field.name for field in dataclasses.fields(Aimd) if field.init}


IGNORED = [outcome for outcome, signal in SIGNALS.items() if signal is Signal.ignored]


def test_every_outcome_has_one_signal() -> None:
    """What was never sent, what the client gave up or did wrong, and what a person must judge is ignored."""
    assert SIGNALS.keys() == set(Outcome)
    assert set(IGNORED) == {
        Outcome.client_error,
        Outcome.bad_response,
        Outcome.cancelled,
        Outcome.not_sent,
        Outcome.unfinished,
    }


@pytest.mark.parametrize("name", plugins.names("limit"))
def test_no_limit_learns_from_what_was_never_sent(name: str) -> None:
    """The same answers with and without samples that have no stamps: the same value after each."""
    plain, mixed = plugins.build("limit", name, {}), plugins.build("limit", name, {})
    generation = 0
    for k in range(3000):
        at = k / 50
        answer = Sample(Outcome.ok, at, at + 0.05 + k % 7 / 100, 10**6, plain.value, generation)
        before = plain.value
        plain.update(answer)
        mixed.update(Sample(Outcome.not_sent, math.nan, at, 10**6, mixed.value, generation))
        mixed.update(Sample(Outcome.cancelled, math.nan, math.nan, 10**6, mixed.value, generation))
        mixed.update(answer)
        generation += plain.value != before
        assert mixed.value == plain.value
        assert getattr(mixed, "rate_per_s", 1.0) > 0.0  # false for NaN


@pytest.mark.parametrize("name", [name for name in plugins.names("limit") if name != "fixed"])
@pytest.mark.parametrize("outcome", IGNORED)
def test_no_limit_moves_for_what_is_ignored(name: str, outcome: Outcome) -> None:
    """A thousand slow ones that were sent, and nothing else."""
    limit = plugins.build("limit", name, {})
    before = limit.value
    for k in range(1000):
        limit.update(Sample(outcome, k / 50, k / 50 + 9.0, before, before, 0))
    assert limit.value == before
