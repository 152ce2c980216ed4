"""What Locust costs, rate by rate: CPU per request of the whole harness under Locust, and of the same without it.

`python -m tests.bench.locust_cost [--seconds S] [--rounds N] [--json FILE]`

Arrivals at a fixed rate, sent over the lean transport with every request recorded; of each the least CPU of the
rounds, which take turns. Locust's totals have to equal the records.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.clients import Measured, of_harness, of_loop, side_by_side

RATES_PER_S = (1_000.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 30_000.0)
UNDER, WITHOUT = "under Locust", "without Locust"


def measured(seconds: float, rounds: int, rates: tuple[float, ...] = RATES_PER_S) -> dict[str, dict[str, Measured]]:
    """Asked rate as text -> the two ways to play it."""
    clients = {}
    for rate in rates:
        clients[f"{rate:,.0f}/s {UNDER}"] = of_harness("lean", rate)
        clients[f"{rate:,.0f}/s {WITHOUT}"] = of_loop("runner", rate)
    found = side_by_side(seconds, rounds, clients)
    return {f"{rate:,.0f}": {way: found[f"{rate:,.0f}/s {way}"] for way in (UNDER, WITHOUT)} for rate in rates}


def table(found: dict[str, dict[str, Measured]]) -> Iterator[str]:
    """The lines of the table. `of_harness` has checked that Locust counted what was recorded."""
    yield f"{'asked/s':>8} {'sent/s':>8} {UNDER:>14} {WITHOUT:>15} {'difference':>11} {'core used':>10}"
    for rate, ways in found.items():
        under, without = ways[UNDER], ways[WITHOUT]
        difference = under["cpu_us"] - without["cpu_us"]
        share = under["cpu_s"] / under["seconds"]
        yield (
            f"{rate:>8} {under['per_s']:>8,.0f} {under['cpu_us']:>11.1f} µs {without['cpu_us']:>12.1f} µs"
            f" {difference:>8.1f} µs {share:>9.0%}"
        )


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    found = measured(options.seconds, options.rounds)
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
