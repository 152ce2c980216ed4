"""Plays a shape with the product itself: the real strategy and the real mock, in virtual time, as `paceline simulate`.

What comes of it is measured as the lean model's runs are, so that both can stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.client.layer_settings import LayerSettings
from harness.client.types import Limit, Outcome
from harness.experiment.simulate import simulate
from harness.strategies.adaptive import Adaptive
from tests.simulation.limits.profiles import profile
from tests.simulation.limits.run import IN_VAIN, Played
from tests.simulation.limits.server import Shape


def strategy(name: str) -> str:
    """How the command line names this limit; a number is a static one."""
    # Answers of the lean model report no queue, and its clients share no limit.
    own = f"adaptive:limit={name},server_queue=false,shared=false"
    return f"queue-stream:concurrency={name}" if name.isdigit() else own


def new_limit(name: str) -> Callable[[], Limit]:
    """What that strategy takes, for the lean model."""
    if name.isdigit():
        from harness.client.limits.fixed import Fixed

        return lambda: Fixed(int(name))
    return Adaptive(limit=name).new_limit


def play(shape: Shape, name: str, seed: int) -> Played:
    """One run: a backlog without end, each client an application of its own.

    Raises ValueError for a shape whose clients have a bounded demand, leave, or are not all alike.
    """
    for field in ("demand", "stay_s", "beside"):
        if value := getattr(shape, field):
            raise ValueError(f"{shape.name}: {field}={value} is no property of a server")
    run = simulate(
        strategy(name),
        profile(shape),
        layers=LayerSettings(timeout_s=shape.timeout_s) if shape.drop_over else None,
        stop_s=shape.duration_s,
        seed=seed,
        clients=shape.clients,
        joins_s=[k * shape.stagger_s for k in range(shape.clients)],
    )
    return measured(run.rows, run.ticks, shape)


def measured(rows: Any, ticks: Any, shape: Shape) -> Played:
    """What the records say of the time until the shape's end."""
    rows = rows[(rows["sent"] >= 0) & (rows["done"] < shape.duration_s * 1e9)]
    rows = rows[np.argsort(rows["done"], kind="stable")]
    ok = rows[rows["outcome"] == Outcome.ok]
    refused = int(np.isin(rows["outcome"], list(IN_VAIN)).sum())
    limits = [(0.0, 1, "start")]
    for at, value in zip(ticks["t"], ticks["limit"], strict=True):
        if not math.isnan(value) and value != limits[-1][1]:
            limits.append((float(at), int(value), ""))
    return Played(
        ok=len(ok),
        refused=refused,
        errors=len(rows) - len(ok) - refused,
        latencies=((ok["done"] - ok["sent"]) / 1e9).tolist(),
        done=(ok["done"] / 1e9).tolist(),
        owners=ok["user"].tolist(),
        limits=limits,
    )
