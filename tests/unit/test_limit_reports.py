"""The limit that follows the server's reports of its queue: what it compares, and when a window ends."""

from __future__ import annotations

import pytest

from harness.client.limits.knee import Knee
from harness.client.types import Outcome, Sample


def feed(
    limit: Knee,
    count: int,
    latency_s: float,
    queue_s: float | None = 0.0,
    work: float = 1.0,
    first_s: float | None = None,
) -> list[int]:
    """The limits after each of so many answers that report their queue or their first event."""
    values = []
    for _ in range(count):
        search, value = limit._search, limit.value
        now = (search.done[-1] if search.done else 0.0) + latency_s / value
        at = (now - latency_s, now, value, value, search.changes)
        limit.update(Sample(Outcome.ok, *at, work=work, queue_s=queue_s, first_s=first_s))
        values.append(limit.value)
    return values


@pytest.mark.no_cover
@pytest.mark.parametrize("maximum", [8, 16, 64])
def test_a_slower_service_at_the_maximum_does_not_discredit_reports(maximum: int) -> None:
    """Nothing was doubled there, so the growth of the limit cannot be the reason, at whichever answer it begins."""
    for count in range(1000, 1064):
        limit = Knee(maximum=maximum)
        assert feed(limit, count, 0.1)[-1] == maximum
        assert min(feed(limit, 300, 0.2)) == maximum


def test_a_service_that_slows_down_with_the_doubled_limit_discredits_reports() -> None:
    """A bottleneck that the server does not report: latency is in proportion to the number in flight."""
    limit = Knee()
    while limit._search.reported_queue.is_trusted and limit.value < 256:
        feed(limit, 1, 0.01 * limit.value)
    assert limit.value < 16


def test_larger_attempts_do_not_discredit_reports() -> None:
    """Size and latency are tripled, at whichever answer of the search; so the service is as fast as before."""
    for count in range(20, 60):
        limit = Knee(maximum=64)
        reached = feed(limit, count, 0.1)[-1]
        assert min(feed(limit, 400, 0.3, work=3.0)) >= reached
        assert limit.value == 64


@pytest.mark.parametrize("count", [20, 200, 2000])
def test_the_limit_grows_soon_after_a_queue_at_its_minimum_has_ended(count: int) -> None:
    """However long the queue of others lasted, it does not count any more."""
    limit = Knee()
    feed(limit, 200, 1.0, queue_s=0.9)
    assert limit.value == 1
    feed(limit, count, 1.0, queue_s=0.9)
    assert max(feed(limit, 50, 0.1)) > 1


def test_the_least_time_to_the_first_event_is_forgotten_by_windows() -> None:
    """A queue that lasts for 350 answers, some 20 windows, hardly changes it."""
    limit = Knee(initial=1, maximum=1)
    feed(limit, 60, 1.0, queue_s=None, first_s=0.1)
    feed(limit, 350, 1.0, queue_s=None, first_s=0.95)
    assert limit._search.reported_queue._least_s == pytest.approx(0.1, rel=0.06)
