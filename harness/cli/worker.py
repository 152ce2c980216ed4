"""`paceline worker`: computes jobs for servers that run with `--jobs celery`."""

from __future__ import annotations

import os
from typing import Any

import click

from harness.base.options import filled
from harness.cli.command import Command, WholeNumber, options_of
from harness.client.errors import UsageError
from mock_server.main import MockOptions
from model_server.http.bounds import FaceSettings
from model_server.jobs.command import JobTimes
from model_server.main import BatchBounds, ModelOptions


@click.command("worker", cls=Command)
@click.option("--broker", required=True, metavar="URL", help="Redis URL of the server, redis://HOST:PORT/DB.")
@options_of(MockOptions, names={"profile": ("--server", "-p")}, defaults={"profile": None})
@options_of(ModelOptions, BatchBounds, FaceSettings, JobTimes, defaults={"task": None})
@click.option("--concurrency", "-c", default=1, show_default=True, type=WholeNumber(1, 64), help="Processes.")
def command(broker: str, concurrency: int, **values: Any) -> None:
    """Compute the items of jobs: with a mock (--server) or with real models (--task), an engine in each process."""
    from model_server.jobs.command import check_broker
    from model_server.jobs.job import JobsError
    from model_server.jobs.worker import WorkerProcess, work

    if (values["profile"] is None) == (values["task"] is None):
        raise UsageError("name the engine: --server PROFILE (a mock) or --task TASK (a real model)")
    try:
        recipe = _recipe(values)
        process = filled(
            WorkerProcess,
            values,
            broker=broker,
            factory=recipe.factory,
            arguments=recipe.arguments_json,
            concurrency=concurrency,
            name=f"paceline-{os.getpid()}",
        )
        process.settings()
        check_broker(broker)
    except (JobsError, ValueError) as error:
        raise UsageError(str(error)) from None
    raise SystemExit(work(process))


def _recipe(values: dict[str, Any]) -> Any:
    """Recipe for the engine of each process; raises ValueError."""
    if values["profile"] is not None:
        from mock_server.main import worker_recipe
        from mock_server.profiles import loaded
        from model_server.command import bounds_of

        loaded("--server", values["profile"])
        return worker_recipe(filled(MockOptions, values), bounds_of(values))
    from model_server import main

    return main.worker_recipe(values)
