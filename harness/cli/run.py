"""`paceline run SCENARIO`: one scenario, one or more strategies."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.command import Command, PluginName
from harness.cli.options import play, replaying, shared, with_sessions


@click.command("run", cls=Command)
@click.argument("scenario", type=PluginName("scenario"))
@shared
@replaying
@with_sessions
def command(scenario: str, **options: Any) -> int:
    """Play a scenario (backlog, steady, ramp, spike, steps, soak, mixed, replay, sessions) with one or more strategies.

    \b
    paceline run spike -s queue-stream:concurrency=20 -s unbounded --rate 50 --duration 30
    paceline run replay --trace mooncake.jsonl --speed 2 --task chat -s unbounded
    paceline run sessions --task chat:stream=true --turns 5 --think lognormal:mean=3 --users 50
    """
    # A trace has its own concurrency, which no strategy may bound unless it is asked to.
    default = "unbounded" if scenario == "replay" else "queue-stream:concurrency=20"
    return play(options, scenario, (default,), transport="lean")
