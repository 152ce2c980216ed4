"""Limits on shapes outside the list: `python -m tests.simulation.limits.others [LIMIT ...]`.

Those of `others/` that are called `on_the_way_*` were looked at while our limit was built, `last_*` were first played
after that work. `realistic_*` came later: mixtures of sizes, neighbours, quotas, outages, answers that never come.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from statistics import fmean

from tests.simulation.limits.cases import judge
from tests.simulation.limits.server import OTHERS, shapes


def main(names: list[str]) -> None:
    """A line a shape and limit with its score, the means last."""
    kinds = shapes(OTHERS)
    with Pool(2) as pool:
        for name in names:
            found = pool.starmap(judge, [(name, kind) for kind in kinds], 1)
            scored = {kind.name: fmean(one.score for one in runs) for kind, runs in zip(kinds, found, strict=True)}
            for shape, score in scored.items():
                print(f"{name:10} {shape:26} {score:.2f}")
            for prefix in ("on_the_way", "last", "realistic"):
                mean = fmean(score for shape, score in scored.items() if shape.startswith(prefix))
                print(f"{name:10} mean of {prefix:18} {mean:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["knee", "arc", "gradient2"])
