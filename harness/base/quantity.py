"""Durations and rates as people write them: `500ms`, `30s`, `100/s`, `6000/min`; plain numbers have the base unit."""

from __future__ import annotations

import math
import re
from typing import Literal

TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
MICRO = str.maketrans({"\u00b5": "u", "\u03bc": "u"})
"""Microseconds are shown as µs. Both letters of Unicode that look like it are read as u."""
_NUMBER = r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*"
_DURATION = re.compile(_NUMBER + r"(us|ms|s|min|m|h)?\s*", re.IGNORECASE)
_RATE = re.compile(_NUMBER + r"(?:/\s*(s|sec|second|min|m|minute|h|hour))?\s*", re.IGNORECASE)
DURATION_HELP = "a number of seconds, or a number with a unit: us, ms, s, min, h"
SHARE_HELP = "a share such as 5% or 0.05"
REPEATS_HELP = "a whole number, or auto"
AUTO: Literal["auto"] = "auto"
NONE: Literal["none"] = "none"
RATE_HELP = "a number per second, or a number with a unit: /s, /min, /h"


def duration_s(value: str | float) -> float:
    """Seconds; raises ValueError."""
    number, unit = _split(_DURATION, value)
    return number * TIME_UNITS[{"": "s", "m": "min"}.get(unit, unit)]


def rate_per_s(value: str | float) -> float:
    """Per second; raises ValueError."""
    number, unit = _split(_RATE, value)
    return number / {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}[unit[:1]]


def share(value: str | float) -> float:
    """`5%` or `0.05`, between 0 and 1; raises ValueError."""
    text = str(value).strip()
    part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= part <= 1:
        raise ValueError(value)
    return part


def repeats_or_auto(value: str | int) -> int | Literal["auto"]:
    """A whole number, or `auto`; raises ValueError."""
    return AUTO if value == AUTO else int(value)


def seconds_or_none(value: str | float) -> float | Literal["none"]:
    """Seconds, or `none`; raises ValueError."""
    return NONE if value == NONE else duration_s(value)


def _split(shape: re.Pattern[str], value: str | float) -> tuple[float, str]:
    if isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - one kind of error for whatever is no quantity
    found = shape.fullmatch(value.translate(MICRO)) if isinstance(value, str) else None
    number = float(found[1]) if found else float(value)
    if (found is None and isinstance(value, str)) or not math.isfinite(number):
        raise ValueError(value)
    return number, (found[2] or "").lower() if found else ""
