"""Jobs in the commands of both servers: the options, and the start of backend, Redis and workers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base.options import option
from harness.base.quantity import duration_s
from model_server.jobs.children import Children
from model_server.jobs.embedded import EmbeddedJobs
from model_server.jobs.job import JobBackend, JobsError, JobSettings
from model_server.jobs.redis_server import RedisServer


@dataclass(frozen=True)
class WorkerRecipe:
    """The recipe by which a worker creates its app: `module:function` and keyword arguments for JSON."""

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments_json(self) -> str:
        return json.dumps(self.arguments)

    def command(self, broker: str, settings: JobSettings, name: str, concurrency: int = 1) -> list[str]:
        """The command line of a worker process, in safe-path mode: no file of the user's directory is imported."""
        return [
            *(sys.executable, "-P", "-m", "model_server.jobs.worker"),
            *("--broker", broker, "--factory", self.factory, "--arguments", self.arguments_json),
            *("--job-retry-delay", str(settings.retry_delay_s), "--job-keep", str(settings.keep_s)),
            *("--name", name, "--concurrency", str(concurrency)),
        ]


@dataclass(frozen=True)
class JobTimes:
    """Retention of jobs and delay of retries."""

    job_keep_s: float = option(
        JobSettings.keep_s, "Seconds that a job and its results are kept from its end.", kind=duration_s, least=0
    )
    job_retry_delay_s: float = option(
        JobSettings.retry_delay_s,
        "Seconds before an item that met a server error is computed again.",
        kind=duration_s,
        least=0,
    )

    def settings(self) -> JobSettings:
        """The settings of a backend; raises `JobsError`."""
        try:
            return JobSettings(keep_s=self.job_keep_s, retry_delay_s=self.job_retry_delay_s)
        except ValueError as error:
            raise JobsError(str(error)) from None


@dataclass(frozen=True)
class JobOptions(JobTimes):
    """The backend of a server's jobs."""

    jobs: str = option("embedded", "Backend of jobs (/v1/jobs).", choices=("embedded", "celery", "none"))
    jobs_file: Path | None = option(
        None, "File of embedded jobs; without it a mock keeps them in memory.", kind=Path, metavar="FILE"
    )
    broker: str | None = option(
        None, "Redis URL for Celery jobs, redis://HOST:PORT/DB, or `embedded` to start one.", metavar="URL|embedded"
    )
    workers: int | None = option(
        None,
        "Celery workers to start beside it [default: 1 with an embedded Redis, else 0].",
        kind=int,
        least=0,
        most=64,
    )


@contextmanager
def job_backend(given: JobOptions, recipe: WorkerRecipe, file: Path | None = None) -> Iterator[JobBackend | None]:
    """The backend from the options, with its Redis and workers, until the end of the block; raises `JobsError`.

    `file` is the default file of embedded jobs; if it is None, they are in memory.
    """
    settings = given.settings()
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
    """The jobs file of the server on this port, so that the next server finds it; None for a random port."""
    if not port:
        return None
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "paceline" / f"jobs-{port}.sqlite"


def _shown(url: str) -> str:
    """The URL without user and password."""
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
