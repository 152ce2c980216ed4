"""The actor of the Ray engine: a worker that is asked by calls."""

from __future__ import annotations

import os
import socket

import msgspec

from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder, packed
from harness.bulk.fleet.parts import located, seen_by
from harness.bulk.fleet.range_worker import Worker
from harness.client.errors import UsageError

_order, _reply = msgspec.msgpack.Decoder(WorkerOrder), msgspec.msgpack.Decoder(Reply)


class RayWorker:
    """A worker in a process of a Ray node."""

    def __init__(self, order: bytes) -> None:
        self._order = _order.decode(order)
        self._worker: Worker | None = None

    async def exchange(self, reply: bytes) -> bytes:
        """A question and its answer, as bytes."""
        try:
            beat = await self._started().exchange(_reply.decode(reply))
        except UsageError as error:
            text = located(error, self._order.worker, socket.gethostname())
            beat = Beat(self._order.worker, error=text, leaves=True)
        return packed(beat)

    def _started(self) -> Worker:
        """The worker, in the folder of the command. Raises UsageError if this machine does not have it."""
        if self._worker is None:
            try:
                os.chdir(self._order.folder)
            except OSError as error:
                where = seen_by(self._order.worker, socket.gethostname())
                raise UsageError(f"{self._order.folder}: {error.strerror}, {where}") from error
            self._worker = Worker(self._order)
        return self._worker

    async def close(self) -> None:
        """Stop at once, and save the answers."""
        if self._worker is not None:
            await self._worker.close()
