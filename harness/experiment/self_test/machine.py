"""The limits of a machine and its client: the ceilings of generator and mock, and how late a sleep ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from harness.experiment import target as targets
from harness.experiment.ceiling import PROBES, probe, rate_of
from harness.experiment.event_loop import new_event_loop
from harness.experiment.self_test.laws import Injected, quantiles
from harness.experiment.self_test.plain_client import PlainRate, plain_rate
from harness.experiment.self_test.playing import play_once, spec_of
from harness.measure.record.files import paths
from harness.measure.record.plan import Transport
from harness.measure.self_test_result import Ceiling

SLEEPS, SLEEP_S = 300, 0.002


def sleep_precision_s() -> tuple[float, float]:
    """How late a sleep of two milliseconds ends: p50 and p99."""
    late = []
    for _ in range(SLEEPS):
        before = time.perf_counter()
        time.sleep(SLEEP_S)
        late.append(time.perf_counter() - before - SLEEP_S)
    return quantiles(late)


def loop_lag_s() -> tuple[float, float]:
    """How late a timer of two milliseconds fires on the client's event loop when it has nothing else to do."""
    late = []

    async def timers() -> None:
        for _ in range(SLEEPS):
            before = time.perf_counter()
            await asyncio.sleep(SLEEP_S)
            late.append(max(0.0, time.perf_counter() - before - SLEEP_S))

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(timers())
    return quantiles(late)


def ceiling(target: targets.RunningTarget, transport: Transport, folder: Path) -> Ceiling | None:
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
