"""Several clients with our limit at one server: `python -m tests.simulation.limits.clients [--keep FILE]`.

Prints the table of docs/adaptive.md: means of the 20 seeds of the large table, and the least share of any client in any
of them. With `--keep` it takes the figures that `tests.simulation.limits.table` has kept there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from statistics import fmean

from tests.simulation.limits.cases import OURS, Runs, parser_of, played
from tests.simulation.limits.server import shapes

KINDS = {
    "clients_2": "2",
    "clients_4": "4",
    "clients_8": "8",
    "clients_16": "16",
    "beside_50": "1 beside a static 50",
    "beside_50_three": "3 beside a static 50",
}


def table(runs: Runs) -> Iterator[str]:
    """A column a number of clients."""
    found = [runs[name] for name in KINDS]
    rows = {
        "p50 over the calm limit's": [f"{fmean(one.p50 for one in kind):.1f}" for kind in found],
        "Jain's index of those present": [f"{fmean(one.jain for one in kind):.2f}" for kind in found],
        "its least of 20 runs": [f"{min(one.jain for one in kind):.2f}" for kind in found],
        "least share of a client, mean": [f"{fmean(one.least for one in kind):.2f}" for kind in found],
        "its least of 20 runs ": [f"{min(one.least for one in kind):.2f}" for kind in found],
    }
    yield f"| clients at 32 workers, exponential 0.1 s | {' | '.join(KINDS.values())} |"
    yield "|---" * (len(KINDS) + 1) + "|"
    for name, cells in rows.items():
        yield f"| {name.strip()} | {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    """Play what is not kept, and print."""
    parser = parser_of("plays several clients with our limit")
    given = parser.parse_args(arguments)
    kinds = [shape for shape in shapes() if shape.name in KINDS]
    print("\n".join(table(played([OURS], kinds, given.keep, given.processes)[OURS])))


if __name__ == "__main__":
    main(sys.argv[1:])
