"""One repeat of one case in virtual time: the real strategy, layers, feed and recorder against a mock in the process.

Rules of this file
  1. The same spec, profile and seed give the same record files, to the byte. Nothing is written that depends on the
     machine: no wall clock, no CPU time, no memory.
  2. The load's zero is the loop's zero. Applications begin at their instants, which are part of the load.
  3. What only observes (ticks) or ends the load (a stop, the cut after the drain) is a sentinel of the loop, so that a
     deadlock is found at once and not drained away.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.client.figures import LayerCounts, counts_of, summed
from harness.client.gate.observer import watching
from harness.client.protocols import Gate, gate_of
from harness.client.types import Outcome, Request, Response, Send, Strategy
from harness.experiment.layering import Built
from harness.experiment.simulate.direct import DirectSend
from harness.experiment.simulate.loop import VirtualLoop, run
from harness.experiment.simulate.played import SimulatedRun, digest
from harness.experiment.simulate.recited import Recited
from harness.experiment.simulate.server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.spec import CaseSpec, compose
from harness.load.feed import Feed, Source
from harness.load.timer import sleep_until
from harness.measure.record import End, read
from harness.measure.recorder import Recorder

Watch = Callable[[dict[str, Any]], None]

HTTP_URL = "http://127.0.0.1:80"
"""Of the network in memory, on which there is one server only."""
TELL_S = 0.25
"""Of wall time, between two words to whoever watches."""
TICK_S = 0.05
TICKS_A_WIDTH = 2000
"""Ticks until they come half as often: a simulated week takes no more room than a simulated hour."""


class _Application:
    """One client application."""

    def __init__(self, slot: int, begins_s: float) -> None:
        self.slot = slot
        self.begins_s = begins_s
        self.feed: Feed | None = None
        self.gate: Gate | None = None
        self.complete = False
        self.bad_lines = 0
        self.first_bad: tuple[int, str] | None = None


class _Play:
    """A case being played, on the running loop."""

    def __init__(self, spec: CaseSpec, server: SimulatedServer, terms: Terms, watch: Watch | None) -> None:
        self.spec = spec
        self.server = server
        self.terms = terms
        self.schedule = spec.build_schedule()
        self.mix = spec.build_mix()
        joins = terms.joins_s + (0.0,) * (spec.users - len(terms.joins_s))
        self.applications = [_Application(slot, begins_s) for slot, begins_s in enumerate(joins)]
        self.recorder = Recorder(
            Path(spec.records), case=spec.name, repeat=spec.repeat, process=0, t0=0.0, t0_unix_s=0.0
        )
        self.loop = asyncio.get_running_loop()
        self.cut = False
        self._layers: list[LayerCounts] = []  # of applications that are over
        self._tasks: list[asyncio.Task[None]] = []
        self._tick_s = TICK_S
        self._ticks = 0
        self._watch = watch
        self._told = time.monotonic()

    async def __call__(self) -> End:
        loop = self.loop
        assert isinstance(loop, VirtualLoop)  # noqa: S101 - `play` made it
        if self.terms.network == "memory":
            from harness.experiment.simulate.network import Network

            loop.connect = Network(self.server.app, self.terms.delay_s).connect
        loop.watch(0.0, self._tick)
        if self.terms.stop_s < math.inf:
            loop.watch(self.terms.stop_s, self._stop)
        offsets = self.schedule.offsets
        last_s = self.terms.stop_s if offsets is None else min(offsets[-1], self.terms.stop_s)
        if last_s < math.inf:
            loop.watch(last_s + self.spec.drain_s, self._cut)
        self._tasks = [
            loop.create_task(self._application(one), name=f"application {one.slot}") for one in self.applications
        ]
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        error = next((e for e in done if isinstance(e, Exception)), None)
        if error is not None:
            raise error
        self._tick()
        return self.finish()

    async def _application(self, one: _Application) -> None:
        spec, terms = self.spec, self.terms
        strategy = terms.strategy or spec.build_strategy()
        simulated = f"simulated {self.server.profile}" if spec.layers.keeps_answers else ""
        if one.begins_s:
            await sleep_until(one.begins_s)
        async with (
            self._transport() as transport,
            AsyncExitStack() as closing,
        ):
            source = _source(spec, strategy)
            feed = one.feed = Feed(
                source, self.mix, self.schedule, 0.0, sleep_until, one.slot, len(self.applications), one.begins_s
            )

            built: Built = []
            # It is called last, when the layers have closed their files.
            closing.callback(self._count_layers, built)

            def layers(send: Send) -> Send:
                one.gate = gate_of(send)
                inner = compose(send, spec.layers, spec.seed + one.slot, closing, simulated, built)
                if terms.stop_s == math.inf:
                    return self.recorder.layer(inner, one.slot)

                def entrance(request: Request, /) -> Awaitable[Response]:
                    return _not_sent(self.loop.time()) if feed.stopped else inner(request)

                return self.recorder.layer(entrance, one.slot)

            with watching(self.recorder.decisions.note(one.slot)):
                async with aclosing(strategy.stream(feed, transport, layers)) as results:
                    async for _ in results:
                        pass
            one.complete = not feed.stopped
            if source.jsonl is not None:
                one.bad_lines, one.first_bad = source.jsonl.bad_lines, source.jsonl.first_bad

    def _count_layers(self, built: Built) -> None:
        self._layers = summed([*self._layers, *counts_of(built)])

    def _transport(self) -> AbstractAsyncContextManager[Send]:
        timeout_s = self.spec.layers.timeout_s
        if self.terms.network == "none":
            return DirectSend(self.server.app, timeout_s=timeout_s)
        from harness.client.transport import HttpTransport

        return HttpTransport(HTTP_URL, timeout_s=timeout_s)

    def _tick(self) -> float:
        gates = [one.gate for one in self.applications if one.gate is not None]
        self.recorder.tick(
            t=self.loop.time(),
            in_flight=sum(gate.in_flight for gate in gates) if gates else None,
            limit=float(sum(gate.limit.value for gate in gates)) if gates else math.nan,
            pulled=self._pulled,
            done=self.recorder.done,
        )
        if self._watch is not None and time.monotonic() > self._told + TELL_S:
            self._told = time.monotonic()
            self._watch(self._status())
        self._ticks += 1
        if self._ticks % TICKS_A_WIDTH == 0:
            self._tick_s *= 2
        return self.loop.time() + self._tick_s

    def _status(self) -> dict[str, float | None]:
        """For whoever waits in real time; nothing of it is recorded."""
        recorder = self.recorder
        failed = recorder.done - recorder.ok - recorder.by_outcome[Outcome.not_sent]
        return {
            "t_s": self.loop.time(),
            "done": recorder.done,
            "ok": recorder.ok,
            "failed": failed,
            "in_flight": recorder.in_flight,
            "limit": None,
        }

    def _stop(self) -> float:
        for one in self.applications:
            if one.feed is not None:
                one.feed.stop(self.terms.stop_s)
        return math.inf

    def _cut(self) -> float:
        """What is in flight when the drain is over is unfinished."""
        self.recorder.cancelled_as = Outcome.unfinished
        for task in self._tasks:
            task.cancel()
        return math.inf

    @property
    def _pulled(self) -> int:
        return sum(one.feed.pulled for one in self.applications if one.feed is not None)

    def finish(self, error: str | None = None, interrupted: str | None = None) -> End:
        """Close the records, with the last word on them."""
        return self.recorder.end(self._summary(error, interrupted))

    def _summary(self, error: str | None, interrupted: str | None) -> End:
        scheduled = sum(one.feed.scheduled(one.complete) for one in self.applications if one.feed is not None)
        if self.terms.stop_s < math.inf and self.schedule.offsets is None:
            scheduled = self._pulled  # a stopped backlog has no other end
        first_bad = min((one.first_bad for one in self.applications if one.first_bad is not None), default=None)
        return End(
            scheduled=scheduled,
            pulled=self._pulled,
            recorded=self.recorder.recorded,
            not_sent=max(0, scheduled - self.recorder.recorded),
            bad_lines=sum(one.bad_lines for one in self.applications),
            first_bad_line=None if first_bad is None else f"line {first_bad[0]}: {first_bad[1]}",
            interrupted=interrupted,
            duration_s=self.loop.time(),
            error=error or self.recorder.error,
            schedule_sha256=self.schedule.sha256,
            layers=self._layers,
        )


def play(
    spec: CaseSpec, server: SimulatedServer, terms: Terms | None = None, watch: Watch | None = None
) -> SimulatedRun:
    """Play it to its end, telling `watch` now and then; raises DeadlockError if it has none, and the case's errors."""
    began = time.perf_counter()
    begun: list[_Play] = []

    async def main() -> tuple[_Play, End, float]:
        playing = _Play(spec, server, terms or Terms(), watch)
        begun.append(playing)
        end = await playing()
        return playing, end, asyncio.get_running_loop().time()

    try:
        playing, end, virtual_s = run(main())
    except KeyboardInterrupt:
        if begun:
            begun[0].finish(interrupted="stopped by the user")
        raise
    except BaseException as error:
        if begun:  # what was recorded until then stands, with the reason beside it
            begun[0].finish(error=f"{type(error).__name__}: {error}")
        raise
    paths = playing.recorder.paths
    gates = tuple(one.gate for one in playing.applications)
    return SimulatedRun(
        read(paths.requests)[1],
        read(paths.timeline)[1],
        end,
        server.seen,
        virtual_s,
        time.perf_counter() - began,
        digest(paths),
        gates,
    )


def _source(spec: CaseSpec, strategy: Strategy) -> Source:
    source = spec.build_source(strategy)
    if (plain := source.jsonl) is None:
        return source
    return replace(source, jsonl=Recited(plain.path, plain.items, plain.priorities))


async def _not_sent(now: float) -> Response:
    return Response(Outcome.not_sent, done=now, error="the run was stopped")
