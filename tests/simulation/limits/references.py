"""The best static limit of each shape: `python -m tests.simulation.limits.references [SHAPE ...]`.

It plays the static limits of a grid with a few seeds, takes the smallest whose mean score is within 1 % of the best,
and plays that one with each seed that others are compared on. All is kept in `references.json`; shapes whose file has
not changed since are left alone. Runs with seeds or shapes that are not in the file are played when asked for.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.client.limits.fixed import Fixed
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Reference, best_of, calm, static_scores, swept
from tests.simulation.limits.server import FOLDER, OTHERS, Shape, shapes

FILE = Path(__file__).parent / "references.json"
MODEL = 1  # counts up when the model of servers or the score changes: all references are made again
GRID_SEEDS = (1, 2)
SEEDS = tuple(range(1, 21))
"""What limits are judged with; no constant was chosen by them."""
SUITE_SEEDS = (1001, 1002, 1003)
"""What the suite plays."""


def reference(shape: Shape, seed: int = 1) -> Reference:
    """The best static limit of a shape, and its run with this seed."""
    known = _entry(shape)
    run = known["seeds"].get(str(seed))
    return Reference(known["limit"], *(run or _run(shape, known, seed)), shape.service_s)


def _entry(shape: Shape) -> dict[str, Any]:
    known, of = _known(), fingerprint(shape)
    if known.get(shape.name, {}).get("of") != of:
        # Kept for as long as the process lives.
        known[shape.name] = _best(shape)
    return known[shape.name]


def fingerprint(shape: Shape) -> str:
    """Of everything that a run depends on."""
    plain = replace(shape, about="", expect={}, suite=True)
    # Without defaults, so that a new property changes no other shape.
    given = {one.name: value for one in fields(plain) if (value := getattr(plain, one.name)) != one.default}
    return hashlib.sha256(f"{MODEL} {given}".encode()).hexdigest()[:12]


@cache
def _known() -> dict[str, Any]:
    return dict[str, Any](json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {}


def _best(shape: Shape, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """The limit with the best mean score over some seeds, and its runs with `seeds`."""
    sweeps = [swept(shape, seed) for seed in GRID_SEEDS]
    grid = sorted(set[int].intersection(*(set(runs) for runs in sweeps)))
    sweeps = [{limit: runs[limit] for limit in grid} for runs in sweeps]
    quiet = Counter(map(calm, sweeps)).most_common(1)[0][0]
    scored = [static_scores(shape, runs, quiet) for runs in sweeps]
    means = {limit: fmean(one[limit] for one in scored) for limit in grid}
    limit = best_of(means)
    entry = {"of": fingerprint(shape), "limit": limit, "calm": quiet, "score": round(means[limit], 3)}
    return entry | {"seeds": {str(seed): _run(shape, entry, seed) for seed in seeds}}


def _run(shape: Shape, entry: dict[str, Any], seed: int) -> list[float]:
    """[successes, p50, p99] with one seed; the latencies are those of the calm limit."""
    run = play(shape, lambda: Fixed(entry["limit"]), seed)
    quiet = run if entry["calm"] == entry["limit"] else play(shape, lambda: Fixed(entry["calm"]), seed)
    return [run.ok, round(quiet.p50_s, 6), round(quiet.p99_s, 6)]


def made(shape: Shape) -> dict[str, Any]:
    """The entry of a shape in the file; one outside the list has only the few seeds that it is played with."""
    return _best(shape, (*SEEDS, *SUITE_SEEDS) if (FOLDER / f"{shape.name}.toml").exists() else SEEDS[:3])


def main(names: Sequence[str]) -> None:
    """Make what is missing or out of date, or what is named."""
    known = {shape.name: shape for shape in (*shapes(), *shapes(OTHERS))}
    if unknown := set(names) - set(known):
        raise SystemExit(f"no shape {', '.join(sorted(unknown))}: the shapes are {', '.join(known)}")
    entries = {name: entry for name, entry in _known().items() if name in known}
    wanted = [
        shape
        for name, shape in known.items()
        if name in names or (not names and entries.get(name, {}).get("of") != fingerprint(shape))
    ]
    with Pool(2) as pool:
        for shape, entry in zip(wanted, pool.imap(made, wanted, 1), strict=True):
            entries[shape.name] = entry
            print(
                f"{shape.name:<28} limit {entry['limit']:>4}, calm {entry['calm']:>4}, score {entry['score']:.2f}",
                flush=True,
            )
            lines = [f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
            FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
