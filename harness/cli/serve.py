"""`paceline serve`: starts a mock or a real model server."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.command import Group, options_of
from harness.client.errors import UsageError
from mock_server.main import OPTIONS as MOCK
from model_server.main import OPTIONS as MODEL

PORT = 8000


@click.group("serve", cls=Group)
def command() -> None:
    """Serve a mock of a model server, or a real one, on this machine."""


@command.command("mock")
@options_of(*MOCK, names={"profile": ("--server", "-p")}, defaults={"port": PORT})
@click.argument("misplaced", nargs=-1, metavar="")
def mock(misplaced: tuple[str, ...], **values: Any) -> None:
    """Serve a simulated model server (`paceline list profiles` shows the built-in ones)."""
    from mock_server.main import run

    if misplaced:
        raise UsageError(f"serve mock takes options only; a profile is named with --server {misplaced[0]}")
    raise SystemExit(run(values, "paceline", "--server"))


@command.command("model")
@options_of(*MODEL, defaults={"port": PORT})
def model(**values: Any) -> None:
    """Serve real models with torch and transformers; an API key is taken from PACELINE_API_KEY."""
    from model_server.main import run

    raise SystemExit(run(values))
