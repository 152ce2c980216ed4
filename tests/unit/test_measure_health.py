"""The client's own cost."""

from __future__ import annotations

import time

from harness.measure.health import ProcessSampler


def test_the_client_sees_its_own_cost() -> None:
    """CPU grows with work from the start on, memory is known."""
    sampler = ProcessSampler()
    sampler.start()
    until = time.process_time() + 0.03
    while time.process_time() < until:
        pass
    cpu_s, rss = sampler.sample()
    assert 0.02 < cpu_s == sampler.cpu_s
    assert 0 < sampler.rss_start_mb <= sampler.rss_max_mb
    assert rss > 1e6
