"""`paceline worker`: works through the jobs of servers that were started with `--jobs celery`."""

from __future__ import annotations

import os

import click

from harness.cli.command import Command
from harness.client.errors import UsageError

KEEP_HELP = "Seconds that a job and its results are kept from its end; the server's own value."
RETRY_HELP = "Seconds before an item that met a server error is computed again; the server's own value."


@click.command("worker", cls=Command)
@click.option("--broker", required=True, metavar="URL", help="The server's: redis://HOST:PORT/DB.")
@click.option("--server", "-p", "profile", default=None, metavar="NAME|FILE.toml", help="A mock with this profile.")
@click.option("--task", default=None, metavar="TASK[,TASK]", help="Real models for these tasks.")
@click.option("--model", multiple=True, metavar="[TASK=]ID|FOLDER", help="Of the hub, or a local folder; repeatable.")
@click.option("--random-weights", is_flag=False, flag_value="", default=None, metavar="[[TASK=]SHAPE]")
@click.option("--dtype", default="auto", show_default=True, type=click.Choice(["auto", "float32", "bfloat16"]))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ...")
@click.option("--job-keep", default=3600.0, show_default=True, type=click.FloatRange(0), help=KEEP_HELP)
@click.option("--job-retry-delay", default=10.0, show_default=True, type=click.FloatRange(0), help=RETRY_HELP)
@click.option("--concurrency", "-c", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
def command(
    broker: str,
    profile: str | None,
    task: str | None,
    model: tuple[str, ...],
    random_weights: str | None,
    dtype: str,
    device: str,
    job_keep: float,
    job_retry_delay: float,
    concurrency: int,
) -> None:
    """Compute the items of jobs: with a mock (--server) or with real models (--task), an engine in each process."""
    from model_server.jobs.command import check_broker, job_settings
    from model_server.jobs.job import JobsError
    from model_server.jobs.worker import main

    if (profile is None) == (task is None):
        raise UsageError("say what computes: --server PROFILE (a mock) or --task TASK (a real model)")
    try:
        settings = job_settings(job_keep, job_retry_delay)
        check_broker(broker)
        if profile is not None:
            from mock_server.main import worker_recipe
            from mock_server.profiles import load

            load(profile)
            recipe = worker_recipe(profile, None, None)
        else:
            from model_server.main import recipe_for

            recipe = recipe_for(task or "", model, random_weights, dtype, device)
    except (JobsError, ValueError) as error:
        raise UsageError(str(error)) from None
    raise SystemExit(main(recipe.options(broker, settings, f"paceline-{os.getpid()}", concurrency)))
