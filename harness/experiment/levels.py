"""Parses the levels of a sweep: `1:256:x2`, `8:64:8` or `10,20,50`."""

from __future__ import annotations

import math
import re

from harness.client.errors import UsageError

FORMAT = "FIRST:LAST:xFACTOR, FIRST:LAST:STEP or a list"
LEVELS_MAX = 200
LEVEL_MAX = 100_000
_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"{_NUMBER}:{_NUMBER}:(?:x{_NUMBER}|\+?{_NUMBER})")


def levels(text: str, option: str = "--concurrency", whole: bool = True) -> list[float]:
    """The levels in ascending order, both ends included; raises UsageError that describes the format."""
    found = _range(text, whole) if ":" in text else _list(text)
    least = 1.0 if whole else 0.001
    fits = 0 < len(found) <= LEVELS_MAX and all(least <= level <= LEVEL_MAX for level in found)
    if not fits or (whole and any(level != int(level) for level in found)):
        raise UsageError(
            f"{option} {text!r}: expected FIRST:LAST:xFACTOR (1:256:x2), FIRST:LAST:STEP (8:64:8) or a list "
            f"(10,20,50), of at most {LEVELS_MAX} {'whole ' if whole else ''}levels between {least:g} and {LEVEL_MAX}"
        )
    return found


def _list(text: str) -> list[float]:
    try:
        return sorted({float(part) for part in text.split(",") if math.isfinite(float(part))})
    except ValueError:
        return []


def _range(text: str, whole: bool) -> list[float]:
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return []
    first, last = float(match[1]), float(match[2])
    factor, step = float(match[3] or 1), float(match[4] or 0)
    if not 0 < first <= last or (factor <= 1 and step <= 0):
        return []
    found, value = {first, last}, first
    while value < last and len(found) <= LEVELS_MAX:
        # Three figures, as the table shows them and the case is named.
        found.add(float(round(value)) if whole else float(f"{value:{'.3g' if factor > 1 else '.6g'}}"))
        value = value * factor + step
    return sorted(found)
