"""The search for the highest load that holds an SLO: what has been seen goes in, the next probe comes out.

It is a pure function of the probes so far. It reads no clock and starts nothing, so the same records give the same
answer offline, and a test can play it against a server of a few lines.

Rules of this file
  1. Bracket by doubling (down, if the first load fails), then narrow at the geometric middle.
  2. A probe that matters and is unresolved gets more trials, up to a bound. Then the search goes on around it.
  3. A pass above a failure is doubted: the failure gets more trials. The load just below the answer is tried, so
     that the answer does not stand alone behind a gap.
  4. One long run confirms the answer. If it does not pass, the lower bound moves down and the search goes on.
  5. Several tiers are searched one after another on the same probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.measure.capacity_result import Ended
from harness.measure.judge.capacity.bounds import Bounds, ProbeEvidence, bounds, is_confirmed, narrow

GROWTH = 2.0
DIGITS = 3
"""Significant figures of a rate, so that the names of probes are short."""
CONFIRMATIONS_MAX = 3
"""Long runs for each tier. Each one that does not pass moves the lower bound down."""
FIRST_EXTENSION = 4
"""An undecided load first gets this many times the usual trials, and all of them if the loads around it do not help."""
SPACING = 0.5
"""Loads closer than this share of the width are the same."""


@dataclass(frozen=True)
class Rules:
    """The settings of the search along one quantity."""

    start: float
    lowest: float
    highest: float
    tiers: int = 1
    whole: bool = False  # only whole numbers are loads
    width: float = 0.15
    trials: int = 4
    trials_max: int = 64
    probes_max: int = 40
    budget_s: float = math.inf
    confirm: bool = True


@dataclass(frozen=True)
class Ask:
    """The next probe: a new load, or more trials of one."""

    load: float
    trials: int
    why: Literal["bracket", "narrow", "extend", "doubt", "neighbour", "confirm"]

    @property
    def confirmation(self) -> bool:
        """Whether it is one long run."""
        return self.why == "confirm"


def next_step(rules: Rules, seen: Sequence[ProbeEvidence]) -> Ask | None:
    """The next probe, or None at the end of the search."""
    for tier in range(rules.tiers):
        asked = _for_tier(rules, seen, tier)
        if asked is not None:
            return None if _spent(rules, seen, asked) else asked
    return None


def ended(rules: Rules, seen: Sequence[ProbeEvidence], tier: int) -> Ended:
    """How the search for this tier ended, if no more probes come."""
    found, asked = bounds(seen, tier), _for_tier(rules, seen, tier)
    if asked is not None:
        return "budget" if _spent(rules, seen, asked) else "stopped"
    low, high = found.low, found.high
    if low is not None and high is not None:
        if _narrow(rules, found):
            return "answered"
        return "invalid" if found.states.get(_last(found.undecided)) == "invalid" else "unresolved"
    if any(found.states[load] == "invalid" for load in found.undecided):
        return "invalid"
    if high is not None:
        return "unresolved" if found.undecided else "fails"
    return "at_highest" if low is not None and not found.undecided else "unresolved"


def _last(loads: Sequence[float]) -> float:
    return loads[-1] if loads else math.nan


def _spent(rules: Rules, seen: Sequence[ProbeEvidence], asked: Ask) -> bool:
    if sum(one.seconds for one in seen) >= rules.budget_s:
        return True
    return asked.why not in {"extend", "doubt"} and len(seen) >= rules.probes_max


def _for_tier(rules: Rules, seen: Sequence[ProbeEvidence], tier: int) -> Ask | None:
    found = bounds(seen, tier)
    short = {one.load: one for one in seen if not one.confirmation}
    long = {one.load for one in seen if one.confirmation}
    if not short:
        return Ask(rules.start, rules.trials, "bracket")
    for load in _doubtful(found):
        if load not in long and (more := _more(rules, short[load], FIRST_EXTENSION * rules.trials)):
            return Ask(load, more, "extend" if found.states[load] == "unresolved" else "doubt")
    if (new := _new_load(rules, found)) is not None:
        return Ask(new, rules.trials, "bracket" if found.low is None or found.high is None else "narrow")
    for load in [] if _narrow(rules, found) else found.undecided:
        if load not in long and found.states[load] == "unresolved" and (more := _more(rules, short[load])):
            return Ask(load, more, "extend")
    if (near := _neighbour(rules, found)) is not None:
        return Ask(near, rules.trials, "neighbour")
    return _confirmation(rules, seen, tier, found)


def _doubtful(found: Bounds) -> list[float]:
    """Loads that deserve more trials: unresolved ones between the bounds, and a failure below a pass."""
    loads = [load for load in found.undecided if found.states[load] == "unresolved"]
    return [*loads, *([found.high] if found.odd and found.high is not None else [])]


def _more(rules: Rules, one: ProbeEvidence, most: float = math.inf) -> int:
    """The trials that are added: as many as there are, up to the bound."""
    bound = int(min(most, rules.trials_max))
    return max(0, min(max(one.trials, rules.trials), bound - one.trials))


def _narrow(rules: Rules, found: Bounds) -> bool:
    low, high = found.low, found.high
    return low is not None and high is not None and narrow(low, high, rules.width, rules.whole)


def _new_load(rules: Rules, found: Bounds) -> float | None:
    """The next load that was not tried yet; None if the bounds cannot come closer."""
    low, high = found.low, found.high
    if low is not None and high is not None:
        return _between(rules, low, high, found.undecided)
    if low is None and high is None:
        # Nothing is resolved: the load may be too high for this client, so go down.
        return _down(rules, found)
    return _down(rules, found) if low is None else _up(rules, found, low)


def _down(rules: Rules, found: Bounds) -> float | None:
    lowest_tried = min(found.states)
    if found.states[lowest_tried] == "invalid" and len(found.of("invalid")) > 1:
        # Two loads in a row could not be measured. The cause is not the load.
        return None
    return _fresh(rules, max(lowest_tried / GROWTH, rules.lowest), found) if lowest_tried > rules.lowest else None


def _up(rules: Rules, found: Bounds, low: float) -> float | None:
    invalid = [load for load in found.undecided if found.states[load] == "invalid"]
    if invalid:
        return _between(rules, low, invalid[0], [])
    highest_tried = max(low, *found.undecided, 0.0)
    return _fresh(rules, min(highest_tried * GROWTH, rules.highest), found) if highest_tried < rules.highest else None


def _between(rules: Rules, low: float, high: float, undecided: Sequence[float]) -> float | None:
    """The geometric middle of the widest gap beside the undecided loads."""
    if narrow(low, high, rules.width, rules.whole):
        return None
    gaps = [(low, undecided[0]), (undecided[-1], high)] if undecided else [(low, high)]
    for left, right in sorted(gaps, key=lambda gap: gap[0] / gap[1]):
        middle = _rounded(rules, math.sqrt(left * right))
        if rules.whole:
            middle = min(max(middle, left + 1), right - 1)
        if left < middle < right and right > left * (1 + SPACING * rules.width):
            return middle
    return None


def _neighbour(rules: Rules, found: Bounds) -> float | None:
    """A load just below the lower bound, if the nearest one that was tried is far away."""
    low = found.low
    if low is None or found.high is None:
        return None
    load = _rounded(rules, low / (1 + rules.width))
    load = min(load, low - 1) if rules.whole else load
    tried = any(low / (1 + 2 * rules.width) <= one < low or (rules.whole and one == low - 1) for one in found.states)
    return load if load >= rules.lowest and not tried else None


def _confirmation(rules: Rules, seen: Sequence[ProbeEvidence], tier: int, found: Bounds) -> Ask | None:
    low, runs = found.low, [one for one in seen if one.confirmation]
    if not rules.confirm or low is None or is_confirmed(seen, tier, low):
        return None
    if any(one.load == low for one in runs) or len(runs) >= CONFIRMATIONS_MAX * rules.tiers:
        return None
    return Ask(low, 1, "confirm")


def _fresh(rules: Rules, load: float, found: Bounds) -> float | None:
    rounded = min(max(_rounded(rules, load), rules.lowest), rules.highest)
    return None if rounded in found.states else rounded


def _rounded(rules: Rules, load: float) -> float:
    return float(max(1, round(load))) if rules.whole else float(f"{load:.{DIGITS}g}")
