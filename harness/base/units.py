"""Formats numbers for people: three significant figures, a fitting unit, and a word where there is no number."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "–"


def significant(value: float, digits: int = 3) -> str:
    """`value` with at least `digits` significant figures, thousands separated, never an exponent: 8.3, 66.7, 1,234."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float | None) -> str:
    """A span with the unit that fits it: 850 µs, 120 ms, 8.3 s, 12 min 5 s."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0 ms"
    size = abs(value)
    if size < 0.9995e-3:
        return f"{significant(value * 1e6)} µs"
    if size < 0.9995:
        return f"{significant(value * 1e3)} ms"
    if size < 600:
        return f"{significant(value)} s"
    minutes, rest = divmod(round(value), 60)
    if size < 36_000:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{significant(value / 3600)} h"


def rate(value: float | None) -> str:
    """Per second."""
    return NONE if value is None else f"{significant(value)}/s"


def count(value: float | None) -> str:
    """Whole things, thousands separated."""
    return NONE if value is None else f"{value:,.0f}"


def level(value: float | None) -> str:
    """A time average of whole things."""
    return NONE if value is None else significant(value)


def share(value: float | None) -> str:
    """A share as per cent; only 0 is shown as 0 %, and only 1 as 100 %."""
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{significant(round(value * 100, 1))} %"


def percent(value: float) -> str:
    """A share as per cent with three significant figures, however small: for limits and for distances from them."""
    return f"{significant(100 * value)} %"


def change(value: float) -> str:
    """A relative change with its sign: `+1.5 %`; `0 %` without one."""
    return f"{value * 100:+.1f} %" if abs(value) >= 0.0005 else "0 %"


def plus_minus(words: str, value: float | None, low: float | None, high: float | None) -> str:
    """`120 ms ±3 %`: the farther end of an interval, relative to the value; only `words` without both ends."""
    if not value or low is None or high is None:
        return words
    # Sums in another order differ by a last binary digit; that is no interval.
    off = round(max(value - low, high - value) / value, 12)
    return f"{words} ±{significant(100 * off, 2)} %"


def megabytes(value: float | None) -> str:
    """Memory in MB, or GB from 1,000 MB on."""
    if value is None:
        return NONE
    return f"{significant(value / 1000)} GB" if value >= 1000 else f"{significant(value)} MB"


def microseconds(value: float | None) -> str:
    """Work per request."""
    return NONE if value is None else f"{significant(value)} µs"


def times(ratio: float) -> str:
    """A factor: 10x, 2.3x."""
    return f"{ratio:.{0 if ratio >= 10 else 1}f}x"


def listing(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
