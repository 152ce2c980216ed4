"""Growth of latency with the in-flight calls. `n` is the number of calls in the server with the new one. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

POINT_MAX = 1_000_000
Ratio = Annotated[float, Meta(ge=0.0, le=1000.0)]


class NoGrowth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Latency does not depend on the calls in flight."""

    def apply(self, seconds: float, n: int) -> float:
        """The service time, unchanged."""
        return seconds


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="linear"):
    """factor = 1 + slope (n - 1)."""

    slope: Annotated[Ratio, Meta(description="increase per further call in flight, as a share of the service time")]

    def apply(self, seconds: float, n: int) -> float:
        """A straight line."""
        return seconds * (1 + self.slope * (n - 1))


class ExponentialGrowth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="exponential"):
    """factor = 1 up to the knee, then exp(rate (n - knee)), at most `factor_max`."""

    knee: Annotated[int, Meta(ge=1, le=1_000_000, description="calls in flight up to which latency is flat")]
    rate: Annotated[Ratio, Meta(description="growth per call in flight past the knee")]
    factor_max: Annotated[float, Meta(ge=1.0, le=1e6, description="largest factor")] = 1000.0

    def apply(self, seconds: float, n: int) -> float:
        """Flat, then exponential."""
        if n <= self.knee:
            return seconds
        exponent = min(self.rate * (n - self.knee), math.log(self.factor_max))
        return seconds * math.exp(exponent)


class Usl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="usl"):
    """Gunther's universal scalability law: factor = 1 + sigma (n - 1) + kappa n (n - 1)."""

    sigma: Annotated[Ratio, Meta(description="contention")]
    kappa: Annotated[Ratio, Meta(description="coherency: throughput falls past its peak")] = 0.0

    def apply(self, seconds: float, n: int) -> float:
        """Latency by Little's law from the USL's throughput."""
        return seconds * (1 + self.sigma * (n - 1) + self.kappa * n * (n - 1))


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="table"):
    """Straight lines between points (in flight, value); the last line continues past the last point.

    With unit "seconds" the value is the whole service time, and the other `service` constants have no effect.
    """

    points: Annotated[
        tuple[tuple[float, float], ...], Meta(min_length=1, description="[in flight, value], sorted by in flight")
    ]
    unit: Annotated[Literal["seconds", "factor"], Meta(description="unit of the values")] = "seconds"

    def __post_init__(self) -> None:
        # No comparison with NaN is true.
        if not all(0 <= one <= POINT_MAX for point in self.points for one in point):
            raise ValueError(f"points must be >= 0 and <= {POINT_MAX:,}")
        if any(left[0] >= right[0] for left, right in zip(self.points, self.points[1:], strict=False)):
            raise ValueError("points must have rising numbers in flight")

    def scaled(self, speed: float) -> Table:
        """The same table with seconds divided by `speed`; factors are unchanged."""
        if self.unit == "factor":
            return self
        return msgspec.structs.replace(self, points=tuple((at, value / speed) for at, value in self.points))

    def apply(self, seconds: float, n: int) -> float:
        """The interpolated service time."""
        value = self._value(n)
        return value if self.unit == "seconds" else seconds * value

    def _value(self, n: int) -> float:
        points = self.points
        right = bisect_right([at for at, _ in points], n)
        if right == 0 or len(points) == 1:
            return points[0][1]
        (x0, y0), (x1, y1) = points[min(right, len(points) - 1) - 1], points[min(right, len(points) - 1)]
        return max(0.0, y0 + (y1 - y0) * (n - x0) / (x1 - x0))


Growth = NoGrowth | Linear | ExponentialGrowth | Usl | Table
