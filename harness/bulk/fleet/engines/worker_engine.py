"""What an engine must do: start workers, and carry messages to and from them."""

from __future__ import annotations

from typing import Protocol

from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder
from harness.client.errors import UsageError


class Contact(Protocol):
    """The contact with one worker."""

    async def exchange(self, reply: Reply) -> Beat:
        """Give an answer to a worker and wait for its next beat. Raises WorkerLostError if the worker has ended."""
        ...

    async def close(self) -> None:
        """End the worker, if it has not ended."""
        ...


class WorkerEngine(Protocol):
    """Starts workers on this machine or on others."""

    # Whether workers surely end before a later session of the run begins.
    workers_end_with_us: bool
    # Seconds between two beats of a worker.
    beat_s: float
    # Workers that may be starting at one time.
    starts_at_once: int
    # The step that `open` takes, if it may take long; else empty.
    opening: str

    async def open(self, workers: int) -> None:
        """Get ready for so many workers at most. Raises UsageError if they cannot be started."""
        ...

    async def start(self, order: WorkerOrder) -> Contact:
        """Start a worker with this order. Raises UsageError or WorkerLostError."""
        ...

    async def close(self) -> None:
        """End the started workers."""
        ...


def engine_of(name: str, ray_address: str | None, output: str) -> WorkerEngine:
    """The engine of this name. Raises UsageError if it is not installed."""
    if name == "local":
        from harness.bulk.fleet.engines.local import LocalEngine

        return LocalEngine()
    if name == "ray":
        from harness.bulk.fleet.engines.ray import RayEngine

        return RayEngine(ray_address, output)
    raise UsageError(f"--engine {name}: is not known")
