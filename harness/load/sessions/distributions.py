"""Distributions of the number of turns, and of think times in seconds. Pure draws from a seeded generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from harness.base.quantity import duration_s
from harness.base.turn_index import TURNS_MAX
from harness.client.checks import between
from harness.client.errors import SettingError
from harness.load import lengths
from harness.load.distribution_text import built

THINK_MAX_S = 86_400.0
MEAN_MAX_S = 3_600.0


@dataclass(frozen=True)
class FixedTurns:
    """Every session has as many turns."""

    turns: int

    def __post_init__(self) -> None:
        between(self, 1, TURNS_MAX, "turns")

    @property
    def min(self) -> int:
        return self.turns

    max = min

    def draw(self, rng: Random) -> int:
        """The same number always."""
        return self.turns


class UniformTurns(lengths.Uniform):
    """Every number from `min` to `max` is as likely as the others."""

    most: ClassVar[int] = TURNS_MAX


@dataclass(frozen=True)
class Geometric:
    """Each turn is the last one with the same probability."""

    mean: float
    min: ClassVar[int] = 1
    max: ClassVar[int] = TURNS_MAX

    def __post_init__(self) -> None:
        between(self, 1, TURNS_MAX // 5, "mean")

    def draw(self, rng: Random) -> int:
        """The number of trials up to the first success."""
        if self.mean <= 1:
            return 1
        drawn = 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / self.mean))
        return min(drawn, self.max)


@dataclass(frozen=True)
class FixedThink:
    """Always as long."""

    time: float

    def __post_init__(self) -> None:
        between(self, 0, THINK_MAX_S, "time")

    def draw(self, rng: Random) -> float:
        """The same time always."""
        return self.time


@dataclass(frozen=True)
class UniformThink:
    """Every time from `min` to `max` is as likely as the others."""

    min: float
    max: float

    def __post_init__(self) -> None:
        between(self, 0, THINK_MAX_S, "min", "max")
        if self.max < self.min:
            raise SettingError(f"max={self.max:g} must be at least min={self.min:g}")

    def draw(self, rng: Random) -> float:
        """A time from min to max."""
        return rng.uniform(self.min, self.max)


@dataclass(frozen=True)
class Exponential:
    """The end comes at a constant rate."""

    mean: float

    def __post_init__(self) -> None:
        between(self, 1e-6, MEAN_MAX_S, "mean")

    def draw(self, rng: Random) -> float:
        """One time."""
        return min(rng.expovariate(1.0 / self.mean), THINK_MAX_S)


@dataclass(frozen=True)
class Lognormal:
    """Many short times and few long ones. `sigma` is of the logarithm, `mean` of the times themselves."""

    mean: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        between(self, 1e-6, MEAN_MAX_S, "mean")
        between(self, 0, 5, "sigma")

    def draw(self, rng: Random) -> float:
        """One time."""
        return min(rng.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma), THINK_MAX_S)


Turns = FixedTurns | UniformTurns | Geometric
Think = FixedThink | UniformThink | Exponential | Lognormal
TURNS: dict[str, type[Any]] = {"constant": FixedTurns, "uniform": UniformTurns, "geometric": Geometric}
THINKS: dict[str, type[Any]] = {
    "constant": FixedThink,
    "uniform": UniformThink,
    "exponential": Exponential,
    "lognormal": Lognormal,
}


def turns_of(text: str) -> Turns:
    """`5`, `uniform:2..8` or `geometric:mean=4`; raises UsageError."""
    made: Turns = built(text, "--turns", TURNS, "a whole number, uniform:LOW..HIGH or geometric:mean=N")
    return made


def think_of(text: str) -> Think:
    """`3`, `500ms`, `none`, `exponential:mean=3`, `lognormal:mean=3,sigma=1` or `uniform:1..5`; raises UsageError."""
    forms = "none, a time, uniform:LOW..HIGH, exponential:mean=TIME or lognormal:mean=TIME[,sigma=N]"
    made: Think = built("0" if text.strip() == "none" else text, "--think", THINKS, forms, duration_s)
    return made
