"""All figures of docs/performance.md that one machine gives in some minutes, side by side, with a chart.

`python -m tests.bench [--out FOLDER] [--only PART ...] [--quick] [--before FILE]`

The parts run one after another, each with its table; progress goes to the standard error. `bench.json` and `bench.png`
are written to the folder at the end. With `--before`, figures that rose by more than a tenth since that `bench.json`
are listed, as times the bare loop of their own run, because machines differ; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import clients, locust_cost, mock_ceiling, stages, transports
from tests.bench.chart import PANELS, draw
from tests.bench.fixed_answers import fixed_answers

OUT = Path("runs/bench")
GROWN = 1.1
"""A figure that rose to more than this of the one before is listed."""
COMPARE = "a bench.json to compare with; exit code 1 if a figure rose by more than a tenth against its bare loop"


def _clients(quick: bool) -> tuple[Any, Iterator[str]]:
    found = clients.side_by_side(2.0 if quick else 3.0, 1 if quick else 2, clients.CLIENTS)
    return found, clients.table(found)


def _transports(quick: bool) -> tuple[Any, Iterator[str]]:
    with fixed_answers() as (url, _):
        found = transports.costs(url, 4_000 if quick else 20_000, 2 if quick else 4)
    return {name: vars(cost) for name, cost in found.items()}, transports.table(found)


def _stages(quick: bool) -> tuple[Any, Iterator[str]]:
    ladder, others = stages.measured(4_000 if quick else 20_000, 2 if quick else 4)
    return {"ladder_us": ladder, "others_us": others}, stages.table(ladder, others)


def _locust(quick: bool) -> tuple[Any, Iterator[str]]:
    found = locust_cost.measured(1.0 if quick else 2.0, 1)
    return found, locust_cost.table(found)


def _mock(quick: bool) -> tuple[Any, Iterator[str]]:
    cost_s, rate = mock_ceiling.measured("null", 1.0 if quick else 2.0)
    lines = [f"{1e6 * cost_s:.1f} µs of CPU a request, {1 / cost_s:,.0f}/s of one core; answered here: {rate:,.0f}/s"]
    return {"cpu_us": 1e6 * cost_s, "per_s": rate}, iter(lines)


PARTS: dict[str, tuple[str, Callable[[bool], tuple[Any, Iterator[str]]]]] = {
    "clients": ("Clients side by side", _clients),
    "transports": ("Transports by kind of answer", _transports),
    "mock": ("The mock null", _mock),
    "locust": ("Locust's share, rate by rate", _locust),
    # The last one: it imports Locust, which patches this process.
    "stages": ("Stages", _stages),
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "python_optimized": "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "uvloop": version("uvloop"),
        "httptools": version("httptools"),
        "kernel": platform.release(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def relative(figures: dict[str, Any]) -> dict[str, float]:
    """Figures by name as times the bare client of the same part and run."""
    found: dict[str, float] = {}
    for part in ("clients", "transports"):
        first = 1.0
        for name, one in figures.get(part, {}).items():
            first = one["cpu_us"] if name.startswith("bare Protocol") or name.endswith("bare protocol") else first
            found[f"{part}: {name}"] = one["cpu_us"] / first
    bare = figures.get("clients", {}).get("bare Protocol loop")
    if bare and "stages" in figures:
        parts = figures["stages"]
        found |= {f"stages: {name}": us / bare["cpu_us"] for name, us in parts["ladder_us"].items()}
        found |= {f"alone: {name}": us / bare["cpu_us"] for name, us in parts["others_us"].items()}
    return found


def grown(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for each figure that rose since then."""
    old, new = relative(before), relative(now)
    return [
        f"{name}: {old[name]:.2f}x -> {new[name]:.2f}x of the bare loop"
        for name in new
        if name in old and new[name] > GROWN * old[name]
    ]


def compared(before: dict[str, Any], now: dict[str, Any]) -> int:
    """Print what rose since then; the exit code is 1 if anything did."""
    rose = grown(before, now)
    print("\n".join(rose) if rose else "nothing rose by more than a tenth")
    return 1 if rose else 0


def main(arguments: list[str]) -> int:
    """Measure, print, write, compare; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder of bench.json and bench.png (default {OUT})")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--quick", action="store_true", help="a third of the time, for a first look")
    parser.add_argument("--before", type=Path, default=None, help=COMPARE)
    options = parser.parse_args(arguments)
    before = json.loads(options.before.read_text()) if options.before else None
    figures: dict[str, Any] = {"machine": machine()}
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()), flush=True)
    begun = time.monotonic()
    for number, (part, (title, measure)) in enumerate(PARTS.items()):
        if part not in options.only:
            continue
        print(
            f"[{time.monotonic() - begun:.0f} s] part {number + 1} of {len(PARTS)}: {title}",
            file=sys.stderr,
            flush=True,
        )
        figures[part], lines = measure(options.quick)
        print("\n" + title + "\n" + "\n".join(lines), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(figures, indent=1))
    print(f"\n{options.out / 'bench.json'}")
    if PANELS.keys() & figures.keys():
        draw(figures, options.out / "bench.png")
        print(options.out / "bench.png")
    print(f"[{time.monotonic() - begun:.0f} s] done", file=sys.stderr)
    return 0 if before is None else compared(before, figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
