"""Scales with few, round ticks, chosen explicitly so that tick labels never overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.base import units

if TYPE_CHECKING:
    from matplotlib.axis import Axis

LOG_FROM = 30.0
"""Values spread wider than this are drawn on a logarithmic axis."""


def compact(value: float) -> str:
    """The label of a tick: 250, 2k, 1.5M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return units.significant(value / min(size, 1e3 if suffix == "k" else size)) + suffix
    return units.significant(value)


def wants_log(values: Iterable[float | None]) -> bool:
    """True if the positive values spread over more than LOG_FROM."""
    positive = [value for value in values if value is not None and value > 0 and math.isfinite(value)]
    return bool(positive) and max(positive) > LOG_FROM * min(positive)


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, linear or logarithmic; `words` formats a tick."""

    low: float
    high: float
    log: bool
    words: Callable[[float], str] = compact

    def place(self, value: float) -> float:
        """The position of a value between low (0) and high (1)."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[float]:
        """At most `most` round values within the scale."""
        return log_ticks(self.low, self.high, most) if self.log else linear_ticks(self.low, self.high, most)

    def apply(self, axis: Axis, most: int = 6, *, grid: bool = True) -> None:
        """Set limits, scale, ticks and grid of an axis."""
        axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined] # x or y; missing in the stubs
        (axes.set_xscale if name == "x" else axes.set_yscale)("log" if self.log else "linear")
        (axes.set_xlim if name == "x" else axes.set_ylim)(self.low, self.high)
        ticks = self.ticks(most)
        axis.set_ticks(ticks, labels=[self.words(tick) for tick in ticks])
        axis.set_ticks([], minor=True)
        axis.set_tick_params(length=0, pad=4)
        axis.grid(grid)


def scale_for(
    values: Sequence[float | None], words: Callable[[float], str] = compact, *, log: bool | None = None
) -> Scale:
    """A scale around the values with a margin: linear from 0, or logarithmic if their range is large."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    positive = [value for value in known if value > 0]
    if not positive:
        return Scale(0.0, 1.0, log=False, words=words)
    if wants_log(known) if log is None else log:
        return Scale(min(positive) / 1.25, max(positive) * 1.25, log=True, words=words)
    return Scale(0.0, max(positive) * 1.08, log=False, words=words)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten, including the ends if they are multiples."""
    raw = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.9999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """The densest of 1-2-5 steps, decades and every k-th decade that `most` allows."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    choices = [[1, 2, 5], [1, 3], [1]]
    for factors in choices:
        ticks = [factor * 10.0**power for power in decades for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if 2 <= len(ticks) <= most:
            return ticks
    ticks = [10.0**power for power in decades if low * 0.999 <= 10.0**power <= high * 1.001]
    if len(ticks) > most:
        return ticks[:: math.ceil(len(ticks) / most)]
    return linear_ticks(low, high, most)
