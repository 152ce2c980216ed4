"""Workers inside the test's own process, so that a run with workers needs neither processes nor a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk import ProcessSettings, Summary
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.fleet_settings import FleetSettings
from harness.bulk.fleet.messages import Beat, Progress, Reply, WorkerLostError, WorkerOrder, packed
from harness.bulk.fleet.range_worker import Worker
from harness.bulk.tally import RowCounts
from harness.client.types import Send
from tests.bulk.helpers import Server, rows

Spoil = Callable[[str, Beat], bool]
"""Whether a worker dies at this beat."""


def work(number: int, epoch: int, done: int) -> Progress:
    """So many lines of a range that a worker has begun."""
    return Progress(number, epoch, 0, RowCounts(ok=done, sessions=1))


class InsideEngine:
    """Workers as objects; `dies` ends a worker without a word."""

    workers_end_with_us = True
    beat_s = 0.01
    opening = ""
    starts_at_once = 4

    def __init__(self, send: Send, dies: Spoil | None = None, hangs: Spoil | None = None) -> None:
        self.send = send
        # Called when the engine is opened.
        self.on_open: Callable[[], None] = lambda: None
        self._hangs = hangs or (lambda worker, beat: False)
        self.started: list[str] = []
        self._dies = dies or (lambda worker, beat: False)

    async def open(self, workers: int) -> None:
        """Nothing to prepare."""
        self.on_open()

    async def start(self, order: WorkerOrder) -> InsideContact:
        """A worker; its order goes through the same encoding as to another process."""
        self.started.append(order.worker)
        copy = msgspec.msgpack.decode(packed(order), type=WorkerOrder)
        return InsideContact(Worker(copy, self.send), order.worker, self._dies, self._hangs)

    async def close(self) -> None:
        """Nothing to end."""


class InsideContact:
    """Messages to a worker in this process."""

    def __init__(self, worker: Worker, name: str, dies: Spoil, hangs: Spoil) -> None:
        self.worker = worker
        self._name = name
        self._dies = dies
        self._hangs = hangs

    async def exchange(self, reply: Reply) -> Beat:
        """As over a pipe."""
        beat = await self.worker.exchange(msgspec.msgpack.decode(packed(reply), type=Reply))
        if self._dies(self._name, beat):
            # As after kill -9: nothing more is done, and nothing is said.
            for running in self.worker._running.values():
                assert running.task is not None
                running.task.cancel()
            raise WorkerLostError(f"worker {self._name} was ended by signal 9")
        if self._hangs(self._name, beat):
            # As when its network is cut: it works on, and nobody hears it.
            await asyncio.get_running_loop().create_future()
        return msgspec.msgpack.decode(packed(beat), type=Beat)

    async def close(self) -> None:
        """End the worker."""
        await self.worker.close()


def settings(folder: Path, **more: Any) -> ProcessSettings:
    """From in.jsonl to out.jsonl of a folder."""
    values: dict[str, Any] = {
        "input": str(folder / "in.jsonl"),
        "output": str(folder / "out.jsonl"),
        "tasks": ("annotate",),
        "strategy": "queue-stream:concurrency=16",
    }
    return ProcessSettings(**{**values, **more})


def go(
    wanted: ProcessSettings,
    server: Server | None = None,
    workers: int = 3,
    dies: Spoil | None = None,
    range_lines: int | None = 50,
    tell: Any = None,
    hangs: Spoil | None = None,
    **more: Any,
) -> Summary:
    """One session with workers, to its end."""

    async def session() -> Summary:
        engine = InsideEngine(server or Server(), dies, hangs)
        fleet = FleetSettings(workers=workers, range_lines=range_lines, **more)
        return await Fleet(wanted, fleet, engine, tell).run()

    return asyncio.run(session())


def check_whole(folder: Path, lines: int) -> None:
    """Every line is answered once, in the order of the input, and nothing is left over."""
    answers = rows(folder / "out.jsonl")
    assert [row["line"] for row in answers] == list(range(1, lines + 1))
    assert [row["id"] for row in answers] == [f"i{number}" for number in range(1, lines + 1)]
    assert not (folder / "out.jsonl.parts").exists()
