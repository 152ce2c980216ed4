"""`paceline sweep`: throughput and latency over concurrency, or over the arrival rate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import Command, described, left_out, options_of
from harness.cli.options import Backend, drawn_from_trace, play, played_on, replaying_at_rates, shared
from harness.experiment.draining import Draining
from harness.experiment.sweep import CLOSED, OPEN, SweepSettings, prepare_sweep

SET_BY_SWEEP = {"variants", "rate", "load", "items", "duration", "reference", "control"}
SET_BY_SWEEP |= {"repeats_width", "repeats_max", "repeats_budget_s"}
"""Options of a run that the sweep sets itself, or has with another meaning."""
HELP = {
    "strategies": "The one strategy of the sweep; by concurrency one with the setting `concurrency` "
    "[default: queue-stream by concurrency, unbounded by rate].",
    "repeats": "Repeats of each level, in a random order after the first; three or more give intervals.",
    "slo": 'Conditions such as "p99<500ms,errors<1%", judged at each level; exit code 1 if the lowest level fails. '
    "By concurrency p99 is that of the service time.",
}
"""What shared options mean in a sweep."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def swept(options: Decorator, without: Collection[str] = ()) -> Decorator:
    """Options of a run without those that the sweep sets, and with its own, but not those `without`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        of_run = described(left_out(replaying_at_rates(options(function)), SET_BY_SWEEP), HELP, repeats="N")
        return options_of(SweepSettings, without=without)(of_run)

    return decorate


def sweep(options: dict[str, Any], backend: Backend | None = None) -> int:
    """Play the sweep on a backend [default: child processes] and report it."""
    wanted = filled(SweepSettings, options)

    def prepared(settings: Any) -> Any:
        run, order = prepare_sweep(settings, wanted)
        if backend is None:
            run.order = Draining(order, wanted.pause_s, run.settings.drain_s)
        if wanted.predicted is not None:
            from harness.fitting.prediction import with_prediction

            with_prediction(run, wanted.predicted)
        return run

    plain = {**drawn_from_trace(options), "variants": (), "rate": None, "load": None}
    default = CLOSED if wanted.by == "concurrency" else OPEN
    return play(plain, "backlog", (default,), played_on(backend), prepared, transport="lean")


@click.command("sweep", cls=Command)
@swept(shared)
def command(**options: Any) -> int:
    """Measure throughput and latency at each concurrency, or at each arrival rate, and say what to set.

    The first pass ascends and stops at saturation; further repeats play its levels in random order.
    Exit code: 0 answered, 1 the SLO fails at the lowest level, 4 not measurable, 5 not conclusive.

    \b
    paceline sweep --concurrency 1:256:x2 --target http://127.0.0.1:8000 --task chat --repeats 3
    paceline sweep --rate 10:200:20 --arrivals poisson --server structbert-article
    paceline sweep --rate 1,2,4,8 --trace mooncake.jsonl --task chat --target http://127.0.0.1:8000/v1
    paceline sweep --target http://127.0.0.1:8000 --predicted my-server.toml
    """
    return sweep(options)
