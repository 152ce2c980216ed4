"""Synthetic items with a length distribution. The same seed and index always give the same item."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal

from harness.client.checks import at_least, between, positive
from harness.client.errors import SettingError
from harness.client.types import Task

WORDS = (
    *("the", "a", "this", "that", "every", "some", "one", "two", "many", "few", "old", "new", "small", "large"),
    *("quick", "slow", "early", "late", "bright", "quiet", "open", "closed", "river", "city", "train", "teacher"),
    *("market", "window", "garden", "letter", "doctor", "report", "engine", "mountain", "student", "kitchen"),
    *("writes", "finds", "keeps", "sends", "opens", "builds", "reads", "moves", "holds", "repairs", "checks"),
    *("before", "after", "under", "over", "near", "beside", "without", "because", "while", "until", "with"),
)

LEVELS = 6
"""Lengths of the distribution `levels`."""


@dataclass(frozen=True)
class Synthetic:
    """Texts of random words. Lengths are in words, about one token each.

    The distribution `levels` has six lengths from `low` to `high` in equal ratios, all equally likely.
    """

    # Making one takes microseconds.
    ahead: ClassVar[int] = 0
    distribution: Literal["constant", "uniform", "lognormal", "levels"] = "lognormal"
    mean: float = 24.0
    sigma: float = 0.5  # of the logarithm, for lognormal
    low: int = 1
    high: int = 2_000

    def __post_init__(self) -> None:
        positive(self, "mean")
        between(self, 0, 10, "sigma")
        at_least(self, 1, "low")
        if self.high < self.low:
            raise SettingError(f"high={self.high} must be at least low={self.low}")
        if not self.low <= self.mean <= self.high:
            raise SettingError(f"mean={self.mean} must be between low={self.low} and high={self.high}")

    def length(self, rng: Random) -> int:
        """Number of words of one text, within [low, high]."""
        if self.distribution == "lognormal":
            drawn = rng.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)
        elif self.distribution == "uniform":
            drawn = rng.uniform(self.low, 2 * self.mean - self.low)
        elif self.distribution == "levels":
            drawn = self.low * (self.high / self.low) ** (rng.randrange(LEVELS) / (LEVELS - 1))
        else:
            drawn = self.mean
        return max(self.low, min(self.high, round(drawn)))

    def data(self, task: Task, index: int, seed: int) -> Any:
        """The data of item `index`."""
        rng = Random(seed * 1_000_003 + index)
        return task.synthetic(lambda count: " ".join(rng.choices(WORDS, k=count)), self.length(rng))

    def rows(self, task: Task, items: int, seed: int, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every item whose index is `part` modulo `parts`."""
        for index in range(part, items, parts):
            yield index, self.data(task, index, seed), 0
