"""A server that says how long requests waited makes the search unnecessary; what it hides is found all the same."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from harness.client.gate.queue_times import queue_of
from harness.client.limits.knee import Knee
from harness.client.types import Outcome, Sample
from harness.experiment.simulate import simulate
from tests.simulation.limits.product import measured
from tests.simulation.limits.profiles import profile
from tests.simulation.limits.random_refusals import refusing, shares_of_static
from tests.simulation.limits.references import SUITE_SEEDS, reference
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Scores, fairness, scores
from tests.simulation.limits.server import shapes

SHAPES = {shape.name: shape for shape in shapes()}


def reported(name: str, reports: str = "queue") -> list[Scores]:
    """Our limit on a shape whose answers say something of the queue."""
    shape = SHAPES[name]
    telling = replace(shape, reports=reports, first_s=shape.service_s / 5)
    return [scores(play(telling, Knee, seed), shape, reference(shape, seed)) for seed in SUITE_SEEDS]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exponential_16", "lognormal_8", "mixture_12", "late_10_40", "capacity_steps"])
def test_reports_of_the_queue_replace_the_search(name: str) -> None:
    """Better than with the search, in every single run."""
    assert min(one.score for one in reported(name)) >= 0.89


@pytest.mark.slow
@pytest.mark.parametrize("name", ["four_clients", "clients_8_leave"])
def test_clients_that_know_the_queue_share_it_fairly(name: str) -> None:
    """Each keeps a few own attempts waiting, whatever the others do."""
    found = reported(name)[:1]
    assert fmean(one.jain for one in found) >= 0.95
    assert max(one.p50 for one in found) <= 2.0


@pytest.mark.slow
def test_the_first_event_of_a_stream_tells_of_the_queue() -> None:
    assert min(one.score for one in reported("exponential_16", "first")) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["usl_collapse", "overload_slows_past_24"])
def test_a_bottleneck_that_is_not_reported_is_found_by_the_search(name: str) -> None:
    """The server says that nothing waits, and gets slower: as good as without reports, but for the time to notice."""
    without = fmean(one.score for one in reported(name, ""))
    assert fmean(one.score for one in reported(name)) >= 0.75 * without


@pytest.mark.slow
@pytest.mark.parametrize("reports", ["", "queue"])
def test_refusals_at_random_hardly_matter(reports: str) -> None:
    """One in ten from the first moment on, for half a minute: most of the answers of a static 24, with the start."""
    assert fmean(shares_of_static(refusing("exponential_16", 0.1, reports), range(1, 5))) >= 0.6


def test_without_reports_the_search_goes_on() -> None:
    """Some answers have no report, then none has."""
    limit = Knee()
    for number in range(200):
        queue_s = 0.05 if number % 3 and number < 60 else None
        at = number / 10
        value = limit.value
        limit.update(Sample(Outcome.ok, at, at + 0.1, value, value, limit._search.changes, queue_s=queue_s))
    assert not limit._search.reported_queue.takes(Sample(Outcome.ok, 0.0, 1.0, 1, 1, 0))


def test_the_product_reads_the_reports_of_the_mock() -> None:
    """Eight clients with a limit of their own each share a server of 32 workers evenly."""
    shape = replace(SHAPES["clients_8"], stagger_s=1.0, duration_s=20.0)
    joins_s = [float(k) for k in range(8)]
    run = simulate("adaptive:shared=false", profile(shape), stop_s=20.0, seed=1, clients=8, joins_s=joins_s)
    played = measured(run.rows, run.ticks, shape)
    jain, least = fairness(played, shape)
    assert jain >= 0.9
    assert least >= 0.4
    assert played.p50_s <= 2.0 * reference(SHAPES["clients_8"]).p50_s


def test_answers_that_come_all_at_once_do_not_look_like_little_demand() -> None:
    """Constant times: all that are in flight end at one instant, and the product's limit grows all the same."""
    shape = replace(SHAPES["constant_200"], duration_s=6.0)
    run = simulate("adaptive", profile(shape), stop_s=6.0, seed=1)
    assert run.ticks["in_flight"].max() > 150
    shares = [run.rows["sent"] > 4e9, run.rows["done"] < 6e9]
    assert (shares[0] & shares[1]).sum() > 0.7 * 2.0 * 1000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("queue;dur=12.300, batch;dur=0.0;desc=\"n=8\", compute;dur=120.0", 0.0123),
        ("cache;desc=hit, queue;desc=\"a\";dur=\"5\"", 0.005),
        ("queue", None),
        ("queue;dur=x", None),
        ("queue;dur=-1", None),
        ("queue;dur=nan", None),
        ("queue;dur=1e9", None),
        ("compute;dur=5", None),
        ("", None),
        ("queue;dur=1," * 200, None),
    ],
)  # fmt: skip
def test_only_a_delay_that_can_be_true_is_read(header: str, seconds: float | None) -> None:
    assert queue_of(header, 1.0) == (None if seconds is None else pytest.approx(seconds))
