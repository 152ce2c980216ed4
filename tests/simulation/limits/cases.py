"""Many runs of limits on shapes, whose figures can be kept in a file as they come.

A kept case is not played again by the next call; delete the file after a change of a limit or a shape.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import astuple
from multiprocessing import Pool
from pathlib import Path

from harness import plugins
from tests.simulation.limits.references import SEEDS, reference
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Scores, scores
from tests.simulation.limits.server import Shape

OURS = "knee"
FEW = SEEDS[:3]
"""The seeds of the other limits."""
Runs = dict[str, list[Scores]]
"""Shape -> a run for each seed."""


def judge(name: str, shape: Shape, seeds: Sequence[int] = FEW) -> list[Scores]:
    """A limit at its defaults on one shape, a run for each seed."""
    return [
        scores(play(shape, lambda: plugins.build("limit", name, {}), seed), shape, reference(shape, seed))
        for seed in seeds
    ]


def parser_of(description: str) -> argparse.ArgumentParser:
    """The parser of a command that plays cases, with the options of `played`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--keep", type=Path, help="a file for the figures of each case as they come")
    parser.add_argument("--processes", type=int, default=2)
    return parser


def played(
    names: Sequence[str], kinds: Sequence[Shape], keep: Path | None = None, processes: int = 2
) -> dict[str, Runs]:
    """Limits on shapes, ours with all seeds; cases that the file `keep` has are not played again."""
    found = _kept(keep)
    jobs = [(name, shape) for name in names for shape in kinds if (name, shape.name) not in found]
    with Pool(processes) as pool:
        for (name, shape), runs in zip(jobs, pool.imap(_case, jobs, 1), strict=True):
            found[name, shape.name] = runs
            print(f"{name} {shape.name}", file=sys.stderr, flush=True)
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    print(json.dumps([name, shape.name, [astuple(one) for one in runs]]), file=file)
    return {name: {shape.name: found[name, shape.name] for shape in kinds} for name in names}


def _case(job: tuple[str, Shape]) -> list[Scores]:
    name, shape = job
    return judge(name, shape, SEEDS if name == OURS else FEW)


def _kept(keep: Path | None) -> dict[tuple[str, str], list[Scores]]:
    if keep is None or not keep.exists():
        return {}
    lines = map(json.loads, keep.read_text(encoding="utf-8").splitlines())
    return {(name, shape): [Scores(*one) for one in runs] for name, shape, runs in lines}
