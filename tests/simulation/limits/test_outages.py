"""After an outage `adaptive` goes on as before, within five seconds, whatever form the outage had."""

import pytest

from tests.simulation.limits.outages import FAULTS, KINDS, OURS, STATIC, brief, lean, product

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seconds", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_is_back_within_seconds(kind: str, seconds: float) -> None:
    """It was minutes: a window in which all was refused had set the pace."""
    assert lean(KINDS[kind], seconds, seeds=1) <= 5.0


@pytest.mark.parametrize(("workers", "longer"), [(4, 4), (8, 3), (16, 1)])
def test_a_brief_outage_is_over_within_seconds_whichever_phase_it_meets(workers: int, longer: int) -> None:
    """Few are in flight in a drain, so few of them can end: then refusals look like those of a server that is full.

    `python -m tests.simulation.limits.outages` counts those of 300 that take longer.
    """
    took = sorted(brief(workers, 10.0 + 0.03 * seed, seed) for seed in range(1, 21))
    assert took[9] <= 1.0
    assert sum(one > 5.0 for one in took) <= longer


@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_takes_hardly_longer_than_with_the_static_limit_that_someone_guessed(fault: str) -> None:
    """The real strategy, retries and mock; both meet the same second of refusals or resets."""
    ours, static = (product(FAULTS[fault], 1.0, name, seeds=1, items=3_000) for name in (OURS, STATIC))
    assert ours <= static + 6.0
