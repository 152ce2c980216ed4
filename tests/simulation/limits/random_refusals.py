"""Our limit where a share of all requests is refused at random: `python -m tests.simulation.limits.random_refusals`.

Prints, for each server and share, the mean and the least of six seeds: its answers over those of a static 24.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from tests.simulation.limits.run import play
from tests.simulation.limits.server import Shape, shapes

SECONDS = 30.0


def refusing(name: str, share: float, reports: str) -> Shape:
    """A shape of the list that refuses this share, whatever is in flight."""
    (shape,) = (shape for shape in shapes() if shape.name == name)
    return replace(shape, refused_share=share, reports=reports, duration_s=SECONDS)


def shares_of_static(shape: Shape, seeds: range) -> list[float]:
    """Answers with our limit over those with a static 24, for each seed."""
    return [play(shape, Knee, seed).ok / play(shape, lambda: Fixed(24), seed).ok for seed in seeds]


def main() -> None:
    """Play and print."""
    for name in ("constant_16", "exponential_16"):
        for reports in ("", "queue"):
            for share in (0.02, 0.05, 0.1, 0.2):
                found = shares_of_static(refusing(name, share, reports), range(1, 7))
                print(
                    f"{name:<15} {reports or 'no reports':<10} {share:<5} {fmean(found):.2f} {min(found):.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
