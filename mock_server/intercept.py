"""Applies a profile's limits, faults, pauses and changes to each request before the simulated engine gets it.

Time zero of every schedule is the first work request after the start or after POST /debug/reset.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from mock_server.caller_limits import LimitBook
from mock_server.faults import Fault, fault_of
from mock_server.faults._base import Site
from mock_server.pauses import Pauses
from mock_server.profile import Change, Profile, scaled
from mock_server.simulated_engine import SimulatedEngine
from model_server.http.app import App
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply

Answer = Callable[[], Awaitable[Reply]]


class Intercept:
    """The `around` function of a mock's app. `profile` is already scaled by its own `speed`."""

    def __init__(self, profile: Profile, engine: SimulatedEngine, seed: int) -> None:
        self.profile = profile
        self.engine = engine
        self.seed = seed
        self.faults: list[Fault] = [
            scaled(fault_of(fault, f"{profile.name}: faults[{index}]"), profile.speed)
            for index, fault in enumerate(profile.faults)
        ]
        # bind() sets it before the first request.
        self.app: App = None  # type: ignore[assignment]
        self._round = 0
        self.reset()

    def bind(self, app: App) -> None:
        """Set the app whose requests it intercepts."""
        self.app = app

    @property
    def idle(self) -> bool:
        """True if the profile has no limits, faults, pauses, changes or overhead, so nothing is intercepted."""
        profile, limits = self.profile, self.profile.limits
        bounded = limits.in_flight or limits.rate_per_s
        return not (self.faults or profile.changes or profile.pauses or bounded or profile.network.overhead_s)

    def reset(self) -> None:
        """Restart schedules at the next request, with the same random numbers and a full token bucket."""
        self.zero: float | None = None
        self.limits = LimitBook(self.profile.limits)
        self.engine.reseed(self.seed)
        self.engine.speed = 1.0
        self.engine.pause(Pauses())
        self._round += 1
        self._overhead_jitter = self.profile.network.jitter.sampler(Random(f"{self.seed}/network"))
        self._draws = [Random(f"{self.seed}/fault/{index}") for index in range(len(self.faults))]
        if self.app is not None:
            self.app.dispatcher.workers = self.profile.capacity.workers

    async def __call__(self, exchange: Exchange, answer: Answer) -> Reply | None:
        if overhead_s := self.profile.network.overhead_s:
            exchange.arrived += overhead_s * self._overhead_jitter()
            await self.engine.timers.sleep_until(exchange.arrived)
        if self.zero is None:
            self._begin(exchange.arrived)
        return await self._faulty(exchange, lambda: self._limited(exchange, answer))

    async def _limited(self, exchange: Exchange, answer: Answer) -> Reply:
        book, timers = self.limits, self.engine.timers
        refusal = book.check(exchange.arrived)
        if refusal is not None:
            if book.limits.action == "ignore":
                await self.app.hang(exchange)
            elif book.limits.delay_s:
                await timers.sleep_until(exchange.arrived + book.limits.delay_s)
            raise refusal
        exchange.at_end(lambda: book.leave(timers.clock() - exchange.arrived))
        return await answer()

    async def _faulty(self, exchange: Exchange, answer: Answer) -> Reply | None:
        zero = self.zero if self.zero is not None else exchange.arrived
        elapsed = exchange.arrived - zero
        struck = [
            fault
            for fault, rng in zip(self.faults, self._draws, strict=True)
            if fault.strikes(exchange.path, elapsed, rng)
        ]
        if not struck:
            return await answer()
        site = Site(exchange, self.engine.timers, zero)
        return await _nested(struck, site, answer)

    def _begin(self, now: float) -> None:
        self.zero = now
        if self.profile.pauses:
            self.engine.pause(Pauses(self.profile.pauses, now))
        for change in sorted(self.profile.changes, key=lambda change: change.at_s):
            self.engine.timers.at(now + change.at_s, self._change, change, self._round)

    def _change(self, change: Change, round_: int) -> None:
        if round_ != self._round:
            # This change was scheduled before a reset.
            return
        if change.speed is not None:
            self.engine.speed = change.speed
        if change.workers is not None:
            self.app.dispatcher.workers = change.workers


async def _nested(faults: list[Fault], site: Site, answer: Answer) -> Reply | None:
    """Apply the faults, the first one outermost. A fault that handles the connection ends it for the outer ones too."""
    if not faults:
        return await answer()

    async def inner() -> Reply:
        reply = await _nested(faults[1:], site, answer)
        if reply is None:
            raise _ConnectionHandled
        return reply

    try:
        return await faults[0].apply(site, inner)
    except _ConnectionHandled:
        return None


class _ConnectionHandled(Exception):  # noqa: N818 - a signal inside this file
    """An inner fault has already closed or reset the connection."""
