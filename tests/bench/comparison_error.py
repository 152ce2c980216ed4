"""How often a comparison finds a difference under host drift, by design and number of repeats.

python -m tests.bench.comparison_error        # the table of docs/comparing.md
"""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np

from harness.experiment.balanced import balanced_rounds
from harness.measure.comparison_result import FigureComparison
from harness.measure.judge.compared_figures import FIGURES
from harness.measure.judge.comparison import decide, measure
from harness.measure.repeat_figures import RepeatFigures

PERSISTENCE, DRIFT, SHIFT, NOISE = 0.8, 0.04, math.log(1.25), 0.02


class Design(enum.Enum):
    """How the repeats of two cases are arranged."""

    interleaved = "pairs in random order"
    sequential = "AAAA BBBB"


def found_share(design: Design, repeats: int, effect: float, experiments: int, seed: int, figures: int = 1) -> float:
    """Share of the experiments in which one of the figures is found to differ."""
    random = np.random.default_rng(seed)
    found = 0
    for number in range(experiments):
        judged = [_measured(design, repeats, effect, random, number) for _ in range(figures)]
        decisions = {one.decision for one in decide(judged, design is Design.interleaved)}
        found += bool(decisions & {"better", "worse"})
    return found / experiments


def _measured(design: Design, repeats: int, effect: float, random: Any, seed: int) -> FigureComparison:
    speed = host(2 * repeats, random)
    places = _places(design, repeats, seed)
    noise = np.exp(random.normal(0, NOISE, (2, repeats)))
    rates = [speed[at] * noise[case] * (effect if case else 1.0) for case, at in enumerate(places)]
    base, other = (
        [RepeatFigures(n, 100, 100, completed_per_s=float(rate)) for n, rate in enumerate(of)] for of in rates
    )
    return measure(FIGURES["completed"], base, other, paired=design is Design.interleaved)


def _places(design: Design, repeats: int, seed: int) -> np.ndarray[Any, Any]:
    """For both cases, the place in time of each repeat."""
    if design is Design.sequential:
        return np.arange(2 * repeats).reshape(2, repeats)
    order = np.array(balanced_rounds(2, repeats, seed))
    return np.array([2 * np.arange(repeats) + np.argmax(order == case, axis=1) for case in (0, 1)])


def host(count: int, random: Any) -> np.ndarray[Any, Any]:
    """The speed of the machine over time."""
    state, drift = random.normal(0, DRIFT), np.empty(count)
    for at in range(count):
        drift[at] = state
        state = PERSISTENCE * state + random.normal(0, DRIFT * math.sqrt(1 - PERSISTENCE**2))
    if random.random() < 0.5:
        drift[random.integers(1, count) :] -= SHIFT
    return np.exp(drift)


def main() -> None:
    """Print the table."""
    print("| repeats | design | false alarms, equal cases | found, 5 % | found, 10 % |")
    print("|---:|---|---:|---:|---:|")
    for repeats in (6, 8, 12, 16):
        for design in Design:
            shares = [found_share(design, repeats, effect, 2000, seed=repeats) for effect in (1.0, 1.05, 1.1)]
            print(f"| {repeats} | {design.value} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |")


if __name__ == "__main__":
    main()
