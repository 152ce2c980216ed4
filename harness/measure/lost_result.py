"""The loss by a killed client process, as far as its records and the server know."""

from __future__ import annotations

import msgspec


class LostProcess(msgspec.Struct, frozen=True):
    """A client process that ended without its final record, for example because it was killed."""

    repeat: int
    process: int  # its number; of several, Locust's index of the worker
    last_seen_s: float | None = None  # its last sign of life after the load's zero; null: it left no record
    recorded: int = 0  # requests that it recorded
    in_flight: int = 0  # requests in flight at its last sign of life
    users: list[int] = []  # client applications whose requests it recorded


class Lost(msgspec.Struct, frozen=True):
    """The processes of a case that were lost."""

    processes: list[LostProcess] = []
    planned: int = 1  # processes of each repeat
    exchanges: int | None = None  # HTTP exchanges that the server counted and no record holds; null: it does not count
