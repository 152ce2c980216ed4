"""Our limit on the shapes of servers: what it must reach of the best static limit, with its defaults, seeded."""

from __future__ import annotations

import math

import pytest

from harness.client.errors import SettingError
from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from harness.client.types import Outcome, Sample
from tests.simulation.limits.run import Played, play
from tests.simulation.limits.server import Shape, shapes

SHAPES = {shape.name: shape for shape in shapes()}


def beside(shape: Shape, best: int) -> tuple[float, float, Played]:
    """Efficiency and median latency beside the best static limit, and the run."""
    played, static = play(shape, Knee, 7), play(shape, lambda: Fixed(best), 7)
    return played.ok / static.ok, played.p50_s / static.p50_s, played


@pytest.mark.parametrize(
    ("name", "best", "efficiency", "p50"),
    [
        ("constant_1", 1, 0.98, 2.1),
        ("constant_16", 16, 0.97, 1.1),
        ("constant_32", 32, 0.94, 1.1),
        ("exponential_16", 16, 0.93, 1.8),
        ("capacity_steps", 32, 0.95, 1.4),
        ("slower_threefold", 16, 0.92, 1.8),
        ("llm_batch", 64, 0.88, 1.5),
        ("usl_collapse", 24, 0.88, 1.5),
        ("small_queue_429", 8, 0.93, 1.5),
        ("no_queue_retry_after", 8, 0.90, 1.2),
        ("random_500s", 16, 0.95, 1.6),
        ("application_limited", 6, 0.99, 1.1),
    ],
)
def test_it_comes_near_the_best_static_limit(name: str, best: int, efficiency: float, p50: float) -> None:
    """Without knowing it, from four in flight, and whatever happens on the way."""
    reached, inflated, played = beside(SHAPES[name], best)
    assert reached >= efficiency
    assert inflated <= p50
    assert played.refused <= 0.03 * played.ok


def test_an_idle_client_learns_nothing_about_a_higher_limit() -> None:
    """Six at once are asked for: the limit stays where six fit."""
    _, _, played = beside(SHAPES["application_limited"], 6)
    assert max(value for _, value, _ in played.limits) <= 16


def test_what_the_caller_did_never_moves_it() -> None:
    """Client errors, cancellations and answers that make no sense."""
    limit = Knee()
    for outcome in (Outcome.client_error, Outcome.cancelled, Outcome.not_sent, Outcome.bad_response):
        for at in range(200):
            limit.update(Sample(outcome, float(at), at + 0.1, 4, 4, 0))
    assert (limit.value, limit.cause) == (4, "start")


@pytest.mark.parametrize("seek", ["latency", "balanced", "throughput"])
def test_one_knob_says_where_to_rest(seek: str) -> None:
    """Before the knee, at it, past it."""
    played = play(SHAPES["constant_16"], lambda: Knee(seek=seek), 7)  # type: ignore[arg-type] # of the literals
    rests = [value for _, value, cause in played.limits if cause == "the knee is still here"]
    assert rests
    assert all({"latency": 0.8, "balanced": 1.0, "throughput": 1.2}[seek] <= value / 16 for value in rests)
    assert all(value / 16 <= {"latency": 0.95, "balanced": 1.1, "throughput": 1.4}[seek] for value in rests)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial": 0}, "initial=0"),
        ({"minimum": 5, "maximum": 4}, "maximum=4 must be at least minimum=5"),
        ({"seek": "speed"}, "seek='speed' must be one of latency, balanced, throughput"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Knee(**settings)  # type: ignore[arg-type] # wrong on purpose


def test_refusals_before_any_success_halve_it() -> None:
    """Nothing was accepted yet that could be counted."""
    limit = Knee(initial=16)
    for at in range(3):
        limit.update(Sample(Outcome.rejected, at / 10, at / 10 + 0.01, 16, 16, 0))
    assert limit.value == 8
    assert math.isfinite(limit.value)
