"""Cases with figures of single repeats, for comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case, Counts, Load, Named, Rates, Target


def repeats(rates: Sequence[float], failed: int = 0, scheduled: int = 100) -> list[RepeatFigures]:
    """A repeat for each throughput, with times that fall as it rises."""
    return [
        RepeatFigures(
            repeat=number,
            scheduled=scheduled,
            ok=scheduled - failed,
            makespan_s=scheduled / rate if rate else None,
            completed_per_s=rate,
            goodput_per_s=rate,
            latency_s=_times(rate),
            service_time_s=_times(rate),
        )
        for number, rate in enumerate(rates)
    ]


def case(
    name: str, rates: Sequence[float], load: str = "backlog", failed: int = 0, target: Target | None = None
) -> Case:
    """A case whose repeats had these throughputs."""
    count = len(rates)
    mean = sum(rates) / count if count else None
    return Case(
        name=name,
        strategy=Named(name),
        load=Load(load),
        task="similarity",
        target=target or Target("http://127.0.0.1:1", "demo"),
        repeats=count,
        by_repeat=repeats(rates, failed),
        counts=Counts(scheduled=100 * count, sent=100 * count, ok=(100 - failed) * count),
        makespan_s=100 / mean if mean else None,
        rates_per_s=Rates(completed=mean, goodput=mean),
    )


def _times(rate: float) -> Points:
    if not rate:
        return Points()
    return Points(p50=1 / rate, p90=2 / rate, p95=3 / rate, p99=4 / rate)
