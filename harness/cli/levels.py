"""Parses the levels of a sweep: `1:256:x2`, `8:64:+8` or `10,20,50`."""

from __future__ import annotations

import re

from harness.client.errors import UsageError

LEVELS_MAX = 200
LEVEL_MAX = 100_000
_RANGE = re.compile(r"(\d+):(\d+):(?:x(\d+(?:\.\d+)?)|\+(\d+))")


def levels(text: str) -> list[int]:
    """The levels in ascending order, both ends included; raises UsageError that describes the format."""
    found = _range(text) if ":" in text else _list(text)
    if not found or not 1 <= min(found) <= max(found) <= LEVEL_MAX or len(found) > LEVELS_MAX:
        raise _wrong(text)
    return found


def _list(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise _wrong(text) from None


def _range(text: str) -> list[int]:
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise _wrong(text)
    first, last = int(match[1]), int(match[2])
    factor, step = float(match[3] or 1), int(match[4] or 0)
    if not 1 <= first <= last or (factor <= 1 and step < 1):
        raise _wrong(text)
    found, value = {first, last}, float(first)
    while value < last and len(found) <= LEVELS_MAX:
        found.add(round(value))
        value = value * factor + step
    return sorted(found)


def _wrong(text: str) -> UsageError:
    return UsageError(
        f"--concurrency {text!r}: expected FIRST:LAST:xFACTOR (1:256:x2), FIRST:LAST:+STEP (8:64:+8) or a list "
        f"(10,20,50), of at most {LEVELS_MAX} levels between 1 and {LEVEL_MAX}"
    )
