"""The loads of a calibration and of a verification, as cases of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.experiment.cases import cases
from harness.experiment.scenario import Description
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec

_ARRIVALS_MIN = 10


@dataclass(frozen=True)
class WordLengths:
    """Lengths of made-up texts, in words."""

    distribution: str
    low: int
    high: int
    mean: float = 0.0

    @classmethod
    def constant(cls, words: int) -> WordLengths:
        """All equal."""
        return cls("constant", words, words, words)

    @property
    def text(self) -> str:
        """As the option --synthetic takes it."""
        mean = self.mean or (self.low * self.high) ** 0.5
        return f"{self.distribution}:low={self.low},high={self.high},mean={mean:g}"


@dataclass(frozen=True)
class FitLoad:
    """One load: a closed loop if `concurrency` is set, else arrivals at `rate_per_s`, of at most `items`."""

    name: str
    lengths: WordLengths
    concurrency: int = 0
    rate_per_s: float = 0.0
    arrivals: str = "poisson"
    seconds: float = 10.0
    items: int = 2000
    seed: int = 1

    @property
    def arrivals_s(self) -> float:
        """The time of its first ten arrivals, on average; 0 for a closed loop."""
        return 0.0 if self.concurrency else _ARRIVALS_MIN / self.rate_per_s

    @property
    def lasts_s(self) -> float:
        """Its time at most: a slow server gets some arrivals, too."""
        return max(self.seconds, self.arrivals_s)

    def case(self, settings: RunSettings, scenario: type[Description]) -> CaseSpec:
        """The case that plays it."""
        of: dict[str, Any] = {"synthetic": self.lengths.text, "seed": self.seed, "warmup": "none", "repeats": 1}
        if self.concurrency:
            of |= {"strategies": (f"queue-stream:concurrency={self.concurrency}",), "items": self.items}
            case = cases(replace(settings, **of, load=None, rate=None, duration=None), scenario, self.name)[0]
            return msgspec.structs.replace(case, stop_s=self.seconds)
        of |= {"strategies": ("unbounded",), "load": self.arrivals, "rate": self.rate_per_s, "duration": self.lasts_s}
        return cases(replace(settings, **of, items=None), scenario, self.name)[0]
