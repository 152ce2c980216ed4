"""The laws that a self-test injects: profiles of the mock, and the quantiles that a perfect client would measure. Pure.

Rules of this file
  1. The quantiles come from the law or, for a random law, from the mock's own draws: it is seeded, so the draws of a
     run are known before it. Nothing is compared with a measured value.
  2. Percentiles are by nearest rank, as those of a run are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from harness.load.schedule import BACKLOG, compute
from harness.measure.reduce.statistics import PERCENTILES, rank
from harness.measure.result import Named

CV = 0.3
SEED = 0
STREAM = "annotate:stream=true,max_tokens=8"


@dataclass(frozen=True)
class Law:
    """A known law of times; `figure` is the name of the case's distribution that shows it."""

    name: str
    figure: str
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Injected:
    """A profile of the mock, the case that meets it, and the laws that its times follow."""

    profile: str
    laws: tuple[Law, ...]
    items: int
    task: str = "similarity"
    strategy: str = "queue-stream:concurrency=4"
    load: Named = field(default_factory=lambda: Named(BACKLOG))
    duration_s: float = 30.0


def injected(items: int = 300) -> list[Injected]:
    """The laws of a self-test. The tail of fewer than 299 items is not compared."""
    return [
        constant(0.020, items),
        lognormal(0.020, items),
        stall(0.020, items),
        stream(0.040, 0.010, items),
    ]


def constant(mean_s: float, items: int) -> Injected:
    """Every answer takes equally long."""
    return _one("constant", "service_time_s", [mean_s], items, f"# Constant.\n[service]\nbase_s = {mean_s}\n")


def lognormal(mean_s: float, items: int) -> Injected:
    """A long right tail: the mock draws a factor for each request, in the order of their arrival."""
    profile = f"# Lognormal.\nseed = {SEED}\n[service]\nbase_s = {mean_s}\n"
    profile += f'[service.jitter]\nkind = "lognormal"\ncv = {CV}\n'
    return _one("lognormal", "service_time_s", lognormal_draws(mean_s, items), items, profile)


def stall(service_s: float, items: int) -> Injected:
    """Arrivals at a constant rate meet a server that answers nothing for 0.3 s: latency counts from the due time."""
    rate, start_s, length_s = 150.0, 1.0033, 0.3
    duration_s = items / rate
    load = Named("constant", {"rate_per_s": rate})
    due = list(compute(load.name, load.settings, duration_s, items, 1).offsets or [])
    # The mock counts from its first request.
    stalled = stalled_latencies([at - due[0] for at in due], service_s, start_s, start_s + length_s)
    profile = f"# A stall.\n[service]\nbase_s = {service_s}\n"
    profile += f'[[faults]]\nkind = "stall"\nstart_s = {start_s}\nend_s = {start_s + length_s}\n'
    played = {"strategy": "queue-stream:concurrency=100", "load": load, "duration_s": duration_s}
    return _one("stall", "latency_s", stalled, items, profile, **played)


def _one(name: str, figure: str, values: Sequence[float], items: int, profile: str, **played: Any) -> Injected:
    """A single law: the quantiles of these values."""
    return Injected(profile, (Law(name, figure, *quantiles(values)),), items, **played)


def stream(ttft_s: float, itl_s: float, items: int) -> Injected:
    """Generated tokens, one by one."""
    return Injected(
        profile=f"# A stream.\n[generation]\nttft_base_s = {ttft_s}\nitl_base_s = {itl_s}\n",
        laws=(Law("first token", "ttft_s", ttft_s, ttft_s), Law("between tokens", "tpot_s", itl_s, itl_s)),
        items=items,
        task=STREAM,
        strategy="queue-stream:concurrency=8",
    )


def lognormal_draws(mean_s: float, items: int) -> list[float]:
    """The service times that the mock draws for its first requests."""
    rng, variance = Random(f"{SEED}/service"), math.log(1 + CV**2)
    return [mean_s * rng.lognormvariate(-variance / 2, math.sqrt(variance)) for _ in range(items)]


def stalled_latencies(due_s: Sequence[float], service_s: float, start_s: float, end_s: float) -> list[float]:
    """The latency of each item; an answer that is due within the stall comes at its end."""
    return [(end_s - at) if start_s <= at + service_s < end_s else service_s for at in due_s]


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """p50 and p99."""
    ordered = sorted(values)
    return ordered[rank(len(ordered), PERCENTILES["p50"])], ordered[rank(len(ordered), PERCENTILES["p99"])]


def settings_of_load(of: Injected) -> dict[str, Any]:
    """The fields of a case that describe its load."""
    schedule = compute(of.load.name, of.load.settings, of.duration_s, of.items, 1)
    return {
        "load": of.load,
        "items": of.items,
        "duration_s": of.duration_s,
        "schedule_sha256": schedule.sha256,
        "scheduled": len(schedule) or None,
        "span_s": schedule.span_s,
    }
