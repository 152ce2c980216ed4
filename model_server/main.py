"""`python -m model_server`: serve real models until stopped.

The first line on stdout is JSON, `{"url", "model", "note", "pid"}`, written when the models are warm; before that
/health answers, and /ready answers 503. A user's mistake gives one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from harness.base.options import add_options, filled, option
from harness.base.quantity import duration_s
from model_server.command import ApiKeyError, BoundsError, Listening, bounds_of, face_settings, serve, tell_ready
from model_server.engines.build import build
from model_server.engines.settings import Dtype, EngineError, EngineSettings, sources
from model_server.engines.tasks import TASKS
from model_server.http.app import App, create_app
from model_server.http.bounds import FaceSettings
from model_server.http.serving import PortError, Serving
from model_server.jobs.command import JobOptions, WorkerRecipe, default_file, job_backend
from model_server.jobs.job import JobBackend, JobsError
from model_server.scheduling.admission import AdmissionLimits
from model_server.scheduling.batching import BatchPolicy

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine

PAD_MULTIPLE = 16


@dataclass(frozen=True)
class BatchBounds:
    """Bounds of a batch in items and padded tokens, its linger time, and bounds of the queue (0: no bound)."""

    items: int = option(32, "Most items of a batch.", flag="--batch-items", least=1)
    tokens: int = option(2048, "Most padded tokens of a batch.", flag="--batch-tokens", least=1)
    queue: int = option(4096, "Most items that may wait.", least=1)
    queue_tokens: int = option(0, "Most tokens that may wait; 0 for no bound.", least=0)
    queue_wait_s: float = option(
        0.0, "Refuse requests that would wait longer; 0 for no bound.", kind=duration_s, least=0
    )
    linger_s: float = option(
        0.0, "Seconds to wait for a batch to fill.", kind=duration_s, flag="--batch-linger", least=0
    )

    def __post_init__(self) -> None:
        for name in ("items", "tokens", "queue"):
            if getattr(self, name) < 1:
                raise EngineError(f"batch {name} = {getattr(self, name)!r}: must be an integer >= 1")
        for name in ("queue_tokens", "queue_wait_s", "linger_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise EngineError(f"batch {name} = {getattr(self, name)!r}: must be a number >= 0")

    def policy(self) -> BatchPolicy:
        """The batching policy, with the padding that the engine warms up for."""
        return BatchPolicy(self.items, self.tokens, PAD_MULTIPLE, linger_s=self.linger_s)

    def admission(self) -> AdmissionLimits:
        """The bounds of the queue."""
        return AdmissionLimits(self.queue, self.queue_tokens, self.queue_wait_s or math.inf)


def create(
    engine: TorchEngine,
    bounds: BatchBounds,
    on_ready: Callable[[], None] = lambda: None,
    jobs: JobBackend | None = None,
    face: FaceSettings | None = None,
) -> App:
    """The app of an engine. When the engine is warm, batches are formed by their measured cost.

    `on_ready` is called then; if the engine is already warm, before this function returns.
    """
    app = create_app(
        engine,
        face or face_settings(),
        policy=bounds.policy(),
        admission=bounds.admission(),
        running_max=engine.settings.running_max,
        jobs=jobs,
    )

    def ready() -> None:
        if engine.failure is None:
            app.dispatcher.use(replace(app.dispatcher.policy, overhead_tokens=engine.overhead_tokens))
        on_ready()

    engine.on_ready = ready
    if engine.ready:
        ready()
    return app


@dataclass(frozen=True)
class ModelOptions:
    """The served models and their compute settings."""

    task: str = option("similarity", f"Tasks to serve: {', '.join(TASKS)}.", metavar="TASK[,TASK]")
    model: tuple[str, ...] = option(
        (), "Model of the hub or of a local folder, for all tasks or for one; repeatable.", metavar="[TASK=]ID|FOLDER"
    )
    random_weights: str | None = option(
        None,
        "No model: a real architecture with random weights, each task's own if none is named.",
        bare="",
        metavar="[TASK=]SHAPE",
    )
    dtype: str = option("auto", "Number format of the weights.", choices=("auto", "float32", "bfloat16"))
    device: str = option("auto", "Device that computes: auto, cpu, cuda, cuda:1 ...")
    threads: int = option(1, "Processor threads of the model.", least=1)
    warm_up_s: float = option(10.0, "Most seconds for the warm-up; 0 for none.", kind=duration_s, least=0)
    running: int = option(16, "Most texts that are generated at the same time.", least=1)

    def settings(self, rows_max: int) -> EngineSettings:
        """The engine's settings; raises `EngineError`."""
        tasks = [task.strip() for task in self.task.split(",") if task.strip()]
        return EngineSettings(
            sources(tasks, list(self.model), self.random_weights),
            cast(Dtype, self.dtype),
            self.device,
            self.threads,
            self.warm_up_s,
            rows_max,
            self.running,
        )


