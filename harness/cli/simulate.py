"""`paceline simulate`: whole experiments in virtual time, reproducible bit for bit with the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from harness.cli.capacity import capacity_only, of_capacity, search
from harness.cli.command import Group, PluginName, duration, left_out
from harness.cli.options import Backend, play, played_on, replaying, shared, with_sessions
from harness.cli.sweep import sweep as run_sweep
from harness.cli.sweep import swept
from harness.client.errors import UsageError

NOT_SIMULATED = {
    "target",
    "processes",
    "calibrate",
    "headers",
    "ca",
    "cert",
    "key",
    "insecure",
    "proxy",
    "connect_timeout_s",
    "first_byte_timeout_s",
    "live",
    "transport",
}
"""Options of a real run that have no meaning in virtual time."""
ONLY_REAL = {"target": None, "processes": 1, "calibrate": False}
DEFAULT = ("queue-stream:concurrency=16", "adaptive")


_NETWORK = (
    click.option(
        "--network-delay", type=duration(0), default=0.0, help="Delay in seconds, each way, of --network memory."
    ),
    click.option(
        "--network",
        type=click.Choice(["none", "memory"]),
        default="none",
        show_default=True,
        help="none: direct calls of the server; memory: real HTTP client and server over a network in memory.",
    ),
    # Its own name, because the option of real runs is left out.
    click.option(
        "--live", "no_live", hidden=True, expose_value=False, callback=lambda context, option, value: _refuse(value)
    ),
)


def _refuse(value: str | None) -> None:
    if value is not None:
        raise UsageError(
            "--live shows a run in real time, and simulate plays in virtual time: leave it out, or play for real with "
            "compare, sweep or capacity"
        )


def simulated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that plays a load, without those for real machines only."""
    for option in _NETWORK:
        function = option(function)
    return left_out(shared(function), NOT_SIMULATED)


@click.group("simulate", cls=Group)
def command() -> None:
    """Compare strategies, or sweep concurrency, in virtual time.

    Real strategies, layers, batching and server models run in one process; waits take no time, and a run with the same
    seed is reproducible bit for bit. The server is a profile of the mock: built in, or a TOML file of your own.
    """


@command.command("compare")
@simulated
@replaying
def compare(**options: Any) -> int:
    """Compare client strategies on a simulated server, under one identical load.

    \b
    paceline simulate compare -s adaptive -s queue-stream:concurrency=16 --server my.toml --items 100000 --seed 7
    paceline simulate compare -s adaptive --server my.toml --rate 50 --duration 600
    paceline simulate compare -s adaptive --server llm-annotation --trace mooncake.jsonl --task chat --speed 2
    """
    return play(_settings(options), "backlog", DEFAULT, played_on(_virtual_time(options)))


@command.command("run")
@click.argument("scenario", type=PluginName("scenario"))
@simulated
@replaying
@with_sessions
def run(scenario: str, **options: Any) -> int:
    """Play a scenario with one or more strategies on a simulated server.

    \b
    paceline simulate run sessions --task chat --turns 5 --think lognormal:mean=3 --users 50 --server llm-annotation
    """
    default = ("unbounded",) if scenario == "replay" else DEFAULT
    return play({**options, **ONLY_REAL, "simulated": True}, scenario, default, played_on(_virtual_time(options)))


@command.command("sweep")
@swept(simulated, without={"pause_s", "predicted"})
def sweep(**options: Any) -> int:
    """Measure throughput and latency of a simulated server at each concurrency or rate, and say what to set.

    \b
    paceline simulate sweep --server my.toml --concurrency 1:256:x2
    paceline simulate sweep --server my.toml --rate 10:200:20
    """
    return run_sweep({**options, **ONLY_REAL, "simulated": True}, _virtual_time(options))


@command.command("capacity")
@of_capacity
@capacity_only(simulated)
def capacity(**options: Any) -> int:
    """Find the highest rate and concurrency at which a simulated server holds an SLO, as intervals.

    \b
    paceline simulate capacity --slo "p99<500ms,errors<1%" --server my.toml
    """
    return search(_settings(options), _virtual_time(options))


def _virtual_time(options: dict[str, Any]) -> Backend:
    """Plays a prepared run in virtual time, on the chosen network."""
    from harness.experiment.simulate.compare import VirtualTime

    terms = _terms(options)
    return lambda run: VirtualTime(run, terms)


def _terms(options: dict[str, Any]) -> Any:
    """The network of a simulation. An error in the profile leaves no run directory behind."""
    from harness.client.tasks.http import Http
    from harness.experiment.simulate.routes import check_route
    from harness.experiment.simulate.simulated_server import SimulatedServer
    from harness.experiment.simulate.terms import Terms

    server = SimulatedServer(options["server"], options["seed"], options["speed"])
    if options["http"] is not None:
        check_route(Http(options["http"]), server)
    return Terms(network=options["network"], delay_s=options["network_delay"])


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Settings of a real run; a rate without --load means Poisson arrivals."""
    arrivals = options.get("rate") is not None or options.get("duration") is not None
    arrivals = arrivals and options.get("trace") is None
    load = options.get("load") or ("poisson" if arrivals else None)
    return {**options, "load": load, "target": None, "processes": 1, "calibrate": False, "simulated": True}
