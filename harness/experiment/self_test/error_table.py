"""The published measurement error: each strategy at several numbers of requests in flight, against injected times.

Rules of this file
  1. The more in flight, the longer the injected time, so that the rate stays far below the ceiling: the table is of the
     timing and not of the throughput.
  2. The injected times are lognormal, as of most servers. In one row all answers take equally long and so stay together
     in waves: the hardest case for a client.
  3. Strategies on asyncio send over lean, the default of load scenarios. Two rows show aiohttp, the default of compare
     and gate, beside it.
  4. `unbounded` sets no number in flight; arrivals at a constant rate do it. `adaptive` chooses its own, up to the one
     of the column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.experiment.self_test.laws import Injected, constant, lognormal
from harness.experiment.self_test.playing import compared, embedded, play_once, spec_of, work_s
from harness.measure.record.plan import Transport
from harness.measure.result import Named
from harness.measure.self_test_result import Ceiling, Compared

IN_STEP = "queue-stream, all answers at one time"


@dataclass(frozen=True)
class Level:
    """A number of requests in flight, with the mean of the injected times and the number of items."""

    in_flight: int
    mean_s: float
    items: int


LEVELS = (Level(1, 0.010, 300), Level(10, 0.100, 300), Level(100, 0.250, 1000), Level(500, 1.000, 1500))


@dataclass(frozen=True)
class Planned:
    """One cell of the table."""

    name: str
    level: Level
    injected: Injected
    transport: Transport = "lean"


def cells(levels: tuple[Level, ...] = LEVELS) -> list[Planned]:
    """Every strategy at every level that it can have."""
    return [cell for level in levels for cell in _at(level)]


def _at(level: Level) -> Iterator[Planned]:
    n = level.in_flight
    law = lognormal(level.mean_s, level.items)
    closed = {
        "queue-stream": f"queue-stream:concurrency={n}",
        "priority": f"priority:concurrency={n}",
        "batches": f"batches:size={n},concurrency={n}",
        "threads": f"threads:workers={n}",
        "adaptive": f"adaptive:maximum={n}",
        "adaptive-batch": f"adaptive-batch:concurrency={n}",
    }
    if n == 1:
        closed["sync"] = "sync"
    in_step = replace(constant(level.mean_s, level.items), strategy=closed["queue-stream"])
    yield Planned(IN_STEP, level, in_step)
    yield Planned(f"{IN_STEP}, over aiohttp", level, in_step, "asyncio")
    for name, strategy in closed.items():
        yield Planned(name, level, replace(law, strategy=strategy))
        if name == "queue-stream":
            yield Planned(f"{name} over aiohttp", level, replace(law, strategy=strategy), "asyncio")
    rate = n / level.mean_s
    arrivals = Named("constant", {"rate_per_s": rate})
    open_loop = replace(law, strategy="unbounded", load=arrivals, duration_s=level.items / rate)
    yield Planned("unbounded", level, open_loop)


def measure(cell: Planned, number: int, ceilings: dict[str, Ceiling], folder: Path) -> Compared:
    """Play one cell against a mock of its own."""
    spec = spec_of(f"cell-{number}", cell.injected, cell.transport)
    with embedded(cell.injected, folder) as target:
        played = play_once(spec, target, folder, work_s(ceilings, spec.transport))
    (law,) = cell.injected.laws
    law = replace(law, name=cell.name)
    return compared(law, played, in_flight=cell.level.in_flight)
