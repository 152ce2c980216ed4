"""Jitter of service times: a factor with mean 1, drawn for every batch, sequence or token. Pure and seeded."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

FACTOR_MAX = 1e15
"""Nanoseconds of eleven days: their sum and their mean are finite, too."""
Spread = Annotated[float, Meta(gt=0.0, le=10.0)]
Draw = Callable[[], float]


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="constant"):
    """No jitter."""

    def sampler(self, rng: Random) -> Draw:
        """Always 1."""
        return lambda: 1.0


class Exponential(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="exponential"):
    """Memoryless: coefficient of variation 1."""

    def sampler(self, rng: Random) -> Draw:
        """Exponential with mean 1."""
        return lambda: rng.expovariate(1.0)


class Lognormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="lognormal"):
    """A long right tail, as most servers have."""

    cv: Annotated[Spread, Meta(description="coefficient of variation: standard deviation / mean")] = 0.3

    def sampler(self, rng: Random) -> Draw:
        """Lognormal with mean 1 and this coefficient of variation."""
        variance = math.log(1 + self.cv**2)
        sigma = math.sqrt(variance)
        return lambda: rng.lognormvariate(-variance / 2, sigma)


class Gamma(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="gamma"):
    """Between constant (small cv) and exponential (cv 1)."""

    cv: Annotated[Spread, Meta(description="coefficient of variation: standard deviation / mean")] = 0.3

    def sampler(self, rng: Random) -> Draw:
        """Gamma with mean 1 and this coefficient of variation."""
        shape = 1 / self.cv**2
        return lambda: rng.gammavariate(shape, 1 / shape)


class Empirical(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="empirical"):
    """Measured factors, scaled to mean 1; from `factors` or from `file` (one number per line)."""

    factors: Annotated[tuple[float, ...], Meta(description="measured service times, any unit")] = ()
    file: Annotated[str | None, Meta(description="path, relative to the profile; one number per line")] = None

    def __post_init__(self) -> None:
        if not self.factors and self.file is None:
            raise ValueError("needs factors (a list of numbers > 0) or file (a path)")
        wrong = [factor for factor in self.factors if not 0 < factor <= FACTOR_MAX]
        if wrong:
            raise ValueError(f"every factor must be a number > 0 and <= {FACTOR_MAX:g}; got {wrong[0]!r}")

    def sampler(self, rng: Random) -> Draw:
        """One of the factors, all equally likely."""
        mean = sum(self.factors) / len(self.factors)
        factors = [factor / mean for factor in self.factors]
        return lambda: rng.choice(factors)


Jitter = Constant | Exponential | Lognormal | Gamma | Empirical
