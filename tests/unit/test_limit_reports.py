"""The limit that follows the server's reports of its queue: what it compares, and when a window ends."""

from __future__ import annotations

import pytest

from harness.client.limits.knee import Knee
from harness.client.types import Outcome, Sample


def feed(limit: Knee, count: int, latency_s: float, queue_s: float = 0.0, work: float = 1.0) -> list[int]:
    """The limits after each of so many answers that report their queue."""
    values = []
    for _ in range(count):
        now, value = limit._search.done[-1] if limit._search.done else 0.0, limit.value
        now += latency_s / value
        changes = limit._search.changes
        limit.update(Sample(Outcome.ok, now - latency_s, now, value, value, changes, work=work, queue_s=queue_s))
        values.append(limit.value)
    return values


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
    while limit._search.told.is_trusted and limit.value < 256:
        feed(limit, 1, 0.01 * limit.value)
    assert limit.value < 16


def test_larger_attempts_do_not_discredit_reports() -> None:
    """Size and latency are tripled, at whichever answer of the search; so the service is as fast as before."""
    for count in range(20, 60):
        limit = Knee(maximum=64)
        reached = feed(limit, count, 0.1)[-1]
        assert min(feed(limit, 400, 0.3, work=3.0)) >= reached
        assert limit.value == 64
