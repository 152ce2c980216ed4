"""How often a sweep finds the knee and the model of servers whose curve is known.

python -m tests.simulation.sweep.table      # the table of docs/sweep.md; three minutes
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.experiment.sweep import SweepSettings
from harness.measure.sweep_result import SweepResult
from tests.simulation.sweep.known import LEVELS, RATES, is_near, swept, truth

SEEDS = range(1, 21)
CLOSED, OPEN = SweepSettings(concurrency=LEVELS), SweepSettings(rates=RATES)
CASES = (("flat_cap", CLOSED), ("usl", CLOSED), ("cliff", CLOSED), ("flat_cap", OPEN))


def row(profile: str, wanted: SweepSettings) -> str:
    """One line of the table."""
    expected = truth(profile)
    knee = 160.0 if wanted.by == "rate" else expected.knee
    grid = RATES if wanted.by == "rate" else LEVELS
    found: list[SweepResult] = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as directory:
            sweep = swept(Path(directory) / "run", profile, wanted, seed=seed).sweep
            assert sweep is not None
            found.append(sweep)

    def count(holds: Callable[[SweepResult], bool]) -> str:
        return f"{sum(map(holds, found))} of {len(found)}"

    near = count(lambda one: is_near(one.knee, knee, grid))
    model = count(lambda one: one.model == expected.model)
    cliff = count(lambda one: (one.cliff is not None) is expected.cliff)
    peaks = count(lambda one: one.peak is None or expected.model == "usl")
    return f"| {profile} by {wanted.by} | {knee:.3g} | {near} | {model} | {cliff} | {peaks} |"


def main() -> None:
    """Print the table."""
    print("| server | true knee | knee within one step | right model | cliff right | no false peak |")
    print("|---|---:|---:|---:|---:|---:|")
    for profile, wanted in CASES:
        print(row(profile, wanted), flush=True)


if __name__ == "__main__":
    main()
