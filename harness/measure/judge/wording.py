"""Failures and layer counters of a case as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.measure.result import Case, LayerFigures


MEMORY_FIGURES = ("limits that began with saved findings", "of which started over", "saved")
"""Figures of the file of --remember."""


def failure_words(case: Case) -> str:
    """49 client error (HTTP 401), 3 connection error."""
    return ", ".join(
        f"{one.count:,} {one.outcome.replace('_', ' ')}" + (f" (HTTP {one.status})" if one.status else "")
        for one in case.failures
    )


def sample_words(case: Case) -> list[str]:
    """client error (HTTP 401), for example: {"error": "unknown key"}; one line for each outcome."""
    return [
        f"{outcome.replace('_', ' ')}{f' (HTTP {sample.status})' if sample.status else ''}, for example: {sample.text}"
        for outcome, sample in case.failure_samples.items()
    ]


def pace_row(case: Case) -> tuple[str, str]:
    """What limited a case, and the figures that show it: `server`, `14 in flight, median service time 70 ms, 189/s`."""
    flight = f"{units.level(case.in_flight.mean)} in flight" if case.in_flight.mean is not None else ""
    served = case.service_time_s.p50.value
    service = f"median service time {units.seconds(served)}" if served is not None else ""
    tried = case.counts.scheduled - case.counts.not_sent
    refused = f"{units.share(case.counts.rejected / tried)} refused" if case.counts.rejected else ""
    rate = units.rate(case.rates_per_s.completed) if case.rates_per_s.completed else ""
    return case.diagnosis.limited_by, ", ".join(filter(None, [flight, service, rate, refused])) or units.NONE


def layer_words(layer: LayerFigures) -> str:
    """hits 120, misses 30, stored 30, hit share 80 %."""
    if layer.figures.keys() >= set(MEMORY_FIGURES):
        return _memory_words(layer.figures)
    known = {key: value for key, value in layer.ratios.items() if value is not None}
    return ", ".join(_figure(key, value) for key, value in {**layer.figures, **known}.items())


def _memory_words(found: Mapping[str, float]) -> str:
    """0 limits began from the file; 1 saved to it."""
    begun, over, saved = (found[name] for name in MEMORY_FIGURES)
    again = f", {over} of them started over" if over else ""
    return f"{begun} {'limit' if begun == 1 else 'limits'} began from the file{again}; {saved} saved to it"


def _figure(name: str, value: float) -> str:
    words = name.removesuffix("_s").replace("_", " ")
    if name.endswith("_s"):
        return f"{words} {units.seconds(value)}"
    if "share" in name:
        return f"{words} {units.share(value)}"
    return f"{words} {value:,}" if isinstance(value, int) else f"{words} {value:,.4g}"
