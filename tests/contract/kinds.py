"""How each kind of server is made for the contract tests: the mock, and the model server with tiny random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mock_server.engine import SimulatedEngine
from mock_server.profile import Profile
from model_server.admission import AdmissionLimits
from model_server.app import App, create_app
from model_server.batching import BatchPolicy
from model_server.jobs.embedded import EmbeddedJobs
from model_server.settings import FaceSettings
from model_server.work import Batch, Engine, Sequence

KINDS = ["mock"]


class Gate:
    """An engine behind a gate: what comes while it is closed begins when it opens. It can also be told to fail."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: list[Callable[[], None]] = []
        self.closed = False
        self.failing = False

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
        Gate(_engine(kind)),
        FaceSettings(**face),
        policy=BatchPolicy(4, 0, 16),
        admission=AdmissionLimits(queue_max),
        workers=workers,
        running_max=running_max,
        running_queue_max=queue_max,
        jobs=EmbeddedJobs(None),
    )


def _engine(kind: str) -> Engine:
    assert kind == "mock"
    return SimulatedEngine(Profile(input_tokens_max=512), 0)
