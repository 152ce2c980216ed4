"""Rewrites the expected ranges of the shapes: `python -m tests.simulation.limits.expected [SHAPE ...]`.

A range ends at the worst of 20 seeds, none of which the tests play: about one run in twenty is worse, so the median of
the tests' three is worse once in a hundred. So no margin hides a change of `knee`, and no lucky seed is a claim.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from multiprocessing import Pool

from harness.client.limits.knee import Knee
from tests.simulation.limits.run import play, reference, scores
from tests.simulation.limits.server import FOLDER, Shape, shapes

SEEDS = range(1001, 1021)


def ranges(shape: Shape) -> str:
    """The line of the shape's file."""
    known = int(shape.expect["best"])
    found = [scores(play(shape, Knee, seed), shape, reference(shape, seed, grid=(known,))) for seed in SEEDS]
    efficiency = math.floor(100 * min(one.efficiency for one in found)) / 100
    p50 = math.ceil(10 * max(one.p50 for one in found)) / 10
    refusals = math.ceil(100 * max(one.refusals for one in found)) / 100
    return f"expect = {{ best = {known}, efficiency = {efficiency:.2f}, p50 = {p50:.1f}, refusals = {refusals:.2f} }}"


def main(names: Sequence[str]) -> None:
    """Rewrite the files of these shapes, or of all."""
    chosen = [shape for shape in shapes() if not names or shape.name in names]
    with Pool(2) as pool:
        for shape, line in zip(chosen, pool.imap(ranges, chosen, 1), strict=True):
            path = FOLDER / f"{shape.name}.toml"
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(r"^expect = .*$", line, text, flags=re.MULTILINE), encoding="utf-8")
            print(f"{shape.name:<24} {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