OPTIONS = (ModelOptions, BatchBounds, Listening, FaceSettings, JobOptions)
"""The dataclasses whose fields are the options of a server of real models."""


def worker_recipe(values: Mapping[str, Any]) -> WorkerRecipe:
    """The recipe by which a worker creates the same engine; raises `EngineError` or `BoundsError`."""
    model, batch, face = filled(ModelOptions, values), filled(BatchBounds, values), asdict(bounds_of(values))
    model.settings(batch.items)
    del face["api_key"]
    arguments = {"model": asdict(model), "batch": asdict(batch), "face": face}
    return WorkerRecipe("model_server.main:worker_app", arguments)


def worker_app(model: dict[str, Any], batch: dict[str, Any], face: dict[str, Any]) -> App:
    """An app for a job worker; it serves no HTTP."""
    bounds = BatchBounds(**batch)
    engine = build(ModelOptions(**model).settings(bounds.items), lambda text: None)
    return create(engine, bounds, face=FaceSettings(**{**face, "cors_origins": ()}))


class _Command:
    """One run of the command."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.listening = filled(Listening, values)
        self.began = time.monotonic()
        self.engine: TorchEngine | None = None
        self.serving: Serving | None = None
        self.url: str | None = None

    def run(self) -> int:
        """Serve; returns the exit code."""
        recipe, listening = worker_recipe(self.values), self.listening
        bounds, face = filled(BatchBounds, self.values), face_settings(bounds_of(self.values))
        settings = filled(ModelOptions, self.values).settings(bounds.items)
        try:
            with job_backend(filled(JobOptions, self.values), recipe, default_file(listening.port)) as jobs:

                def app() -> App:
                    self.engine = build(settings, self.say)
                    return create(self.engine, bounds, self._announce, jobs, face)

                serve(
                    app,
                    listening.host,
                    listening.port,
                    ready=self._listens,
                    exit_with_stdin=listening.exit_with_stdin,
                    on_serving=self._serves,
                )
        finally:
            if self.engine is not None:
                self.engine.close()
        failure = self.engine.failure if self.engine is not None else None
        if failure is not None:
            self.say(f"the engine failed: {type(failure).__name__}: {failure}")
        return 0 if failure is None else 3

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"model_server: {time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def _serves(self, serving: Serving) -> None:
        self.serving = serving

    def _listens(self, url: str) -> None:
        self.url = url
        self._announce()

    def _announce(self) -> None:
        """Print the ready line when the server listens and the engine is warm."""
        engine = self.engine
        if engine is not None and engine.failure is not None and self.serving is not None:
            self.serving.stop()
        elif self.url is not None and engine is not None and engine.ready:
            facts = {"url": self.url, "model": engine.info.model, "note": engine.info.note}
            tell_ready(facts, self.listening.port_file)


def run(values: Mapping[str, Any]) -> int:
    """Serve with the values of the options, by field name; returns the exit code."""
    try:
        return _Command(values).run()
    except (EngineError, PortError, JobsError, ApiKeyError, BoundsError) as error:
        print(f"model_server: {error}", file=sys.stderr)
        return 2
    # While models load, no requests are in flight that could be drained.
    except KeyboardInterrupt:
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="model_server", description="Serve models with torch and transformers.")
    add_options(parser, *OPTIONS)
    return run(vars(parser.parse_args(argv)))
