"""One repeat of one case in virtual time: the real strategy, layers, feed and recorder against a mock in the process.

Rules of this file
  1. The same spec, profile and seed give the same record files, bit for bit. Nothing is written that depends on the
     machine: no wall clock, no CPU time, no memory.
  2. The load's zero is the loop's zero. Applications begin at their instants, which are part of the load.
  3. Observers (ticks) and ends of the load (a stop, the cut after the drain) are sentinels of the loop. They do not
     keep it alive, so that a deadlock is found at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import msgspec

from harness.client.types import Send, Strategy
from harness.experiment.application import ClientApplication
from harness.experiment.child_process import Watch
from harness.experiment.player import TICK_S, Player
from harness.experiment.simulate.cached_lines import CachedJsonl
from harness.experiment.simulate.direct import DirectSend
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.simulate.virtual_loop import SERVER, VirtualLoop, run
from harness.experiment.spec import Trial
from harness.load.feed import Source
from harness.load.timer import sleep_until
from harness.measure.record.files import digest
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End, read

HTTP_URL = "http://{}:{}".format(*SERVER)
"""URL of the only server on the network in memory."""
STATUS_S = 0.25
"""Wall-clock seconds between two reports of the status."""
TICKS_A_FRAME = 256
"""Ticks that are written together."""
TICKS_A_WIDTH = 2000
"""Number of ticks after which the interval doubles, so that long simulations need little memory."""


class VirtualPlayer(Player):
    """Plays a case against a mock in the same process; made on a running VirtualLoop."""

    def __init__(self, spec: Trial, server: SimulatedServer, terms: Terms, watch: Watch | None) -> None:
        super().__init__(spec)
        self._mock = server
        self._terms = terms
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101 - `play` made it
        self._loop = loop
        self.records = Recorder(
            Path(spec.records),
            case=spec.name,
            repeat=spec.repeat,
            process=0,
            t0=0.0,
            t0_unix_s=0.0,
            ticks_a_frame=TICKS_A_FRAME,
        )
        self._tick_s = TICK_S
        self._ticks = 0
        self._watch = watch
        self._reported = time.monotonic()

    def _transport(self, strategy: Strategy) -> AbstractAsyncContextManager[Send]:
        timeout_s = self.spec.layers.timeout_s
        if self._terms.network == "none":
            return DirectSend(self._mock.app, timeout_s=timeout_s, endpoint=f"simulated:{self._mock.profile.name}")
        from harness.client.transport.async_http import HttpTransport

        return HttpTransport(HTTP_URL, timeout_s=timeout_s)

    async def _server(self) -> str:
        return f"simulated {self._mock.profile}" if self.spec.layers.keeps_answers else ""

    def _call_at(self, when: float, call: Callable[[], None]) -> None:
        def fire() -> float:
            call()
            return math.inf

        self._loop.watch(when, fire)

    def _strategy(self) -> Strategy:
        return self._terms.strategy or super()._strategy()

    def _source(self, strategy: Strategy) -> Source:
        source = super()._source(strategy)
        if (plain := source.jsonl) is None:
            return source
        cached = CachedJsonl(plain.path, plain.items, plain.priorities, plain.columns, plain.reading)
        return replace(source, jsonl=cached)

    async def play_all(self) -> End:
        """Play every application to its end; raises the first error of one."""
        loop, terms, users = self._loop, self._terms, self.spec.users
        if terms.network == "memory":
            from harness.experiment.simulate.network import Network

            loop.connect = Network(self._mock.app, terms.delay_s).connect
        loop.watch(0.0, self._on_tick)
        if terms.stop_s < math.inf:
            self._call_at(terms.stop_s, self.leave_all)
        self.begin(0.0, self.records)
        self.applications += [ClientApplication(slot, users) for slot in range(users)]
        for one in self.applications:
            begins_s = terms.joins_s[one.slot] if one.slot < len(terms.joins_s) else 0.0
            one.task = loop.create_task(self._join(one, begins_s), name=f"application {one.slot}")
        await asyncio.gather(*(one.task for one in self.applications if one.task), return_exceptions=True)
        if self.failure is not None:
            raise self.failure
        self._on_tick()
        return self.finish()

    async def _join(self, one: ClientApplication, begins_s: float) -> None:
        if begins_s:
            await sleep_until(begins_s)
        await self.play(one)

    def _on_tick(self) -> float:
        """Record a tick; returns the instant of the next."""
        self.tick(self.records)
        if self._watch is not None and time.monotonic() > self._reported + STATUS_S:
            self._reported = time.monotonic()
            self._watch(self.status(self.records))
        self._ticks += 1
        if self._ticks % TICKS_A_WIDTH == 0:
            self._tick_s *= 2
        return self._loop.time() + self._tick_s

    def finish(self, error: str | None = None, interrupted: str | None = None) -> End:
        """Close the records and write their end."""
        self.interrupted = interrupted
        end = self.summary(self.records, self._loop.time(), error)
        if self._terms.stop_s < math.inf and self.spec.is_backlog:
            # An endless backlog ends only by its stop, so the stop is part of the load.
            not_sent = max(0, end.pulled - end.recorded)
            end = msgspec.structs.replace(end, scheduled=end.pulled, not_sent=not_sent)
        return self.records.end(end)


def play(spec: Trial, server: SimulatedServer, terms: Terms | None = None, watch: Watch | None = None) -> SimulatedRun:
    """Play a case to its end and report to `watch`; raises DeadlockError if it cannot end, and the case's errors."""
    began = time.perf_counter()
    begun: list[VirtualPlayer] = []

    async def main() -> tuple[VirtualPlayer, End, float]:
        player = VirtualPlayer(spec, server, terms or Terms(), watch)
        begun.append(player)
        end = await player.play_all()
        return player, end, asyncio.get_running_loop().time()

    try:
        player, end, virtual_s = run(main())
    except KeyboardInterrupt:
        if begun:
            begun[0].finish(interrupted="stopped by the user")
        raise
    except BaseException as error:
        # Keep the records so far and note the error.
        if begun:
            begun[0].finish(error=f"{type(error).__name__}: {error}")
        raise
    paths = player.records.paths
    return SimulatedRun(
        read(paths.requests)[1],
        read(paths.timeline)[1],
        end,
        server.seen,
        virtual_s,
        time.perf_counter() - began,
        digest([paths]),
        tuple(one.gate for one in player.applications),
    )
