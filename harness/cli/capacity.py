"""`paceline capacity`: the highest rate and concurrency at which a server holds an SLO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import Command, left_out, options_of
from harness.cli.options import Backend, drawn_from_trace, play, played_on, replaying_at_rates, shared
from harness.experiment.capacity import CapacitySettings, prepare_capacity

SET_BY_SEARCH = {"strategies", "variants", "slo", "items", "rate", "duration", "load", "reference", "control"}
SET_BY_SEARCH |= {"warmup", "repeats", "repeats_width", "repeats_max", "repeats_budget_s"}
"""Options of a run that the search sets itself."""
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def capacity_only(options: Decorator) -> Decorator:
    """The same options without those that the search sets."""
    return lambda function: left_out(replaying_at_rates(options(function)), SET_BY_SEARCH)


of_capacity = options_of(CapacitySettings)
"""The options of the search itself."""


def search(options: dict[str, Any], backend: Backend | None = None) -> int:
    """Play the search on a backend [default: child processes] and report it."""
    from harness.measure.judge.capacity.wording import plan_words, probe_words

    wanted = filled(CapacitySettings, options)

    def played(run: Any, progress: Any) -> tuple[Any, bool]:
        progress("search", {"text": plan_words(run.plan.capacity)})
        run.order.tell = lambda probe, number: progress("probe", {"number": number, "text": probe_words(probe)})
        return played_on(backend)(run, progress)

    plain = {**drawn_from_trace(options), "strategies": (), "variants": (), "slo": None, "items": None, "repeats": None}

    def prepared(settings: Any) -> Any:
        return prepare_capacity(settings, wanted)[0]

    return play(plain, "backlog", ("queue-stream",), played, prepared, transport="lean")


@click.command("capacity", cls=Command)
@of_capacity
@capacity_only(shared)
def command(**options: Any) -> int:
    """Find the highest rate and the highest concurrency at which a server holds an SLO, as intervals.

    Exit code: 0 answered, 1 the SLO fails at the lowest load, 4 not measurable, 5 the interval stayed wide.

    \b
    paceline capacity --slo "p99<500ms,errors<1%" --target http://127.0.0.1:8000 --task chat
    paceline capacity --slo "p99<200ms" --slo "p99<1s" --by rate --server structbert-article
    """
    return search(options)
