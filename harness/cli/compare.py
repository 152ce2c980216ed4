"""`paceline compare`: strategies side by side under one identical load."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.command import Command, PluginName
from harness.cli.options import play, replaying, shared, with_sessions

DEFAULT = ("sync", "threads", "unbounded", "batches", "queue-stream:concurrency=50", "adaptive")


@click.command("compare", cls=Command)
@click.option("--scenario", type=PluginName("scenario"), default="backlog", show_default=True, help="Scenario to play.")
@shared
@replaying
@with_sessions
def command(scenario: str, **options: Any) -> int:
    """Compare client strategies on one server, under one identical load.

    Without -s it compares sync, threads, unbounded, batches, queue-stream and adaptive.

    \b
    paceline compare -s sync -s queue-stream:concurrency=50 --items 1000 --server structbert-article
    paceline compare -s queue-stream:concurrency=20 -s adaptive --input pairs.jsonl --target http://127.0.0.1:8000
    """
    return play(options, scenario, DEFAULT)
