"""Plays the client applications of a case on the running loop, in real or virtual time.

`Player` is the common part. A subclass supplies the transport and the timer.

Rules of this file
  1. The load's zero is given to `begin`: applications that started before it are connected and waiting.
  2. Every item that was given out is finished or counted. After a stop, only requests that were due just before it are
     sent (`STOP_GRACE_S`), and in-flight requests may take `drain_s`.
  3. Time is the loop's. Nothing here reads the wall clock or the machine.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any

from harness.base.clock import clock
from harness.base.turn_index import turn_of
from harness.client.figures import LayerCounts, counts_of, summed
from harness.client.gate.memory import LimitMemory, recalling
from harness.client.gate.observer import watching
from harness.client.limits.fixed import Fixed
from harness.client.protocols import Gate, TellingGate, gate_of, provides
from harness.client.redaction import redact
from harness.client.stack import Built, compose
from harness.client.types import Item, Outcome, Request, Response, Send, Strategy
from harness.experiment.application import ClientApplication, not_sent
from harness.experiment.spec import Trial
from harness.load.feed import Feed, Source
from harness.load.sessions.session_feed import SessionFeed
from harness.load.timer import Alarm
from harness.load.traces.trace_prompts import TracePrompts
from harness.load.workloads.jsonl import KeptRows
from harness.load.workloads.prompts import Prompts
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End
from harness.measure.record.token_tally import TokenTally

TICK_S = 0.05
STOP_GRACE_S = 0.25
"""After a stop, how long requests that were due before it may still be sent."""


class Player(ABC):
    """Plays one repeat of a case."""

    def __init__(self, spec: Trial) -> None:
        self.spec = spec
        self.sessions = spec.build_sessions()
        self.schedule = spec.build_schedule() if self.sessions is None else self.sessions.plan.schedule()
        self.mix = spec.build_mix()
        # All applications share them: those of a trace are large.
        self._prompts = spec.build_prompts()
        self._turns = spec.build_turns()
        self._kept_rows = KeptRows()
        self.applications: list[ClientApplication] = []
        self.recorder: Recorder | None = None
        self.begun = asyncio.Event()
        self.interrupted: str | None = None
        # The first error that ended an application.
        self.failure: Exception | None = None
        # Layers of the applications that are running, and layer counts of those that have ended.
        self._built: list[Built] = []
        self._counts: list[LayerCounts] = []
        self._zero = 0.0
        self._memory = None if spec.layers.remember is None else LimitMemory(spec.layers.remember)

    # Differences between real and virtual time.

    @abstractmethod
    def _transport(self, strategy: Strategy) -> AbstractAsyncContextManager[Send]:
        """The transport to the server."""

    @abstractmethod
    async def _server(self) -> str:
        """The server's identity, for layers that store answers."""

    @abstractmethod
    def _call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call `call` at an instant of the loop's clock."""

    def _strategy(self) -> Strategy:
        """The strategy of one application."""
        return self.spec.build_strategy()

    def _source(self, strategy: Strategy) -> Source:
        """The data of one application's items."""
        return self.spec.build_source(strategy, self._prompts)

    # The load.

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load's zero."""
        return clock()() - self._zero

    def begin(self, zero: float, recorder: Recorder) -> None:
        """The load begins at `zero`; applications that wait for it start."""
        self._zero, self.recorder = zero, recorder
        if (prompts := self._prompts) is not None:
            recorder.tally = TokenTally(lambda index: self._asked(prompts, index))
        # A backlog and the sessions of users end when they are done.
        if (last_s := self._last_s(max(self.spec.drain_s, TICK_S))) is not None:
            self._call_at(zero + last_s, self._cut_all)
        elif self.spec.stop_s is not None:
            self._call_at(zero + self.spec.stop_s, self._end_all)
        self.begun.set()

    def _asked(self, prompts: Prompts | TracePrompts, index: int) -> tuple[int | None, int | None]:
        """The tokens that an item asks for. Later turns of sessions carry a history of any length."""
        prompt, output = prompts.lengths(index, self.spec.seed)
        return (None if self.sessions is not None and turn_of(index) > 1 else prompt), output

    def _last_s(self, drain_s: float) -> float | None:
        """When arrivals, or the sessions that arrive, are cut, in seconds from zero; None if they end when done.

        Without a drain the last arrival would be cut at the instant at which it is due.
        """
        if self.sessions is not None:
            return self.sessions.plan.last_s(drain_s)
        offsets = self.schedule.offsets
        return None if offsets is None else offsets[-1] + drain_s

    async def play(self, application: ClientApplication) -> None:
        """Play one application to its end; an error is kept in `failure`."""
        try:
            await self._play(application)
        except asyncio.CancelledError:
            # Cancelled at the end of the drain; the recorder has counted the requests in flight.
            pass
        except Exception as error:
            self.failure = self.failure or error
        finally:
            application.ended = True

    async def _play(self, application: ClientApplication) -> None:
        strategy, server = self._strategy(), await self._server()
        async with self._transport(strategy) as transport, Alarm() as alarm, AsyncExitStack() as closing:
            application.ready = True
            in_time = not self.begun.is_set()
            await self.begun.wait()
            recorder = self.recorder
            assert recorder is not None  # noqa: S101 - `begin` was given it
            application.alarm = alarm
            feed = application.feed = self._feed(application, recorder, strategy, alarm, in_time)
            layers = self._layers(application, recorder, closing, server)
            with watching(recorder.decisions.note(application.slot)), recalling(self._memory):
                async with aclosing(strategy.stream(feed, transport, layers)) as results:
                    async for _ in results:
                        pass
            application.complete = not feed.stopped

    def _feed(
        self, application: ClientApplication, recorder: Recorder, strategy: Strategy, alarm: Alarm, in_time: bool
    ) -> Feed | SessionFeed:
        """The items of an application; `in_time`: it was ready when the load began."""
        slot, slots = application.slot, application.slots
        if (sessions := self.sessions) is not None:
            # One application reports the lines of the file that were skipped.
            application.jsonl = sessions.jsonl if slot == 0 else None

            def skipped(item: Item, why: str) -> None:
                recorder.skip(item, why, slot)

            return SessionFeed(sessions.plan, sessions.content, sessions.task, self._zero, alarm, slot, slots, skipped)
        source = self._source(strategy).sharing(self._kept_rows)
        application.jsonl = source.jsonl
        # An application that was ready in time owes every arrival, even if a busy machine starts it late.
        since = -math.inf if in_time else clock()()
        return Feed(source, self.mix, self.schedule, self._zero, alarm.until, slot, slots, since, alarm.grain_s)

    def _layers(
        self, application: ClientApplication, recorder: Recorder, closing: AsyncExitStack, server: str
    ) -> Callable[[Send], Send]:
        spec, now = self.spec, clock()
        built: Built = []
        self._built.append(built)
        # This runs last, after the layers have closed their files.
        closing.callback(self._count_layers, built)

        def layers(send: Send) -> Send:
            application.gate = gate_of(send)
            inner = compose(send, spec.layers, spec.seed + application.slot, closing, server, built)

            def entrance(request: Request, /) -> Awaitable[Response]:
                open_still = application.closes == math.inf or now() <= application.closes
                return inner(request) if open_still else not_sent()

            outer = entrance if self._turns is None else self._turns.layer(entrance)
            recorded, feed = recorder.layer(outer, application.slot), application.feed
            return feed.settling(recorded) if isinstance(feed, SessionFeed) else recorded

        return layers

    def _count_layers(self, built: Built) -> None:
        self._built = [other for other in self._built if other is not built]
        self._counts = summed([*self._counts, *counts_of(built)])

    def layer_counts(self) -> list[LayerCounts]:
        """The figures of the layers of all applications until now."""
        memory = [] if self._memory is None else counts_of([("remember", self._memory)])
        return summed([*self._counts, *(part for built in self._built for part in counts_of(built)), *memory])

    def leave(self, application: ClientApplication, why: str | None = None) -> None:
        """Send no further items for this application; `why` marks the case as interrupted."""
        self.interrupted = self.interrupted or (why if not application.ended else None)
        feed = application.feed
        if application.ended or (feed is not None and feed.stopped):
            return
        # No item was given out.
        if feed is None:
            if application.task is not None:
                application.task.cancel()
            return
        at = clock()()
        feed.stop(at)
        application.closes = at + STOP_GRACE_S
        if application.alarm is not None:
            application.alarm.off()
        self._call_at(at + self.spec.drain_s, lambda: self._cut(application))

    def leave_all(self, why: str | None = None) -> None:
        """Send no further items for any application."""
        for application in self.applications:
            self.leave(application, why)

    def _end_all(self) -> None:
        """The planned end of a backlog. Items that were given out before it are sent and finished."""
        for feed in (one.feed for one in self.applications if one.feed is not None):
            feed.end()
        self._call_at(clock()() + self.spec.drain_s, self._cut_all)

    def _cut(self, application: ClientApplication) -> None:
        """Requests still in flight at the end of the drain count as unfinished."""
        if not application.ended and application.task is not None:
            if self.recorder is not None:
                self.recorder.cancelled_as = Outcome.unfinished
            application.task.cancel()

    def _cut_all(self) -> None:
        for application in self.applications:
            self._cut(application)

    @property
    def _feeds(self) -> list[tuple[ClientApplication, Feed | SessionFeed]]:
        return [(one, one.feed) for one in self.applications if one.feed is not None]

    @property
    def pulled(self) -> int:
        """Items given out."""
        return sum(feed.pulled for _, feed in self._feeds)

    def tick(self, recorder: Recorder, loop_lag_s: float = 0.0, cpu_s: float = 0.0, rss_bytes: float = 0.0) -> None:
        """A row of the timeline."""
        flight, limit = self._in_flight(recorder)
        for gate in self._gates:
            if not isinstance(gate.limit, Fixed) and provides(gate, TellingGate):
                recorder.decisions.note_bound(self.elapsed_s, gate.bound)
        recorder.tick(
            t=self.elapsed_s,
            in_flight=flight,
            limit=math.nan if limit is None else limit,
            pulled=self.pulled,
            done=recorder.done,
            loop_lag=loop_lag_s,
            cpu=cpu_s,
            rss=rss_bytes,
        )

    def status(self, recorder: Recorder) -> dict[str, float | None]:
        """The state of the load, for the progress display."""
        flight, limit = self._in_flight(recorder)
        return {
            "t_s": self.elapsed_s,
            "pulled": self.pulled,
            "done": recorder.done,
            "ok": recorder.ok,
            "failed": recorder.done - recorder.ok - recorder.by_outcome[Outcome.not_sent] - recorder.stopped,
            "in_flight": flight,
            "limit": limit,
        }

    @property
    def _gates(self) -> list[Gate]:
        """The gates of the applications, which may share one, and then its limit."""
        return list({id(one.gate.limit): one.gate for one in self.applications if one.gate is not None}.values())

    def _in_flight(self, recorder: Recorder) -> tuple[int, float | None]:
        """Requests in flight and their limit, summed over the applications that limit them."""
        gates = self._gates
        if not gates:
            return recorder.in_flight, None
        return sum(gate.in_flight for gate in gates), float(sum(gate.limit.value for gate in gates))

    def summary(self, recorder: Recorder, duration_s: float, error: str | None, **figures: Any) -> End:
        """The end of the records; `figures` are of the process. What the limits learnt is saved."""
        if self._memory is not None:
            self._memory.save()
        scheduled = sum(feed.scheduled(one.complete) for one, feed in self._feeds)
        inputs = [one.jsonl for one in self.applications if one.jsonl is not None]
        first_bad = min((jsonl.first_bad for jsonl in inputs if jsonl.first_bad is not None), default=None)
        return End(
            scheduled=scheduled,
            pulled=self.pulled,
            recorded=recorder.recorded,
            not_sent=max(0, scheduled - recorder.recorded),
            bad_lines=sum(jsonl.bad_lines for jsonl in inputs),
            first_bad_line=None if first_bad is None else f"line {first_bad[0]}: {first_bad[1]}",
            interrupted=self.interrupted,
            duration_s=duration_s,
            error=redact(error or recorder.error or "") or None,
            schedule_sha256=self.schedule.sha256,
            layers=self.layer_counts(),
            histories_cut=sum(feed.histories_cut for _, feed in self._feeds if isinstance(feed, SessionFeed)),
            **figures,
        )
