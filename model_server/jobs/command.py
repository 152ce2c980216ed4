"""What the commands of both servers offer of jobs: the options, and everything that has to be started for them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_server.jobs.children import Children
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import JobBackend, JobsError, JobSettings
from model_server.jobs.redis_server import RedisServer


@dataclass(frozen=True)
class WorkerRecipe:
    """How a worker makes its app: `module:function` and keyword arguments that JSON can carry."""

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def command(self, broker: str, settings: JobSettings, name: str, concurrency: int = 1) -> list[str]:
        """The command line of a worker process: in safe-path mode, so that no file of the user's directory is run."""
        return [
            sys.executable,
            "-P",
            "-m",
            "model_server.jobs.worker",
            *self.options(broker, settings, name, concurrency),
        ]

    def options(self, broker: str, settings: JobSettings, name: str, concurrency: int = 1) -> list[str]:
        """What a worker is told on its command line."""
        return [
            *("--broker", broker, "--factory", self.factory, "--arguments", json.dumps(self.arguments)),
            *("--retry-delay", str(settings.retry_delay_s), "--keep", str(settings.keep_s)),
            *("--name", name, "--concurrency", str(concurrency)),
        ]


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a server."""
    parser.add_argument("--jobs", choices=("embedded", "celery", "none"), default="embedded", help="who keeps them")
    parser.add_argument(
        "--jobs-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="of embedded jobs; a mock has them in memory without",
    )
    parser.add_argument(
        "--broker", default=None, metavar="URL|embedded", help="of celery: redis://HOST:PORT/DB, or a Redis of its own"
    )
    parser.add_argument("--workers", type=int, default=None, metavar="N", help="celery workers to start beside it")
    parser.add_argument(
        "--job-keep",
        type=float,
        default=JobSettings.keep_s,
        metavar="SECONDS",
        help="a job and its results, from its end",
    )
    parser.add_argument(
        "--job-retry-delay",
        type=float,
        default=JobSettings.retry_delay_s,
        metavar="SECONDS",
        help="before an item that met a server error is computed again",
    )


def job_settings(keep_s: float, retry_delay_s: float) -> JobSettings:
    """The settings that the options name; raises `JobsError`."""
    try:
        return JobSettings(keep_s=keep_s, retry_delay_s=retry_delay_s)
    except ValueError as error:
        raise JobsError(str(error)) from None


@contextmanager
def job_backend(
    given: argparse.Namespace, recipe: WorkerRecipe, file: Path | None = None
) -> Iterator[JobBackend | None]:
    """What the options ask for, with its Redis and its workers, until the end of the block; raises `JobsError`.

    `file`: where embedded jobs are if the options do not say; in memory without it.
    """
    settings = job_settings(given.job_keep, given.job_retry_delay)
    if given.jobs == "none":
        yield None
    elif given.jobs == "embedded":
        for name in ("broker", "workers"):
            if getattr(given, name) is not None:
                raise JobsError(f"--{name} is for --jobs celery; embedded jobs need none")
        yield EmbeddedJobs(given.jobs_file or file, settings)
    else:
        if given.broker is None:
            raise JobsError("--jobs celery needs --broker redis://HOST:PORT/DB, or --broker embedded")
        with ExitStack() as stack:
            own = given.broker == "embedded"
            url = stack.enter_context(RedisServer()).url if own else given.broker
            check_broker(url)
            workers = (1 if own else 0) if given.workers is None else given.workers
            names = [f"paceline-{os.getpid()}-{number}" for number in range(workers)]
            stack.enter_context(Children([recipe.command(url, settings, name) for name in names]))
            from model_server.jobs.celery_backend import CeleryJobs

            yield CeleryJobs(url, settings)


def default_file(port: int) -> Path | None:
    """Where the jobs of the server on this port are, so that its successor finds them; None for a port of chance."""
    if not port:
        return None
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "paceline" / f"jobs-{port}.sqlite"


def _shown(url: str) -> str:
    """Without user and password."""
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://***@{after}" if at else url


def check_broker(url: str) -> None:
    """Raise `JobsError` in one line unless a Redis answers there."""
    if not url.startswith(("redis://", "rediss://")):
        raise JobsError(f"--broker {_shown(url)!r}: expected redis://HOST:PORT/DB or embedded")
    try:
        import celery  # noqa: F401 - only to know that it is there
        import redis
    except ImportError as error:
        raise JobsError(f"--jobs celery needs the package {error.name}: pip install 'paceline[celery]'") from None
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3.0) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise JobsError(f"--broker {_shown(url)}: {error}; is Redis running? `--broker embedded` starts one") from None
