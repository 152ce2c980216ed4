"""`python -m model_server`: serve real models until stopped.

The first line on stdout is JSON, `{"url", "model", "note", "pid"}`, written once the models are warm; before that
/health answers already, and /ready says 503. A user's mistake is one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from model_server.admission import AdmissionLimits
from model_server.app import App, create_app
from model_server.batching import BatchPolicy
from model_server.command import ApiKeyError, BoundsError, add_arguments, bounds_of, face_settings, serve, tell_ready
from model_server.engines.build import build
from model_server.engines.settings import EngineError, EngineSettings, sources
from model_server.engines.shapes import SHAPES
from model_server.engines.tasks import TASKS
from model_server.jobs.command import WorkerRecipe, add_job_arguments, default_file, job_backend
from model_server.jobs.job import JobBackend, JobsError
from model_server.serving import PortError, Serving
from model_server.settings import BOUNDS, FaceSettings

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine

PAD_MULTIPLE = 16


@dataclass(frozen=True)
class BatchBounds:
    """The budget of a batch, in items and padded tokens, how long it lingers, and how much may wait (0: no bound)."""

    items: int = 32
    tokens: int = 2048
    queue: int = 4096
    queue_tokens: int = 0
    queue_wait_s: float = 0.0
    linger_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("items", "tokens", "queue"):
            if getattr(self, name) < 1:
                raise EngineError(f"batch {name} = {getattr(self, name)!r}: must be an integer >= 1")
        for name in ("queue_tokens", "queue_wait_s", "linger_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise EngineError(f"batch {name} = {getattr(self, name)!r}: must be a number >= 0")

    def policy(self) -> BatchPolicy:
        """Padded to what the engine warms."""
        return BatchPolicy(self.items, self.tokens, PAD_MULTIPLE, linger_s=self.linger_s)

    def admission(self) -> AdmissionLimits:
        """Who may wait."""
        return AdmissionLimits(self.queue, self.queue_tokens, self.queue_wait_s or math.inf)


def create(
    engine: TorchEngine,
    bounds: BatchBounds,
    on_ready: Callable[[], None] = lambda: None,
    jobs: JobBackend | None = None,
    face: FaceSettings | None = None,
) -> App:
    """The app around an engine; once the engine is warm, batches are formed by what it measured of their cost.

    `on_ready` is called then; for an engine that is warm already, here.
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


def _settings(given: argparse.Namespace) -> EngineSettings:
    tasks = [task.strip() for task in given.task.split(",") if task.strip()]
    return EngineSettings(
        sources(tasks, given.model, given.random_weights),
        given.dtype,
        given.device,
        given.threads,
        given.warm_up,
        given.batch_items,
        given.running,
    )


def _bounds(given: argparse.Namespace) -> BatchBounds:
    return BatchBounds(
        given.batch_items,
        given.batch_tokens,
        given.queue,
        given.queue_tokens,
        given.queue_wait,
        given.batch_linger,
    )


ENGINE_OPTIONS = (
    *("task", "model", "random_weights", "dtype", "device", "threads", "warm_up"),
    *("batch_items", "batch_tokens", "batch_linger", "queue", "queue_tokens", "queue_wait", "running"),
    *(bound.field for bound in BOUNDS),
    "cors_origins",
)


def worker_recipe(given: argparse.Namespace) -> WorkerRecipe:
    """How a worker makes the same engine."""
    return WorkerRecipe("model_server.main:worker_app", {name: getattr(given, name) for name in ENGINE_OPTIONS})


def recipe_for(task: str, model: Sequence[str], random_weights: str | None, dtype: str, device: str) -> WorkerRecipe:
    """The recipe of a worker that is started by hand; raises `EngineError` for what cannot be."""
    line = ["--task", task, "--dtype", dtype, "--device", device]
    line += [part for name in model for part in ("--model", name)]
    if random_weights is not None:
        line += ["--random-weights", *([random_weights] if random_weights else [])]
    given = _parser().parse_args(line)
    _settings(given)
    return worker_recipe(given)


def worker_app(**options: object) -> App:
    """An app for a worker of jobs, which nobody asks over HTTP; the options are those of the command."""
    given = argparse.Namespace(**options)
    face = FaceSettings(**bounds_of(given))
    return create(build(_settings(given), lambda text: None), _bounds(given), face=face)


class _Command:
    """One run of the command: what is known of it so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.began = time.monotonic()
        self.engine: TorchEngine | None = None
        self.serving: Serving | None = None
        self.url: str | None = None

    def run(self) -> int:
        """Serve; the exit code."""
        given = self.arguments
        settings, bounds, face = _settings(given), _bounds(given), face_settings(bounds_of(given))

        try:
            with job_backend(given, worker_recipe(given), default_file(given.port)) as jobs:

                def app() -> App:
                    self.engine = build(settings, self.say)
                    return create(self.engine, bounds, self._tell, jobs, face)

                serve(
                    app,
                    given.host,
                    given.port,
                    ready=self._listens,
                    exit_with_stdin=given.exit_with_stdin,
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
        """A line of progress."""
        print(f"model_server: {time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def _serves(self, serving: Serving) -> None:
        self.serving = serving

    def _listens(self, url: str) -> None:
        self.url = url
        self._tell()

    def _tell(self) -> None:
        """The ready line, once it listens and is warm."""
        engine = self.engine
        if engine is not None and engine.failure is not None and self.serving is not None:
            self.serving.stop()
        elif self.url is not None and engine is not None and engine.ready:
            facts = {"url": self.url, "model": engine.info.model, "note": engine.info.note}
            tell_ready(facts, self.arguments.port_file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_server", description="Serve models with torch and transformers.")
    parser.add_argument("--task", default="similarity", metavar="TASK[,TASK]", help=", ".join(TASKS))
    parser.add_argument(
        "--model", action="append", default=[], metavar="[TASK=]ID|FOLDER", help="of the hub, or a local folder"
    )
    parser.add_argument(
        "--random-weights", nargs="?", const="", metavar="[TASK=]SHAPE", help="no model: " + ", ".join(SHAPES)
    )
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=1, help="of the processor, for the model")
    parser.add_argument("--batch-items", type=int, default=32, metavar="N")
    parser.add_argument("--batch-tokens", type=int, default=2048, metavar="N", help="padded")
    parser.add_argument("--queue", type=int, default=4096, metavar="N", help="items that may wait")
    parser.add_argument("--queue-tokens", type=int, default=0, metavar="N", help="tokens that may wait; 0: no bound")
    parser.add_argument("--queue-wait", type=float, default=0.0, metavar="S", help="refuse a longer wait; 0: no bound")
    parser.add_argument("--batch-linger", type=float, default=0.0, metavar="S", help="a batch waits for company")
    parser.add_argument("--running", type=int, default=16, metavar="N", help="texts generated at once")
    parser.add_argument("--warm-up", type=float, default=10.0, metavar="S", help="at most so long; 0: not at all")
    add_arguments(parser)
    add_job_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _Command(arguments).run()
    except (EngineError, PortError, JobsError, ApiKeyError, BoundsError) as error:
        print(f"model_server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while loading: nothing is served yet that could be drained
        return 130
