"""One law, the mock's own ceiling and a ceiling of the generator, really measured: quick, and on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment.self_test import TRANSPORTS
from harness.experiment.self_test.laws import constant
from harness.experiment.self_test.machine import loop_lag_s, mock_ceiling, sleep_precision_s
from harness.experiment.self_test.plain_client import plain_rate
from harness.experiment.self_test.playing import compared, embedded, play_once, spec_of
from harness.measure.record.plan import Transport, transport_name
from tests.processes import mock


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_law_is_measured_with_the_waits_of_client_and_mock(tmp_path: Path, transport: Transport) -> None:
    """A loaded machine may be late, but an answer never comes early."""
    law = constant(0.010, 40)
    with embedded(law, tmp_path) as target:
        played = play_once(spec_of("law", law, transport), target, tmp_path)
    assert played.observed.case is not None
    assert played.observed.case.transport == transport_name(transport)
    found = compared(law.laws[0], played)
    assert (found.n, found.measured_p99_s) == (40, None)
    [(name, error_s, limit_s)] = found.errors_s
    assert (name, limit_s) == ("p50", 0.001)
    assert -0.0005 < error_s < 0.2
    assert found.mock_wait_share is None or found.mock_wait_share >= 0
    assert found.mock_cpu_share is not None
    # 40 requests may take less than one tick of the processor time.
    assert 0 <= played.mock_cpu_s < 10
    assert found.burst_p50_s is not None
    assert "server_count" not in found.codes


def test_sleeps_and_timers_end_late_and_never_early() -> None:
    """p50 is at most p99."""
    for p50_s, p99_s in (sleep_precision_s(), loop_lag_s()):
        assert 0 <= p50_s <= p99_s


def test_the_mocks_own_ceiling_is_found_by_a_client_that_only_counts() -> None:
    """Every request is answered; a server that refuses gives no ceiling."""
    with mock() as target:
        before = target.seen() or 0
        found = mock_ceiling(target, 500)
        assert (target.seen() or 0) - before == 501
        target.stop()
        assert plain_rate(target.url, 10, 2) is None
    assert found is not None
    assert found.rate_per_s > 10
    assert 0 < found.client_cpu_us < 1e6 / found.rate_per_s


@pytest.mark.parametrize("profile", ["# Refuses.\n[limits]\nrate_per_s = 0.001\n"])
def test_a_mock_that_refuses_has_no_ceiling(profile: str, tmp_path: Path) -> None:
    """The first answer is a success, the next ones are not."""
    with mock(profile, tmp_path) as target:
        assert mock_ceiling(target, 50) is None
