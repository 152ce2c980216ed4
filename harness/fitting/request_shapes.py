"""The shape of a request: how many items and tokens a server sees in it, counted by the mock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.client.errors import UsageError
from harness.client.types import Item, Outcome, Send, Task
from harness.experiment.simulate.direct import DirectSend
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.virtual_loop import run
from model_server.http.app import App
from model_server.work import Sequence as Generated


@dataclass(frozen=True)
class Shape:
    """Items of one request. `tokens` has the length of each; `output` is the tokens of a generation, else 0."""

    kind: str
    tokens: tuple[int, ...]
    output: int = 0

    @property
    def items(self) -> int:
        return len(self.tokens)

    @property
    def longest(self) -> int:
        return max(self.tokens)


def shapes(requests: Iterable[tuple[Task, Any]]) -> list[Shape]:
    """The shape of each request, in order. Raises UsageError if the mock has no such route."""
    server = SimulatedServer("null", 0)
    generated: list[Generated] = []
    plain = server.app.engine.generate

    def generate(sequence: Generated) -> None:
        generated.append(sequence)
        plain(sequence)

    setattr(server.app.engine, "generate", generate)  # noqa: B010 - one method of one object is watched

    async def whole() -> list[Shape]:
        async with DirectSend(server.app) as send:
            return [await _shape(send, server.app, generated, task, data) for task, data in requests]

    return run(whole())


async def _shape(send: Send, app: App, generated: list[Generated], task: Task, data: Any) -> Shape:
    """Send one request to a mock that answers at once, and read the shape that it saw."""
    app.dispatcher.log.clear()
    generated.clear()
    response = await send(task.request([Item(0, data, task)]))
    if response.outcome is not Outcome.ok:
        raise UsageError(
            f"--task {task.name}: the mock does not take such a request ({response.status or response.outcome.name}), "
            "so no profile of it can play one"
        )
    if generated:
        return Shape("generate", tuple(one.prompt_tokens for one in generated), generated[0].tokens_max)
    entries: Sequence[Any] = app.dispatcher.log
    return Shape(entries[0].kind, tuple(entry.tokens for entry in entries))
