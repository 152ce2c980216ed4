"""Checks for the settings of plug-ins: each error names the field, its value and the allowed range."""

from __future__ import annotations

import math
from typing import Any

from harness.client.errors import SettingError, UsageError

TOKENS_MAX = 1_000_000
"""Most tokens of a prompt or an answer."""


def positive(settings: Any, *fields: str) -> None:
    """Raise SettingError unless each of these fields is finite and above 0."""
    for field in fields:
        value = getattr(settings, field)
        if not (math.isfinite(value) and value > 0):
            raise SettingError(f"{field}={value!r} must be above 0")


def at_least(settings: Any, low: float, *fields: str) -> None:
    """Raise SettingError unless each of these fields is finite and at least `low`."""
    for field in fields:
        value = getattr(settings, field)
        if not (math.isfinite(value) and value >= low):
            raise SettingError(f"{field}={value!r} must be at least {low:g}")


def between(settings: Any, low: float, high: float, *fields: str) -> None:
    """Raise SettingError unless each of these fields lies in [low, high]."""
    for field in fields:
        value = getattr(settings, field)
        if not low <= value <= high:
            raise SettingError(f"{field}={value!r} must be between {shown(low)} and {shown(high)}")


def flags_between(*checks: tuple[str, float | None, float, float]) -> None:
    """Raise UsageError unless the value of each option is None or lies between its bounds: flag, value, low, high."""
    for flag, value, low, high in checks:
        if value is not None and not low <= value <= high:
            raise UsageError(f"{flag} {value:g}: must be between {shown(low)} and {shown(high)}")


def shown(bound: float) -> str:
    """A bound as people write it: 1000000, not 1e+06."""
    return f"{bound:.0f}" if bound == round(bound) and abs(bound) < 1e12 else f"{bound:g}"
