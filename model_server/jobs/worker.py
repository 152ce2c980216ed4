"""`python -m model_server.jobs.worker`: a Celery worker with one engine in each of its processes.

Rules of this file
  1. Each process makes its engine after the fork, because torch does not survive a fork.
  2. Celery cannot await, so each process has a thread with a loop; its batcher forms batches of a chunk's items.
  3. Each result is stored immediately. Results that a killed worker had stored are not computed again.
  4. If Redis does not answer, the task waits for it, so no result is lost.
  5. A chunk whose workers died `TOGETHER_MAX` times is computed item by item, so that the other items of the chunk get
     their results. An item that ended `ALONE_MAX` workers by itself gets an error as its result.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from celery.exceptions import Reject

from harness.base.options import add_options, filled, option
from model_server.http.app import App
from model_server.jobs.command import JobTimes
from model_server.jobs.execute import answer
from model_server.jobs.job import ALONE_MAX, TOGETHER_MAX, ItemResult, JobSettings, ended_worker, item_error
from model_server.jobs.queue import TASK, celery_app, visibility_s
from model_server.jobs.redis_store import Chunk, RedisStore

log = logging.getLogger(__name__)

ASK_AGAIN_S = 0.5
LOG_EVERY_S = 30.0

T = TypeVar("T")
MakeApp = Callable[[], App]


class Runtime:
    """The loop, the engine and the store of one worker process."""

    def __init__(self, make_app: MakeApp, url: str, settings: JobSettings) -> None:
        self._settings = settings
        self._patiently = Patience()
        self._loop = asyncio.new_event_loop()
        self._app = make_app()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="jobs").start()
        self._store: RedisStore = self._call(self._open(url))

    async def _open(self, url: str) -> RedisStore:
        self._app.open()
        while not self._app.engine.ready:
            if self._app.engine.failure is not None:
                raise self._app.engine.failure
            await asyncio.sleep(0.05)
        return RedisStore(url, self._settings)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def run(self, job_id: str, start: int, count: int, tag: str | None, last: bool) -> bool:
        """Compute and store the items without result; True if some should be retried."""
        return bool(self._call(self._run(job_id, start, count, tag, last)))

    async def _run(self, job_id: str, start: int, count: int, tag: str | None, last: bool) -> bool:
        chunk = await self._patiently(lambda: self._store.begin(job_id, start, count))
        if chunk is None:
            return False
        heart = asyncio.create_task(self._beat(tag)) if tag else None
        try:
            if chunk.times > TOGETHER_MAX:
                good = [await self._alone(job_id, chunk.endpoint, item, last) for item in chunk.items]
            else:
                good = await self._together(job_id, chunk, last)
            await self._patiently(lambda: self._store.end(job_id, start))
        finally:
            if heart is not None:
                heart.cancel()
        return not all(good)

    async def _together(self, job_id: str, chunk: Chunk, last: bool) -> list[bool]:
        slots = asyncio.Semaphore(self._settings.concurrency)

        async def one(item: tuple[int, bytes]) -> bool:
            async with slots:
                return await self._item(job_id, chunk.endpoint, item, last)

        return await asyncio.gather(*(one(item) for item in chunk.items))

    async def _alone(self, job_id: str, endpoint: str, item: tuple[int, bytes], last: bool) -> bool:
        times = await self._patiently(lambda: self._store.alone(job_id, item[0]))
        if times <= ALONE_MAX:
            return await self._item(job_id, endpoint, item, last)
        log.error("item %d of job %s ended %d workers: it is given up", item[0], job_id, times - 1)
        await self._keep(job_id, ended_worker(item[0], times - 1))
        return True

    async def _item(self, job_id: str, endpoint: str, item: tuple[int, bytes], last: bool) -> bool:
        """Compute and store one item; False if it had a server error and has retries left."""
        index, body = item
        if body:
            status, out = await answer(self._app, endpoint, body)
        else:
            status, out = 500, item_error("the input of this item is no longer in Redis", "item_lost")
        if body and status >= 500 and not last:
            return False
        await self._keep(job_id, ItemResult(index, status, out))
        return True

    async def _keep(self, job_id: str, result: ItemResult) -> None:
        await self._patiently(lambda: self._store.keep(job_id, [result]))

    async def _beat(self, tag: str) -> None:
        """Renew the delivery while this process lives, so that it does not go to another worker."""
        while True:
            await asyncio.sleep(visibility_s(self._settings) / 4)
            await self._patiently(lambda: self._store.touch(tag))


class Patience:
    """Retries a call to Redis until it answers. Only for calls that may be repeated."""

    def __init__(self) -> None:
        self._logged_at = -math.inf

    async def __call__(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except (redis.RedisError, OSError) as error:
                if time.monotonic() - self._logged_at >= LOG_EVERY_S:
                    self._logged_at = time.monotonic()
                    log.warning("Redis does not answer, the worker waits for it: %s", error)
                await asyncio.sleep(ASK_AGAIN_S)


def build(url: str, settings: JobSettings, make_app: MakeApp) -> Any:
    """The Celery application of a worker, with its task."""
    from celery.signals import worker_process_init

    app = celery_app(url, settings)
    runtimes: dict[int, Runtime] = {}

    def runtime() -> Runtime:
        """The runtime of this process; made at its start, or by the first chunk if the pool has no processes."""
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
        except Exception as error:
            # A bug of the worker. The retries end, because begun chunks are counted.
            log.exception("a chunk of job %s is tried again", job_id)
            time.sleep(settings.retry_delay_s)
            raise Reject(error, requeue=True) from error
        if again:
            try:
                self.retry(countdown=settings.retry_delay_s)
            except Reject as error:
                # Redis did not accept the message; without a requeue, Celery would drop the delivery.
                raise Reject(error.reason, requeue=True) from error

    return app


@dataclass(frozen=True)
class WorkerProcess(JobTimes):
    """One worker: the Redis of its jobs, and the recipe of its app."""

    broker: str = option("", "Redis URL, redis://HOST:PORT/DB.", metavar="URL")
    factory: str = option("", "Function that makes the app, MODULE:FUNCTION.", metavar="MODULE:FUNCTION")
    arguments: str = option("{}", "Keyword arguments of the function.", metavar="JSON")
    concurrency: int = option(1, "Processes, each with an engine of its own.", least=1, most=64)
    name: str = option("", "Unique name of this worker [default: from the process id].")


def work(process: WorkerProcess) -> int:
    """Compute jobs until a signal; returns the exit code."""
    from celery.platforms import SecurityWarning

    module, _, function = process.factory.partition(":")
    make = getattr(importlib.import_module(module), function)
    arguments = json.loads(process.arguments)
    settings = process.settings()
    # The warning is about root and pickle; only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    logging.basicConfig(level=logging.WARNING, format="worker: %(message)s", stream=sys.stderr)
    app = build(process.broker, settings, lambda: make(**arguments))
    name = process.name or f"paceline-{os.getpid()}"
    line = [
        "--quiet",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        str(process.concurrency),
        "--loglevel",
        "WARNING",
    ]
    app.worker_main([*line, "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"])
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="model_server.jobs.worker", description="Compute jobs from a Redis.")
    add_options(parser, WorkerProcess)
    process = filled(WorkerProcess, vars(parser.parse_args(argv)))
    if not process.broker or not process.factory:
        parser.error("--broker and --factory are needed")
    return work(process)


if __name__ == "__main__":
    raise SystemExit(main())
