"""The client's own cost."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from harness.measure.record.health import ProcessSampler


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


def test_what_the_host_takes_is_a_share_of_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three busy seconds and one stolen are a quarter; a system that does not tell has none."""
    times = iter([SimpleNamespace(user=5.0, system=1.0, steal=1.0), SimpleNamespace(user=7.0, system=2.0, steal=2.0)])
    monkeypatch.setattr("psutil.cpu_times", lambda: next(times))
    sampler = ProcessSampler()
    sampler.start()
    assert sampler.host_steal_share() == 0.25
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(user=9.0, system=2.0))
    assert sampler.host_steal_share() is None
