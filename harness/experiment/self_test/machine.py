"""What a machine and its client can do at most: the ceilings of generator and mock, and how late a sleep ends."""

from __future__ import annotations

import time
from pathlib import Path

from harness.experiment import target as targets
from harness.experiment.ceiling import PROBES, probe, rate_of
from harness.experiment.self_test.laws import Injected
from harness.experiment.self_test.plain_client import PlainRate, plain_rate
from harness.experiment.self_test.playing import play_once, spec_of
from harness.measure.record.files import paths
from harness.measure.self_test_result import Ceiling

SLEEPS, SLEEP_S = 200, 0.002


def sleep_precision_s() -> tuple[float, float]:
    """How late a sleep of two milliseconds ends: the median and the 99th percentile."""
    late = []
    for _ in range(SLEEPS):
        before = time.perf_counter()
        time.sleep(SLEEP_S)
        late.append(time.perf_counter() - before - SLEEP_S)
    late.sort()
    return late[SLEEPS // 2], late[SLEEPS * 99 // 100]


def ceiling(target: targets.RunningTarget, transport: str, folder: Path) -> Ceiling | None:
    """The generator's ceiling against a null server, with the CPU time of both sides; None if it failed."""
    strategy, items = PROBES[transport]
    spec = probe(spec_of("ceiling", Injected("", (), items, strategy=strategy)), transport)
    played = play_once(spec, target, folder)
    rate = rate_of(paths(folder, spec.name, 0, 0).requests)
    case = played.observed.case
    if rate is None or case is None or not case.counts.attempts:
        return None
    return Ceiling(
        rate_per_s=rate,
        client_cpu_us=case.resources.client_cpu_us_per_request,
        mock_cpu_us=played.mock_cpu_s / case.counts.attempts * 1e6,
    )


def mock_ceiling(target: targets.RunningTarget, requests: int = 20_000) -> PlainRate | None:
    """The mock's own ceiling, driven by a client that needs much less CPU time than ours."""
    return plain_rate(target.url, requests)
