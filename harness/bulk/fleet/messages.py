"""Messages between the coordinator and its workers; plain data that any engine can carry.

The coordinator asks each worker for its news in turn (`Beat`), and the next question carries the answer (`Reply`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.bulk.journal import Mark
from harness.bulk.leases import Lease
from harness.bulk.leases.leases import Finished
from harness.bulk.settings import ProcessSettings
from harness.bulk.tally import RowCounts
from harness.client.figures import LayerCounts
from harness.client.types import Sample


class WorkerOrder(msgspec.Struct, frozen=True):
    """The order that a worker gets before its first lease."""

    worker: str
    settings: ProcessSettings
    # Paths and code are relative to this folder.
    folder: str
    # Content of the file `run` in the folder of the parts: all workers must see the same files.
    token: str
    ttl_s: float
    beat_s: float
    # Whether calls start only under the common concurrency; else the strategy of each worker has its own.
    shared: bool
    # Whether the common limit needs to see the attempts, and their sizes.
    learns: bool = False
    uses_work: bool = False
    # Whether a common rate of requests or tokens holds.
    paced: bool = False


class Progress(msgspec.Struct, frozen=True):
    """The state of a range that is being processed."""

    number: int
    epoch: int
    # Lines that were given out.
    given: int
    counts: RowCounts


class Report(msgspec.Struct, frozen=True):
    """A range whose part is synced."""

    finished: Finished
    # End of the range as it was read: number of lines + 1, bytes, and their checksum.
    read: Mark
    counts: RowCounts


class Stopped(msgspec.Struct, frozen=True):
    """A range that ended early, with the words of `Summary`."""

    number: int
    epoch: int
    why: str
    text: str
    # What its part holds.
    counts: RowCounts = msgspec.field(default_factory=RowCounts)


class Beat(msgspec.Struct, frozen=True):
    """What happened at a worker since its last beat."""

    worker: str
    host: str = ""
    pid: int = 0
    # The worker's clock.
    now: float = 0.0
    progress: list[Progress] = []
    reports: list[Report] = []
    stopped: list[Stopped] = []
    # Whether it has work for less than a moment.
    hungry: bool = False
    in_flight: int = 0
    # Most calls in flight since the last beat.
    peak: int = 0
    # Whether calls wait for a slot or for the rate.
    slots_short: bool = False
    rate_short: bool = False
    # Attempts and tokens that started, per second.
    started_per_s: float = 0.0
    tokens_per_s: float = 0.0
    attempts: int = 0
    refused: int = 0
    pause_s: float = 0.0
    # Attempts for the common limit, by the worker's clock and its own calls in flight.
    seen: list[Sample] = []
    notes: list[str] = []
    # A mistake that no other worker can mend, such as a server that never answered.
    error: str | None = None
    # Last message of this worker.
    leaves: bool = False
    # Seconds for which the server has taken no connection.
    waits_s: float = 0.0
    # Figures of the layers of ranges that have ended.
    layers: list[LayerCounts] = []


class Reply(msgspec.Struct, frozen=True):
    """The coordinator's answer to a beat."""

    leases: list[Lease] = []
    # (number, epoch) of leases that are not held any more.
    dropped: list[tuple[int, int]] = []
    # Numbers of ranges whose reports were taken.
    taken: list[int] = []
    slots: int = 0
    generation: int = 0
    # None: no bound.
    rate_per_s: float | None = None
    tokens_per_s: float | None = None
    pause_s: float = 0.0
    # Calls of another worker were accepted a moment ago.
    others_accepted: bool = False
    # Stop: "drain" lets calls in flight end, "cut" does not, "leave" ends the worker.
    stop: str = ""


_encoder = msgspec.msgpack.Encoder()


def packed(message: Any) -> bytes:
    """A message as bytes."""
    return _encoder.encode(message)


def unexpected(error: Exception) -> str:
    """An error that no rule foresees, in one line."""
    text = str(error).strip().partition("\n")[0]
    return f"unexpected {type(error).__name__}" + (f": {text}" if text else "")


class WorkerLostError(Exception):
    """A worker has ended or cannot be reached; the text says how."""
