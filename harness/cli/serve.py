"""`paceline serve`: a server to try things on."""

from __future__ import annotations

import click


@click.group("serve")
def command() -> None:
    """Serve a mock of a model server on this machine."""


@command.command("mock")
@click.option("--server", "-p", "profile", default="constant-120ms", show_default=True, help="Profile, or a TOML file.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind; anything else is seen by others."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 chooses a free one.")
@click.option("--speed", type=float, default=None, help="Divide all of the profile's times by this.")
@click.option("--seed", default=1, show_default=True, help="Seed of jitter and faults.")
def mock(profile: str, host: str, port: int, speed: float | None, seed: int) -> None:
    """Serve a simulated model server (`paceline list profiles` shows the built-in ones)."""
    from mock_server.main import main

    arguments = ["--profile", profile, "--host", host, "--port", str(port), "--seed", str(seed)]
    raise SystemExit(main(arguments + ([] if speed is None else ["--speed", str(speed)])))
