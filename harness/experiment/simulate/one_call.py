"""`simulate(...)`: one call from a strategy and a profile to the record of every request."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from harness import plugins
from harness.client import stack
from harness.client.layer_settings import LayerSettings, NamedLayers
from harness.client.types import Strategy
from harness.experiment.simulate.case import play
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.spec import Trial, default_workload
from harness.load.schedule import BACKLOG
from harness.measure.record.plan import TaskShare
from harness.measure.result import Named
from mock_server.profile import Profile

ENDLESS = 10**9
"""Number of items of a backlog that `stop_s` ends."""


def simulate(
    strategy: str | Strategy,
    server: Profile | str | Path,
    *,
    items: int | None = None,
    rate_per_s: float | None = None,
    duration_s: float = 30.0,
    load: str = "poisson",
    stop_s: float = math.inf,
    seed: int = 1,
    layers: LayerSettings | None = None,
    clients: int = 1,
    joins_s: Sequence[float] = (),
    task: str = "similarity",
    drain_s: float = 30.0,
    speed: float | None = None,
    network: Literal["none", "memory"] = "none",
    delay_s: float = 0.0,
    records: Path | None = None,
) -> SimulatedRun:
    """Simulate one strategy against one server, both seeded with `seed`.

    `strategy` is `NAME[:key=value,...][+LAYER...]` or an instance; `server` a profile, its name or its file. Without
    `rate_per_s` the load is a backlog of `items` (or one without end until `stop_s`), with it arrivals for
    `duration_s`. `clients` applications share the load, each with a strategy of its own, and begin at `joins_s`.
    With `network="memory"` the real HTTP client and server speak over connections of `delay_s` each way. Record
    files go to `records`, or nowhere.
    """
    named, instance, own = _chosen(strategy)
    more = {"layers": (layers or LayerSettings()).around(own), **_load(load, rate_per_s, items), **_workload(task)}
    more |= {"duration_s": duration_s, "seed": seed, "users": clients, "drain_s": drain_s}
    terms = Terms(tuple(joins_s), stop_s, instance, network, delay_s)
    with tempfile.TemporaryDirectory(prefix="paceline-simulate-") as scratch:
        spec = Trial(name=named.name, target="simulated:", strategy=named, records=str(records or scratch), **more)
        return play(spec, SimulatedServer(server, seed, speed), terms)


def _load(name: str, rate_per_s: float | None, items: int | None) -> dict[str, Any]:
    """A backlog without a rate, else arrivals."""
    if rate_per_s is None:
        return {"load": Named(BACKLOG), "items": items or ENDLESS}
    return {"load": Named(name, {"rate_per_s": rate_per_s}), "items": items}


def _workload(task: str) -> dict[str, Any]:
    """The task, and the shipped pairs or made-up texts as its data."""
    named = Named(*plugins.split_spec(task))
    return {"tasks": [TaskShare(named)], **default_workload([named.name])}


def _chosen(strategy: str | Strategy) -> tuple[Named, Strategy | None, NamedLayers]:
    """Name and settings of the strategy, the instance if it is one, and the layers of its own."""
    if not isinstance(strategy, str):
        return Named(type(strategy).__name__), strategy, {}
    plain, texts = stack.split(strategy)
    return Named(*plugins.split_spec(plain)), None, stack.parse(texts)
