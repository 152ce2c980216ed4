"""Numbers within bounds, computed with fractions, so that no bound is missed by rounding."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import Any

from model_server.structured.bounds import SchemaError

_SPAN = 100


def number(schema: dict[str, Any], random: Random, path: str, *, whole: bool) -> int | float:
    """A number that the schema allows; `whole` for an integer."""
    low, high, low_open, high_open = _limits(schema)
    step = Fraction(str(schema["multipleOf"])) if "multipleOf" in schema else None
    if whole or step is not None:
        unit = Fraction(1) if step is None else Fraction(step.numerator) if whole else step
        return _multiple(random, unit, (low, high, low_open, high_open), path)
    if low > high or (low == high and (low_open or high_open)):
        raise SchemaError(path, f"no number is between {float(low):g} and {float(high):g}")
    if low == high:
        return float(low)
    exact = low + (high - low) * Fraction(random.randrange(1, 1000), 1000)
    rounded = round(float(exact), 2)
    return rounded if low < Fraction(rounded) < high else float(exact)


def _multiple(random: Random, unit: Fraction, limits: tuple[Fraction, Fraction, bool, bool], path: str) -> int | float:
    low, high, low_open, high_open = limits
    first, last = math.ceil(low / unit), math.floor(high / unit)
    first += low_open and first * unit == low
    last -= high_open and last * unit == high
    if first > last:
        raise SchemaError(path, f"no multiple of {float(unit):g} is between {float(low):g} and {float(high):g}")
    found = random.randint(first, min(last, first + 10 * _SPAN)) * unit
    return int(found) if found.denominator == 1 else float(found)


def _limits(schema: dict[str, Any]) -> tuple[Fraction, Fraction, bool, bool]:
    """The least and the greatest number, and whether each is itself excluded."""
    low, low_open = _tighter(schema, "minimum", "exclusiveMinimum", max)
    high, high_open = _tighter(schema, "maximum", "exclusiveMaximum", min)
    span = Fraction(_SPAN) * Fraction(str(schema.get("multipleOf", 1)))
    if low is None and high is None:
        return Fraction(0), span, False, False
    if low is None:
        low = min(Fraction(0), high - span) if high is not None else Fraction(0)
    if high is None:
        high = low + span
    return low, high, low_open, high_open


def _tighter(schema: dict[str, Any], closed: str, opened: str, choose: Any) -> tuple[Fraction | None, bool]:
    """The tighter of a bound and its exclusive form, which was a boolean beside the bound in draft 4."""
    bound = Fraction(schema[closed]) if closed in schema else None
    other = schema.get(opened)
    if isinstance(other, bool) or other is None:
        return bound, bound is not None and other is True
    limit = Fraction(other)
    if bound is None or choose(bound, limit) == limit:
        return limit, True
    return bound, False
