"""The bounds that the probes of a capacity search give for one tier of the SLO. Pure.

Rules of this file
  1. Only a probe that passed is a lower bound, only one that failed is an upper bound. Unresolved and invalid probes
     are neither.
  2. The upper bound is the lowest load that failed. A pass above it does not raise the answer; it is reported.
  3. A confirmation run outranks the short trials at its load: if it does not pass, the load does not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.capacity_result import State


@dataclass(frozen=True)
class ProbeEvidence:
    """The evidence of a probe so far: all that a search may know about it."""

    load: float
    states: tuple[State, ...]  # by tier
    trials: int = 1
    seconds: float = 0.0
    confirmation: bool = False


@dataclass(frozen=True)
class Bounds:
    """The state of every load for one tier, and what follows from it."""

    states: dict[float, State]

    @property
    def high(self) -> float | None:
        """The lowest load that failed."""
        return min(self.of("failed"), default=None)

    @property
    def low(self) -> float | None:
        """The highest load that passed, below every load that failed."""
        return max(self.passed, default=None)

    @property
    def passed(self) -> list[float]:
        """The loads that passed, below every load that failed, ascending."""
        high = self.high
        return [load for load in self.of("passed") if high is None or load < high]

    @property
    def odd(self) -> list[float]:
        """Loads that passed although a lower one failed."""
        high = self.high
        return [load for load in self.of("passed") if high is not None and load > high]

    @property
    def undecided(self) -> list[float]:
        """Loads between the bounds that are neither passed nor failed, ascending."""
        low, high = self.low, self.high
        between = (low or 0.0, high if high is not None else float("inf"))
        return [load for load in self.of("unresolved", "invalid") if between[0] < load < between[1]]

    def of(self, *states: State) -> list[float]:
        """The loads in these states, ascending."""
        return sorted(load for load, state in self.states.items() if state in states)


def bounds(seen: Sequence[ProbeEvidence], tier: int) -> Bounds:
    """The bounds for one tier."""
    states: dict[float, State] = {one.load: one.states[tier] for one in seen if not one.confirmation}
    for one in seen:
        if one.confirmation and states.get(one.load) == "passed" and one.states[tier] != "invalid":
            states[one.load] = one.states[tier]
    return Bounds(states)


def is_confirmed(seen: Sequence[ProbeEvidence], tier: int, load: float | None) -> bool:
    """Whether the long run at this load passed."""
    return any(one.confirmation and one.load == load and one.states[tier] == "passed" for one in seen)


def narrow(low: float, high: float, width: float, whole: bool) -> bool:
    """Whether an interval is narrow enough: (high - low) / low is at most `width`, or nothing lies between."""
    return high - low <= width * low * (1 + 1e-9) or (whole and high - low <= 1)
