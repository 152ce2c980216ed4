"""Sweeps in virtual time of servers whose curve is known from their profile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from harness.experiment.levels import levels
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.sweep import CLOSED, OPEN, SweepSettings, prepare_sweep
from harness.measure.result import RunResult
from mock_server.growth import Table, Usl
from mock_server.profiles import load

HERE = Path(__file__).parent
LEVELS, RATES = "1:256:x2", "40:260:30"


class Truth(NamedTuple):
    """What a sweep must find: the load at which throughput stops rising, and the shape of the curve."""

    knee: float
    model: str
    cliff: bool = False


def truth(profile: str) -> Truth:
    """From the profile: workers, the maximum of the law, or the last load before the fall."""
    found = load(HERE / f"{profile}.toml")
    growth = found.service.growth
    if isinstance(growth, Usl):
        return Truth(math.sqrt((1 - growth.sigma) / growth.kappa), "usl")
    if isinstance(growth, Table):
        return Truth(max(at for at, factor in growth.points if factor == 1), "capped-linear", cliff=True)
    return Truth(found.capacity.workers, "capped-linear")


def is_near(knee: float | None, expected: float, grid: str = LEVELS) -> bool:
    """Within one step of the grid: no level lies between them."""
    low, high = sorted((expected if knee is None else knee, expected))
    return knee is not None and not any(low < level < high for level in levels(grid, whole=False))


def swept(directory: Path, profile: str, wanted: SweepSettings | None = None, **more: Any) -> RunResult:
    """The result of a sweep with three repeats."""
    wanted = wanted or SweepSettings(concurrency=LEVELS)
    settings = RunSettings(
        strategies=(CLOSED if wanted.by == "concurrency" else OPEN,),
        **{"server": str(HERE / f"{profile}.toml"), "out": directory, "simulated": True, "repeats": 3, **more},
    )
    run, _order = prepare_sweep(settings, wanted)
    result, _ = execute(run, lambda event, facts: None, VirtualTime(run))
    return result
