"""`paceline simulate`: whole experiments in virtual time, the same to the byte for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from harness.cli.options import play, shared

NOT_SIMULATED = {"target", "processes", "calibrate"}
"""Options of a real run that have no meaning in virtual time."""
DEFAULT = ("queue-stream:concurrency=16", "adaptive")


def simulated(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that plays a load, without those of a real machine."""
    function = shared(function)
    parameters = vars(function)["__click_params__"]
    parameters[:] = [parameter for parameter in parameters if parameter.name not in NOT_SIMULATED]
    return function


@click.group("simulate")
def command() -> None:
    """Compare strategies, or sweep concurrency, in virtual time.

    Real strategies, layers, batching and server models run in one process; waits take no time, and the same seed gives
    the same result to the byte. The server is a profile of the mock: built in, or a TOML file of your own.
    """


@command.command("compare")
@simulated
def compare(**options: Any) -> int:
    """Compare client strategies on a simulated server, under one identical load.

    \b
    paceline simulate compare -s adaptive -s queue-stream:concurrency=16 --server my.toml --items 100000 --seed 7
    paceline simulate compare -s adaptive --server my.toml --rate 50 --duration 600
    """
    from harness.experiment.simulate.compare import execute

    return play(_settings(options), "backlog", DEFAULT, execute)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Those of a real run; a rate without a --load means Poisson arrivals."""
    arrivals = options["rate"] is not None or options["duration"] is not None
    load = options["load"] or ("poisson" if arrivals else None)
    return {**options, "load": load, "target": None, "processes": 1, "calibrate": False}
