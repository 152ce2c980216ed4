"""The comparison of two cases, as it stands in result.json."""

from __future__ import annotations

from typing import Literal

import msgspec

Decision = Literal["better", "worse", "no difference found", "not enough repeats"]


class FigureComparison(msgspec.Struct, frozen=True):
    """One figure of a case against the same figure of the reference. Ratios are case / reference.

    A ratio of 1.08 is 8 % more. A figure that can be 0 (the share of errors) has a difference instead of a ratio.
    """

    figure: str  # completed, goodput, errors, p50, p95, p99, service_p99, ttft_p95, itl_p95 ...
    better: Literal["higher", "lower"]
    scale: Literal["ratio", "difference"]
    decision: Decision = "not enough repeats"
    reference: float | None = None  # median over the repeats, in seconds, per second, or as a share
    value: float | None = None
    effect: float | None = None  # Hodges-Lehmann estimate; null without data
    low: float | None = None  # 95 % interval of the effect, in a gate 90 %; null with too few repeats
    high: float | None = None
    p: float | None = None  # exact, two-sided, for an effect that is no larger than the limit
    p_adjusted: float | None = None  # after Holm's correction for the figures that were judged together
    limit: float = 0.0  # effects up to this one do not count; a share for a ratio
    # The smallest effect that 9 of 10 such experiments would find.
    detectable: float | None = None
    n: int = 0  # pairs, or repeats of the case
    n_reference: int = 0
    missing: int = 0  # repeats of either case without this figure
    needed: int = 0  # pairs, or repeats of each case, below which nothing can be found


class Comparison(msgspec.Struct, frozen=True):
    """A case against the reference case."""

    case: str
    reference: str
    paired: bool  # whether repeats with the same number were played next to each other
    figures: list[FigureComparison] = []


class Control(msgspec.Struct, frozen=True):
    """The reference against itself: one strategy that was played as two cases."""

    case: str
    reference: str
    floors: dict[str, float]  # figure -> the change, as a share, up to which the two equal cases differ
    comparison: Comparison
