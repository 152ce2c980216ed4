"""Automatic repeats: the wanted precision and the reached one, as they stand in plan.json and result.json."""

from __future__ import annotations

from typing import Literal

import msgspec

Ended = Literal["narrow", "repeats", "time", "stopped"]
"""All intervals are narrow; the most repeats or the time were spent; or the run was stopped."""


class PrecisionPlan(msgspec.Struct, frozen=True):
    """Repeats are added until every interval is narrow, or a budget is spent."""

    width: float = 0.1  # distance of an interval's farther end, as a share of the figure
    least: int = 8  # repeats before the intervals are looked at
    most: int = 30
    budget_s: float = 600.0  # of load, over all cases and repeats


class Precision(msgspec.Struct, frozen=True):
    """The outcome of automatic repeats."""

    width: float  # as asked for
    repeats: int  # of each case
    ended: Ended
    # The widest interval, of all cases. Null widest: it has an end that the repeats cannot bound.
    case: str | None = None
    figure: str | None = None
    widest: float | None = None
