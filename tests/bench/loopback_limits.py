"""The limits over real HTTP beside the simulation: `python -m tests.bench.loopback_limits [--write docs/adaptive.md]`.

Each shape is served by a mock process of its own; each limit plays it in a client process of its own, as in
`paceline compare`: a backlog without end for so many seconds, then the strategy `queue-stream` at some static numbers
for the reference. The lean model plays the same shapes, as fast and as long. For a quiet machine with two cores or
more: what the machine cannot follow shows as loop lag. With the defaults it takes half an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import plugins
from tests.bench.loopback_report import Compared, report, written
from tests.bench.real_play import RealPlay
from tests.simulation.limits import product, references, run
from tests.simulation.limits.profiles import faster, toml
from tests.simulation.limits.run import Played
from tests.simulation.limits.score import Reference, Scores, best_static, scores
from tests.simulation.limits.server import Shape, shapes

SHAPES = (
    "constant_16",
    "exponential_16",
    "capacity_steps",
    "slower_threefold",
    "usl_collapse",
    "llm_batch",
    "small_queue_429",
    "no_queue_retry_after",
)
SHARES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the lean model's best: the static numbers that are tried
NEAR = 0.98  # of the best score: over real HTTP one run differs from the next by a percent
LEAN_SEEDS = (1, 2, 3)


def fitted(shape: Shape, seconds: float, rate_max: float) -> Shape:
    """The shape as fast as the machine can follow, cut to `seconds`; a schedule is squeezed into three times that.

    Steps come sooner, then, in base latencies; the lean model plays the same.
    """
    sample = replace(shape, duration_s=min(30.0, shape.duration_s))
    best = references.reference(shape).limit
    rate_per_s = run.play(sample, product.new_limit(str(best)), 1).ok / sample.duration_s
    quick = faster(shape, min(rate_max / rate_per_s, max(1.0, shape.duration_s / seconds)))
    if not shape.steps and not shape.slower:
        return replace(quick, duration_s=min(quick.duration_s, seconds))
    squeeze = min(1.0, 3 * seconds / quick.duration_s)
    return replace(
        quick,
        steps=tuple((at_s * squeeze, workers) for at_s, workers in quick.steps),
        slower=tuple((at_s * squeeze, times) for at_s, times in quick.slower),
        duration_s=quick.duration_s * squeeze,
    )


def reference(swept: dict[int, Played], shape: Shape) -> Reference:
    """The static number with the best score of those that were tried."""
    if not any(played.ok for played in swept.values()):
        raise SystemExit(f"{shape.name}: no static number had a single success")
    return best_static(shape, swept, NEAR)


def compared(shape: Shape, limits: Sequence[str], seed: int, folder: Path) -> Compared:
    """All limits on one shape, both ways."""
    lean_best = references.reference(shape)
    numbers = sorted({max(1, round(lean_best.limit * share)) for share in SHARES})
    profile = folder / f"{shape.name}.toml"
    profile.write_text(toml(shape), encoding="utf-8")
    with RealPlay(profile, shape, seed, folder) as real:
        best = reference({n: real.play(str(n)) for n in numbers}, shape)
        found = {name: scores(real.play(name), shape, best) for name in limits}
    lean_best = reference({n: run.play(shape, product.new_limit(str(n)), seed) for n in numbers}, shape)
    lean = {name: _lean(shape, name, lean_best) for name in limits}
    return Compared(shape, best, lean_best, found, lean, real.lag_s)


def _lean(shape: Shape, name: str, best: Reference) -> list[Scores]:
    return [scores(run.play(shape, product.new_limit(name), seed), shape, best) for seed in LEAN_SEEDS]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    known = {shape.name: shape for shape in shapes() if shape.demand is None and shape.clients == 1}
    limits = [name for name in plugins.names("limit") if name != "fixed"]
    parser = argparse.ArgumentParser(prog="tests.bench.loopback_limits", description="Limits over real HTTP.")
    parser.add_argument("--shapes", nargs="+", choices=sorted(known), default=SHAPES, metavar="NAME")
    parser.add_argument("--limits", nargs="+", choices=limits, default=limits, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run; three times that with a schedule")
    parser.add_argument(
        "--rate-max", type=float, default=600.0, help="successes per second that the machine can follow"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, default=None, metavar="FILE.md", help="put the tables between its marks")
    arguments = parser.parse_args(argv)
    if not arguments.seconds >= 1 or not arguments.rate_max >= 1:
        parser.error("--seconds and --rate-max must be at least 1")
    arguments.shapes = [fitted(known[name], arguments.seconds, arguments.rate_max) for name in arguments.shapes]
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Play, print, and write if asked."""
    arguments = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="paceline-loopback-") as folder:
        found = [compared(shape, arguments.limits, arguments.seed, Path(folder)) for shape in arguments.shapes]
    text = report(found)
    print(text)
    if arguments.write is not None:
        written(arguments.write, text)
        print(f"written to {arguments.write}", file=sys.stderr)


if __name__ == "__main__":
    main()
