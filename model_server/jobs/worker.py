"""`python -m model_server.jobs.worker`: a Celery worker with an engine of its own in each of its processes.

Rules of this file
  1. The engine is made after the fork, once a process: torch does not survive being forked.
  2. Celery cannot await, so each process has a thread with a loop; a chunk's items meet in that loop's batcher.
  3. Each result is stored as it comes. What a killed worker had stored is not computed again.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from model_server.app import App
from model_server.jobs.execute import answer
from model_server.jobs.job import ItemResult, JobSettings
from model_server.jobs.queue import TASK, celery_app, visibility_s
from model_server.jobs.redis_store import RedisStore

log = logging.getLogger(__name__)

UNACKED_INDEX = "unacked_index"
"""kombu's name for its deliveries by age."""

MakeApp = Callable[[], App]


class Runtime:
    """The loop, the engine and the store of one worker process."""

    def __init__(self, make_app: MakeApp, url: str, settings: JobSettings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._app = make_app()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="jobs").start()
        self._store: RedisStore = self._call(self._open(url))

    async def _open(self, url: str) -> RedisStore:
        self._app.open()
        while not self._app.engine.ready:
            failure = getattr(self._app.engine, "failure", None)
            if failure is not None:
                raise failure
            await asyncio.sleep(0.05)
        return RedisStore(url, self._settings)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def run(self, job_id: str, start: int, count: int, tag: str | None, last: bool) -> bool:
        """Compute and store what has no result yet; True if something should be tried again."""
        return bool(self._call(self._run(job_id, start, count, tag, last)))

    async def _run(self, job_id: str, start: int, count: int, tag: str | None, last: bool) -> bool:
        found = await self._store.todo(job_id, start, count)
        if found is None:
            return False
        endpoint, items = found
        heart = asyncio.create_task(self._beat(tag)) if tag else None
        slots = asyncio.Semaphore(self._settings.concurrency)
        try:
            good = await asyncio.gather(*(self._item(slots, job_id, endpoint, item, last) for item in items))
        finally:
            if heart is not None:
                heart.cancel()
        return not all(good)

    async def _item(
        self, slots: asyncio.Semaphore, job_id: str, endpoint: str, item: tuple[int, bytes], last: bool
    ) -> bool:
        index, body = item
        async with slots:
            status, out = await answer(self._app, endpoint, body)
        if status >= 500 and not last:
            return False
        await self._store.keep(job_id, [ItemResult(index, status, out)])
        return True

    async def _beat(self, tag: str) -> None:
        """While this process lives, its delivery is not given to another."""
        while True:
            await asyncio.sleep(visibility_s(self._settings) / 4)
            await self._store.touch(UNACKED_INDEX, tag)


def build(url: str, settings: JobSettings, make_app: MakeApp) -> Any:
    """The Celery application of a worker, its task registered."""
    from celery.signals import worker_process_init

    app = celery_app(url, settings)
    runtimes: dict[int, Runtime] = {}

    def runtime() -> Runtime:
        """This process's; made at its start, or by the first chunk where the pool has no processes."""
        if os.getpid() not in runtimes:
            runtimes[os.getpid()] = Runtime(make_app, url, settings)
        return runtimes[os.getpid()]

    @worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator] # celery has no types
    def begin(**_: Any) -> None:
        runtime()

    @app.task(name=TASK, bind=True, max_retries=settings.retries)  # type: ignore[untyped-decorator] # as above
    def run_items(self: Any, job_id: str, start: int, count: int) -> None:
        tag = (self.request.properties or {}).get("delivery_tag")
        last = self.request.retries >= settings.retries
        try:
            again = runtime().run(job_id, start, count, tag, last)
        except Exception as error:  # Redis was away: tried for as long as it takes, the items are not lost with it
            log.exception("a chunk of job %s is tried again", job_id)
            raise self.retry(exc=error, countdown=settings.retry_delay_s, max_retries=None) from error
        if again:
            raise self.retry(countdown=settings.retry_delay_s)

    return app


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_server.jobs.worker", description="Work through jobs from a Redis.")
    parser.add_argument("--broker", required=True, metavar="redis://HOST:PORT/DB")
    parser.add_argument("--factory", required=True, metavar="MODULE:FUNCTION", help="makes the app: engine and batcher")
    parser.add_argument("--arguments", default="{}", metavar="JSON", help="its keyword arguments")
    parser.add_argument("--concurrency", type=int, default=1, metavar="N", help="processes, each with an engine")
    parser.add_argument("--retry-delay", type=float, default=JobSettings.retry_delay_s, metavar="SECONDS")
    parser.add_argument("--keep", type=float, default=JobSettings.keep_s, metavar="SECONDS")
    parser.add_argument("--name", default=None, help="of this worker, unlike the others'")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    from celery.platforms import SecurityWarning

    given = _parser().parse_args(argv)
    module, _, function = given.factory.partition(":")
    make = getattr(importlib.import_module(module), function)
    arguments = json.loads(given.arguments)
    settings = JobSettings(retry_delay_s=given.retry_delay, keep_s=given.keep)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # it is about root and pickle; json alone is accepted
    logging.basicConfig(level=logging.WARNING, format="worker: %(message)s", stream=sys.stderr)
    app = build(given.broker, settings, lambda: make(**arguments))
    name = given.name or f"paceline-{os.getpid()}"
    line = ["--quiet", "worker", "--pool", "prefork", "--concurrency", str(given.concurrency), "--loglevel", "WARNING"]
    app.worker_main([*line, "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
