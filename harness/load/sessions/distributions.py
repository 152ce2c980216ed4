"""Distributions of the number of turns and of think times, as a user writes them: `geometric:mean=4`, `uniform:2..8`.

A plain number is a constant. Every distribution is drawn by inversion or by `random.Random` from a seeded generator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from harness.base.quantity import duration_s
from harness.base.turn_index import TURNS_MAX
from harness.client.errors import UsageError

THINK_MAX_S = 86_400.0
_RANGE = re.compile(r"([^.]+(?:\.\d+)?)\.\.(.+)")


@dataclass(frozen=True)
class Turns:
    """The number of turns of a session, between 1 and TURNS_MAX."""

    kind: str
    low: int
    high: int
    mean: float

    def draw(self, rng: Random) -> int:
        """One number."""
        if self.kind == "uniform":
            return rng.randint(self.low, self.high)
        if self.kind == "geometric" and self.mean > 1:
            # The number of trials up to the first success.
            drawn = 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / self.mean))
            return min(drawn, self.high)
        return self.low


@dataclass(frozen=True)
class Think:
    """Seconds between an answer and the next turn of its session."""

    kind: str
    low_s: float
    high_s: float
    mean_s: float
    sigma: float

    def draw(self, rng: Random) -> float:
        """One time in seconds, at most THINK_MAX_S."""
        if self.kind == "exponential":
            drawn = rng.expovariate(1.0 / self.mean_s)
        elif self.kind == "lognormal":
            drawn = rng.lognormvariate(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma)
        elif self.kind == "uniform":
            drawn = rng.uniform(self.low_s, self.high_s)
        else:
            drawn = self.mean_s
        return min(drawn, THINK_MAX_S)


def turns_of(text: str) -> Turns:
    """`5`, `constant:5`, `uniform:2..8` or `geometric:mean=4`; raises UsageError."""
    forms = "a number, constant:N, uniform:LOW..HIGH or geometric:mean=N"
    parts = _Parts("--turns", text, forms)
    bounds = f"between 1 and {TURNS_MAX}"
    if parts.name == "constant":
        number = parts.whole(parts.only(), 1, TURNS_MAX, bounds)
        return Turns("constant", number, number, number)
    if parts.name == "uniform":
        low, high = parts.range()
        first, last = (parts.whole(end, 1, TURNS_MAX, bounds) for end in (low, high))
        parts.check(first <= last, f"{low} is above {high}")
        return Turns("uniform", first, last, (first + last) / 2)
    if parts.name == "geometric":
        mean = parts.settings({"mean"}, float)["mean"]
        parts.check(1 <= mean <= TURNS_MAX / 5, f"the mean must be between 1 and {TURNS_MAX // 5}")
        return Turns("geometric", 1, TURNS_MAX, mean)
    raise parts.unknown()


def think_of(text: str) -> Think:
    """`3`, `500ms`, `none`, `exponential:mean=3`, `lognormal:mean=3,sigma=1` or `uniform:1..5`; raises UsageError."""
    forms = "none, a time, constant:TIME, uniform:LOW..HIGH, exponential:mean=TIME or lognormal:mean=TIME[,sigma=N]"
    if text.strip() == "none":
        return Think("constant", 0.0, 0.0, 0.0, 0.0)
    parts = _Parts("--think", text, forms)
    if parts.name == "constant":
        mean_s = parts.time(parts.only(), 0.0)
        return Think("constant", mean_s, mean_s, mean_s, 0.0)
    if parts.name == "uniform":
        low, high = parts.range()
        low_s, high_s = parts.time(low, 0.0), parts.time(high, 0.0)
        parts.check(low_s <= high_s, f"{low} is above {high}")
        return Think("uniform", low_s, high_s, (low_s + high_s) / 2, 0.0)
    if parts.name in {"exponential", "lognormal"}:
        given = parts.settings({"mean", "sigma"} if parts.name == "lognormal" else {"mean"}, duration_s)
        sigma = given.get("sigma", 1.0)
        parts.check(0 < given["mean"] <= 3_600, "the mean must be above 0 and at most an hour")
        parts.check(0 <= sigma <= 5, "sigma must be between 0 and 5")
        return Think(parts.name, 0.0, THINK_MAX_S, given["mean"], sigma)
    raise parts.unknown()


class _Parts:
    """A distribution as a text: its name and what stands behind the colon."""

    def __init__(self, flag: str, text: str, forms: str) -> None:
        self._flag, self._text, self._forms = flag, text, forms
        name, colon, self._rest = (part.strip() for part in text.partition(":"))
        self.name = name if colon else "constant"
        if not colon:
            self._rest = name

    def error(self, why: str) -> UsageError:
        return UsageError(f"{self._flag} {self._text}: {why}; it is {self._forms}")

    def unknown(self) -> UsageError:
        return self.error(f"{self.name!r} is no distribution")

    def check(self, holds: bool, why: str) -> None:
        if not holds:
            raise self.error(why)

    def only(self) -> str:
        return self._rest.removeprefix("value=")

    def range(self) -> tuple[str, str]:
        """Both ends of `LOW..HIGH`."""
        found = _RANGE.fullmatch(self._rest)
        if found is None:
            raise self.error(f"{self._rest!r} is not LOW..HIGH")
        return found[1].strip(), found[2].strip()

    def settings(self, known: set[str], parse: Callable[[str], float]) -> dict[str, float]:
        """`mean=...` and what else is known."""
        found: dict[str, float] = {}
        for part in self._rest.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or key not in known:
                raise self.error(f"{part.strip()!r} is not {' or '.join(f'{name}=NUMBER' for name in sorted(known))}")
            if key in found:
                raise self.error(f"{key} is given twice")
            found[key] = self._number(value, float if key == "sigma" else parse)
        self.check("mean" in found, "mean is missing")
        return found

    def whole(self, text: str, low: int, high: int, bounds: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
            raise self.error(f"{text!r} is not a whole number {bounds}")
        return int(text)

    def time(self, text: str, low: float) -> float:
        value = self._number(text, duration_s)
        self.check(low <= value <= THINK_MAX_S, f"{text} must be between {low:g} s and a day")
        return value

    def _number(self, text: str, parse: Callable[[str], float]) -> float:
        try:
            value = float(parse(text))
        except ValueError:
            raise self.error(f"{text!r} is not a number") from None
        self.check(math.isfinite(value), f"{text!r} is not finite")
        return value
