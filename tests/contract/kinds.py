"""How each kind of server is made for the contract tests: the mock, and the model server with tiny random weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from mock_server.profile import Profile
from mock_server.simulated_engine import SimulatedEngine
from model_server.engines.settings import EngineSettings, Source
from model_server.http.app import App, create_app
from model_server.http.bounds import FaceSettings
from model_server.jobs.embedded import EmbeddedJobs
from model_server.scheduling.admission import AdmissionLimits
from model_server.scheduling.batching import BatchPolicy
from model_server.work import Batch, Engine, Sequence

if TYPE_CHECKING:
    from model_server.engines.engine import TorchEngine

KINDS = ["mock", "model"]
CAN_COMPUTE = all(importlib.util.find_spec(package) for package in ("torch", "transformers"))


class HeldEngine:
    """An engine behind a gate: calls that come while it is closed begin when it opens. It can also be made to fail."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: list[Callable[[], None]] = []
        self.closed = False
        self.failing = False
        self.starting = False

    @property
    def ready(self) -> bool:
        """As the engine behind it, unless it is set to starting."""
        return self._engine.ready and not self.starting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def held(self) -> int:
        """Batches and sequences before the gate."""
        return len(self._held)

    def open_gate(self) -> None:
        """Let everything through; call on the servers' loop."""
        self.closed = False
        held, self._held = self._held, []
        for begin in held:
            begin()

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        if self.failing:
            batch.error, batch.ended = RuntimeError("out of memory"), batch.started
            done(batch)
        else:
            self._when_open(lambda: self._engine.start(batch, done))

    def generate(self, sequence: Sequence, /) -> None:
        if self.failing:
            sequence.emit("two ", sequence.started)
            sequence.emit("words ", sequence.started)
            sequence.finish("error", sequence.started)
        else:
            self._when_open(lambda: self._engine.generate(sequence))

    def _when_open(self, begin: Callable[[], None]) -> None:
        if self.closed:
            self._held.append(begin)
        else:
            begin()


def make(
    kind: str, *, name: str = "", workers: int = 0, queue_max: int = 4096, running_max: int = 0, **face: Any
) -> App:
    """An app behind a gate; `name` only tells apart servers with equal settings."""
    return create_app(
        HeldEngine(_engine(kind)),
        FaceSettings(**face),
        policy=BatchPolicy(4, 0, 16),
        admission=AdmissionLimits(queue_max),
        workers=workers,
        running_max=running_max,
        running_queue_max=queue_max,
        jobs=EmbeddedJobs(None),
    )


def _engine(kind: str) -> Engine:
    return SimulatedEngine(Profile(input_tokens_max=128), 0) if kind == "mock" else tiny_engine()


@cache
def tiny_engine() -> TorchEngine:
    """Real architectures of the smallest sizes, built once a process; all apps of one loop may share it."""
    from model_server.engines.build import build

    shapes = {"fill-mask": "tiny-bert", "zero-shot": "tiny-roberta", "annotate": "tiny-llama"}
    tasks = ("similarity", "embed", "fill-mask", "zero-shot", "rerank", "classify", "annotate")
    sources = tuple(Source(task, shapes.get(task, "tiny-bert"), random=True) for task in tasks)
    return build(EngineSettings(sources, dtype="float32", warm_s=0, rows_max=4, running_max=4))


def close() -> None:
    """End the thread of the engine, if there was one."""
    if tiny_engine.cache_info().currsize:
        tiny_engine().close()
