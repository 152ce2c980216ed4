"""One law, the mock's own ceiling and a ceiling of the generator, really measured: quick, and on any machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.experiment.self_test import TRANSPORTS
from harness.experiment.self_test.laws import constant
from harness.experiment.self_test.machine import loop_lag_s, mock_ceiling, sleep_precision_s
from harness.experiment.self_test.plain_client import plain_rate
from harness.experiment.self_test.playing import CpuWatch, compared, embedded, play_once, spec_of
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
    assert found.burst_p50_s is not None
    assert "server_count" not in found.codes


BUSY = """
import sys, time
for _ in sys.stdin:
    begun = time.process_time()
    while time.process_time() - begun < 0.2:
        pass
    print(flush=True)
"""


def test_the_processor_time_of_another_process_counts_from_the_start_of_the_watch() -> None:
    """It works for 0.2 s before, and for 0.2 s while it is watched, by its own clock; a tick is 10 ms."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def work() -> None:
            child.stdin.write(b"\n")  # type: ignore[union-attr] # as above
            child.stdin.flush()  # type: ignore[union-attr] # as above
            child.stdout.readline()  # type: ignore[union-attr] # as above

        work()
        watch = CpuWatch(child.pid)
        before = watch.cpu_s
        work()
        used, share = watch.cpu_s, watch.read().cpu_share
        child.stdin.close()
    assert before < 0.05
    assert 0.17 < used < 0.3
    assert share is not None
    # By the clock on the wall it took at least as long.
    assert 0.0 < share < 1.1


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
