"""Reads the queueing delay that a server reports in its header `Server-Timing` (W3C); pure."""

from __future__ import annotations

_NAME = "queue"
_BYTES_MAX = 1_000


def queue_of(server_timing: str, latency_s: float) -> float | None:
    """Seconds of the metric `queue`; None if there is none, or if it cannot be true: below 0, above the latency."""
    if len(server_timing) > _BYTES_MAX:
        return None
    for metric in server_timing.split(","):
        name, *parameters = metric.split(";")
        if name.strip() != _NAME:
            continue
        for parameter in parameters:
            key, _, value = parameter.strip().partition("=")
            if key == "dur":
                return _seconds(value, latency_s)
        return None
    return None


def _seconds(text: str, latency_s: float) -> float | None:
    try:
        seconds = float(text.strip().strip('"')) / 1000.0
    except ValueError:
        return None
    # The comparison is false for NaN.
    return seconds if 0.0 <= seconds <= latency_s else None
