"""Rewrites the expected ranges of the shapes: `python -m tests.simulation.limits.expected [SHAPE ...] [--keep FILE]`.

Each range ends at a 5 % quantile over 20 seeds, none of which the tests play: one run in twenty is worse, so the median
of the tests' three is worse once in a hundred. So no margin hides a change of `knee`, and no lucky seed is a claim.
Only the shapes that the suite plays have ranges. With `--keep` it takes the figures that the table has kept there
(table.py).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence

import numpy as np

from tests.simulation.limits.cases import OURS, parser_of, played
from tests.simulation.limits.score import Scores
from tests.simulation.limits.server import FOLDER, Shape, shapes

QUANTILE = 0.05
AT_LEAST, AT_MOST = ("score", "efficiency", "jain", "least"), ("p50", "p99", "refusals")


def ranges(shape: Shape, found: Sequence[Scores]) -> str:
    """The line of the shape's file."""
    alone = len(shape.presence()) == 1
    least = [
        _bound(found, name, QUANTILE, math.floor) for name in AT_LEAST if not (alone and name in ("jain", "least"))
    ]
    most = [_bound(found, name, 1 - QUANTILE, math.ceil) for name in AT_MOST]
    return f"expect = {{ {', '.join([*least, *most])} }}"


def _bound(found: Sequence[Scores], name: str, share: float, rounded: Callable[[float], int]) -> str:
    """A quantile of one figure, rounded away from its middle."""
    value = float(np.quantile([getattr(one, name) for one in found], share))
    return f"{name} = {rounded(round(100 * value, 6)) / 100:.2f}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the files of these shapes, or of all that the suite plays."""
    parser = parser_of("rewrites the expected ranges of shapes")
    parser.add_argument("names", nargs="*", help="shapes (all that the suite plays)")
    given = parser.parse_args(arguments)
    chosen = [shape for shape in shapes() if shape.suite and (not given.names or shape.name in given.names)]
    runs = played([OURS], chosen, given.keep, given.processes)[OURS]
    for shape in chosen:
        line = ranges(shape, runs[shape.name])
        path = FOLDER / f"{shape.name}.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^expect = .*$", line, text, flags=re.MULTILINE), encoding="utf-8")
        print(f"{shape.name:<24} {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
