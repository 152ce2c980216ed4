"""A load at the rate of an option."""

from __future__ import annotations

from typing import Any

from harness import plugins
from harness.client.errors import UsageError
from harness.measure.result import Named


def with_rate(pacer: Any, rate_per_s: float | None, flag: str) -> Named:
    """Name and settings of a load, at the rate of an option if one is given. Raises UsageError."""
    name, values = plugins.name_of(type(pacer)), plugins.settings_of(pacer)
    if rate_per_s is not None:
        if "rate_per_s" not in values:
            raise UsageError(f"{flag}: the load {name} takes its rate from the trace")
        values["rate_per_s"] = rate_per_s
    return Named(name, values)
