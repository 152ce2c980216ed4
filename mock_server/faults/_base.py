"""What every fault has in common: when it is active, whom it strikes, and the site it works on."""

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
    """Where a fault works: the exchange, the engine's timers, and the instant from which schedules count."""

    exchange: Exchange
    timers: Timers
    zero: float


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Active from `start_s` to `end_s` after the first request, again every `period_s` if that is set."""

    start_s: Annotated[Seconds, Meta(description="active from here")] = 0.0
    end_s: Annotated[Seconds | None, Meta(description="to here; left out: for ever")] = None
    period_s: Annotated[Seconds | None, Meta(description="the window repeats; left out: once")] = None
    routes: Annotated[tuple[str, ...], Meta(description="paths it strikes; empty: all")] = ()

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s = {self.end_s:g}: must be > start_s = {self.start_s:g}")
        if self.period_s is not None and (self.end_s is None or self.period_s < self.end_s):
            raise ValueError(f"period_s = {self.period_s:g}: must be >= end_s, which must be set")

    def window_end(self, elapsed_s: float) -> float | None:
        """If active, when this window ends (inf for never); None if not active."""
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
        """Does it concern this exchange?"""
        return (not self.routes or path in self.routes) and self.window_end(elapsed_s) is not None

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """Answer instead of, or after, `answer()`; None when the connection itself was dealt with."""
        raise NotImplementedError


class ChanceFault(Fault, frozen=True, kw_only=True):
    """A fault that strikes some exchanges and not others."""

    probability: Annotated[float, Meta(ge=0.0, le=1.0, description="of striking one exchange")] = 1.0

    def strikes(self, path: str, elapsed_s: float, rng: Random) -> bool:
        """By seeded chance, drawn in the order of arrival."""
        return super().strikes(path, elapsed_s, rng) and rng.random() < self.probability
