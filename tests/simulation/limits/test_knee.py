"""Our limit on the shapes of servers: what it must reach of the best static limit, with its defaults, seeded."""

from __future__ import annotations

from random import Random
from statistics import fmean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.client.limits.knee import Knee
from harness.client.types import Outcome, Sample
from tests.once import Once, once_in
from tests.simulation.limits.expected import AT_MOST
from tests.simulation.limits.references import SUITE_SEEDS, reference
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Scores, scores
from tests.simulation.limits.server import shapes

SHAPES = {shape.name: shape for shape in shapes()}
PLAYED = [name for name, shape in SHAPES.items() if shape.suite]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Plays that two tests look at."""
    return once_in(tmp_path_factory, "knee")


def beside_the_best(name: str, seed: int, once: Once) -> Scores:
    """The scores of the limit on a shape, beside the best static limit."""
    shape = SHAPES[name]
    return once(f"{name}-{seed}", lambda: scores(play(shape, Knee, seed), shape, reference(shape, seed)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_it_stays_within_what_a_shape_expects(name: str, once: Once) -> None:
    """The median of three seeds, by the ranges in the shape's file (expected.py): quantiles of twenty other seeds."""
    expected = SHAPES[name].expect
    shape = SHAPES[name]
    # Nothing else of a shape with constant times is random, except neighbours.
    seeds = SUITE_SEEDS if shape.law != "constant" or shape.neighbours else SUITE_SEEDS[:1]
    found = [beside_the_best(name, seed, once) for seed in seeds]
    assert set(expected) >= {"score", "efficiency", "p50", "p99", "refusals"}
    for figure, bound in expected.items():
        # The file has two decimals, and times of the references six.
        value = round(median(getattr(one, figure) for one in found), 4)
        assert value <= bound if figure in AT_MOST else value >= bound, figure


@pytest.mark.slow
def test_over_all_shapes_it_comes_near_the_best_static_limits(once: Once) -> None:
    """Most of the best static limits' successes, at a median latency near theirs: 5 % quantiles over twenty seeds."""
    found = [beside_the_best(name, SUITE_SEEDS[0], once) for name in PLAYED]
    assert fmean(one.score for one in found) >= 0.82
    assert fmean(one.efficiency for one in found) >= 0.90
    assert median(one.p50 for one in found) <= 1.4


def test_an_idle_client_learns_nothing_about_a_higher_limit() -> None:
    """Six at once are asked for: the limit stays where six fit."""
    played = play(SHAPES["application_limited"], Knee, 7)
    assert max(value for _, value, _ in played.limits) <= 16


def test_what_the_caller_did_never_moves_it() -> None:
    """Client errors, cancellations and answers that make no sense."""
    limit = Knee()
    for outcome in (Outcome.client_error, Outcome.cancelled, Outcome.not_sent, Outcome.bad_response):
        for at in range(200):
            limit.update(Sample(outcome, float(at), at + 0.1, 4, 4, 0))
    assert (limit.value, limit.cause) == (4, "start")


def test_one_knob_says_where_to_rest() -> None:
    """Before the knee, at it, past it: each gives more throughput and more latency than the one before."""
    rests = []
    for seek in ("latency", "balanced", "throughput"):
        played = play(SHAPES["exponential_16"], lambda seek=seek: Knee(seek=seek), 7)  # type: ignore[misc]  # loop variable
        rests.append((fmean(played.latencies), played.ok))
    assert rests == sorted(rests)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initial": 0}, "initial=0"),
        ({"minimum": 5, "maximum": 4}, "maximum=4 must be at least minimum=5"),
        ({"seek": "speed"}, "seek='speed' must be one of latency, balanced, throughput"),
    ],
)
def test_settings_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Knee(**wrong)  # type: ignore[arg-type] # wrong on purpose


def test_refusals_before_any_success_lower_it() -> None:
    """Nothing was accepted yet that could be counted; the refused were the sixteenth at least."""
    limit = Knee(initial=16)
    for _ in range(2):
        limit.update(Sample(Outcome.rejected, 1.0, 1.0, 16, 16, 0))
    limit.update(Sample(Outcome.rejected, 1.0, 1.05, 16, 16, 0))
    assert limit.value == 15


def test_a_server_that_limits_a_rate_is_paced() -> None:
    """A token bucket of 100 a second: nearly all of it is used, and few are refused after the first seconds."""
    limits: list[Knee] = []

    def new() -> Knee:
        limits.append(Knee())
        return limits[-1]

    played = play(SHAPES["rate_limit"], new, 7)
    assert 90 < limits[0].rate_per_s < 130
    assert played.ok > 0.97 * 100 * SHAPES["rate_limit"].duration_s


def test_work_that_got_longer_is_no_slower_server() -> None:
    """Requests of ten times the size, with their work in the samples, leave the limit where it was."""
    limit = Knee(initial=8, minimum=8, maximum=8)
    changes = []
    for at in range(2000):
        work = 1.0 if at < 1000 else 10.0
        sent = at / 80 if at < 1000 else 12.5 + (at - 1000) / 8
        limit.update(Sample(Outcome.ok, sent - 0.1 * work, sent, 8, 8, 0, None, work))
        changes.append(limit.cause)
    assert "slower" not in changes


@given(
    seed=st.integers(0, 10_000),
    initial=st.integers(1, 50),
    minimum=st.integers(1, 5),
    extra=st.integers(0, 300),
    wild=st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_it_stays_within_its_bounds(
    seed: int, initial: int, minimum: int, extra: int, wild: float
) -> None:
    """Any outcomes, latencies down to none, works, generations and hints, in any order."""
    rng = Random(seed)
    limit = Knee(initial=initial, minimum=minimum, maximum=minimum + extra)
    generation, before, now = 0, limit.value, 0.0
    for _ in range(1500):
        now += rng.expovariate(100.0)
        outcome = rng.choice(list(Outcome)) if rng.random() < wild else Outcome.ok
        latency_s = rng.choice([0.0, 0.001, rng.expovariate(10.0), 5.0]) if rng.random() < wild else 0.1
        old = generation - (rng.random() < 0.1)
        work = rng.choice([0.05, 1.0, 20.0])
        limit.update(Sample(outcome, now - latency_s, now, rng.randint(1, before), before, old, 0.3, work, 0.01))
        if limit.value != before:
            generation, before = generation + 1, limit.value
        assert minimum <= before <= minimum + extra
        assert limit.rate_per_s > 0
