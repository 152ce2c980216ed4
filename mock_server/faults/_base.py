"""Base classes of faults: the active window, the affected requests and the objects that a fault uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from mock_server.timers import Timers
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply

Seconds = Annotated[float, Meta(ge=0.0, le=86400.0)]
Answer = Callable[[], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Site:
    """Objects that a fault uses: the exchange, the engine's timers and time zero of the schedules."""

    exchange: Exchange
    timers: Timers
    zero: float


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Active from `start_s` to `end_s` after the first request, and again every `period_s` if set."""

    start_s: Annotated[Seconds, Meta(description="begin of the fault")] = 0.0
    end_s: Annotated[Seconds | None, Meta(description="end of the fault; left out: never")] = None
    period_s: Annotated[Seconds | None, Meta(description="period of the fault; left out: it happens once")] = None
    routes: Annotated[tuple[str, ...], Meta(description="affected paths; empty: all")] = ()

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s = {self.end_s:g}: must be > start_s = {self.start_s:g}")
        if self.period_s is not None and (self.end_s is None or self.period_s < self.end_s):
            raise ValueError(f"period_s = {self.period_s:g}: must be >= end_s, which must be set")

    def window_end(self, elapsed_s: float) -> float | None:
        """End of the active window (inf if it never ends); None if the fault is not active."""
        offset = 0.0
        if self.period_s:
            offset = elapsed_s // self.period_s * self.period_s
        if elapsed_s - offset < self.start_s:
            return None
        if self.end_s is None:
            return float("inf")
        end = offset + self.end_s
        return end if elapsed_s < end else None

    def strikes(self, path: str, elapsed_s: float, rng: Random) -> bool:
        """True if the fault affects this exchange."""
        return (not self.routes or path in self.routes) and self.window_end(elapsed_s) is not None

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The reply, with or without a call of `answer()`; None if the fault closed or reset the connection."""
        raise NotImplementedError


class ChanceFault(Fault, frozen=True, kw_only=True):
    """A fault that affects each exchange with a probability."""

    probability: Annotated[float, Meta(ge=0.0, le=1.0, description="probability per request")] = 1.0

    def strikes(self, path: str, elapsed_s: float, rng: Random) -> bool:
        """True with `probability`, drawn from a seeded generator in the order of arrival."""
        return super().strikes(path, elapsed_s, rng) and rng.random() < self.probability
