"""The asyncio engine: client applications that run a strategy over their share of a load, and record it.

Rules of this file
  1. It knows nothing of Locust. Commands (`join`, `go`, `leave`, `finish`) may come from any thread.
  2. The load's zero is the instant of `go`: applications that joined before it are connected and waiting.
  3. What was given out is finished or counted: after a stop nothing new is sent, what is in flight may take `drain_s`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from harness.base.clock import clock
from harness.client.access import access_to
from harness.client.figures import LayerCounts, counts_of, summed
from harness.client.gate.observer import watching
from harness.client.open_files import raise_limit
from harness.client.protocols import Gate, ThreadedStrategy, gate_of, provides
from harness.client.redaction import redact
from harness.client.types import Outcome, Request, Response, Send
from harness.experiment.layering import Built
from harness.experiment.loop import new_event_loop
from harness.experiment.spec import CaseSpec, compose
from harness.experiment.target import identity
from harness.load.feed import Feed
from harness.load.timer import Alarm
from harness.load.workloads.jsonl import Jsonl
from harness.measure.health import ProcessSampler
from harness.measure.record import End
from harness.measure.recorder import Recorder

TICK_S = 0.05
STOP_GRACE_S = 0.25  # what was due just before a stop may still leave
CONNECT_LEAD_S = 0.02  # between `go` and the zero of arrivals, so that the first one is not late


class Application:
    """One client application: its feed, its task, and the gate its strategy built (if it built one)."""

    def __init__(self, slot: int, slots: int) -> None:
        self.slot = slot
        self.slots = slots
        self.feed: Feed | None = None
        self.gate: Gate | None = None
        self.task: asyncio.Task[None] | None = None
        self.ready = False  # its transport is open; it waits for `go`
        self.ended = False  # its share is done, of itself or after `leave`
        self.complete = False  # its share is done of itself
        self.alarm: Alarm | None = None  # what its feed sleeps by
        self.closes = math.inf  # after a stop: from when on nothing more is sent


class Engine:
    """Runs in one thread (`run`), takes commands from others."""

    def __init__(
        self,
        spec: CaseSpec,
        process: int = 0,
        executor: Callable[[int], concurrent.futures.Executor] | None = None,
        on_rows: Callable[[Any], None] | None = None,
    ) -> None:
        self.spec = spec
        self.process = process
        self.error: str | None = None
        self.status: dict[str, float | None] = {}
        self.recorder: Recorder | None = None
        self.end: End | None = None
        self.finished = False
        self._executor = executor
        self._on_rows = on_rows
        self._applications: list[Application] = []
        self._loop = new_event_loop()
        self._go = asyncio.Event()
        self._finish = asyncio.Event()
        self._zero = 0.0
        self._interrupted: str | None = None
        raise_limit()
        self._schedule = spec.build_schedule()
        self._mix = spec.build_mix()
        self._sampler = ProcessSampler()
        self._used = (0.0, 0.0)  # CPU seconds and resident bytes, when last asked
        self._inputs: list[Jsonl] = []  # each application reads its own share of the lines
        self._layers: list[LayerCounts] = []  # of applications that are over

    # Commands, from any thread.

    def join(self, slot: int, slots: int) -> Application:
        """Start application `slot` of `slots`; it waits for `go`."""
        application = Application(slot, slots)
        self._applications.append(application)
        self._loop.call_soon_threadsafe(self._start, application)
        return application

    def go(self) -> None:
        """The load begins now."""
        self._loop.call_soon_threadsafe(self._begin)

    def leave(self, application: Application, why: str | None = None) -> None:
        """No further item for this application; what is in flight is drained. `why` marks the case as interrupted."""
        self._loop.call_soon_threadsafe(self._leave, application, why)

    def finish(self) -> None:
        """Everything is over: flush, write the end, leave the thread."""
        self._loop.call_soon_threadsafe(self._finish.set)

    @property
    def complete(self) -> bool:
        """Every application has worked through its share."""
        return bool(self._applications) and all(a.ended for a in self._applications)

    # The thread.

    def run(self) -> None:
        """The thread's body; returns after `finish`."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.finished = True
            self._loop.close()

    async def _main(self) -> None:
        ticker = asyncio.create_task(self._tick())
        ticker.add_done_callback(self._ticker_ended)
        await self._finish.wait()
        for application in self._applications:
            self._leave(application, None)
        tasks = [a.task for a in self._applications if a.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        ticker.cancel()
        if self.recorder is not None:
            try:
                self._sample()
            except Exception as error:  # the end is written all the same
                self.error = self.error or _ticker_failed(error)
            self.end = self._summary(self.recorder)
            self.recorder.end(self.end)

    def _begin(self) -> None:
        if self._go.is_set():
            return
        lead_s = 0.0 if self._schedule.offsets is None else CONNECT_LEAD_S
        self._zero = clock()() + lead_s
        try:
            self.recorder = Recorder(
                Path(self.spec.records),
                case=self.spec.name,
                repeat=self.spec.repeat,
                process=self.process,
                t0=self._zero,
                t0_unix_s=time.time() + lead_s,
                on_rows=self._on_rows,
            )
        except OSError as error:  # nothing is sent that could not be recorded
            self.error = f"{self.spec.records}: cannot record: {error.strerror or error}"
            for application in self._applications:
                self._leave(application, None)
            return
        gc.collect()
        gc.freeze()  # what start-up left is no garbage: no collection need walk it again, and pause the client
        self._sampler.start()
        self._go.set()

    def _start(self, application: Application) -> None:
        application.task = asyncio.create_task(self._guarded(application))

    async def _guarded(self, application: Application) -> None:
        try:
            await self._run(application)
        except asyncio.CancelledError:
            pass  # cut at the end of the drain; the recorder has counted what was in flight
        except Exception as error:
            self.error = self.error or str(error) or type(error).__name__
        finally:
            application.ended = True

    async def _run(self, application: Application) -> None:
        spec = self.spec
        strategy, server = spec.build_strategy(), spec.target
        if spec.layers.keeps_answers:
            server = await asyncio.to_thread(identity, spec.target)
        async with self._transport(strategy) as transport, Alarm() as alarm, AsyncExitStack() as closing:
            application.ready = True
            from_the_start = not self._go.is_set()
            await self._go.wait()
            recorder = self.recorder
            assert recorder is not None  # noqa: S101 - `go` made it
            source = spec.build_source(strategy)
            feed = Feed(
                source,
                self._mix,
                self._schedule,
                self._zero,
                alarm.until,
                application.slot,
                application.slots,
                # One that was there in time owes every arrival, however late a busy machine lets it begin.
                since=-math.inf if from_the_start else clock()(),
            )
            application.feed, application.alarm = feed, alarm
            built: Built = []
            # It is called last, when the layers have closed their files.
            closing.callback(self._count_layers, built)

            def layers(send: Send) -> Send:
                application.gate = gate_of(send)
                inner = compose(send, spec.layers, spec.seed + application.slot, closing, server, built)

                now = clock()

                def entrance(request: Request, /) -> Awaitable[Response]:
                    return _not_sent() if feed.stopped and now() > application.closes else inner(request)

                return recorder.layer(entrance, application.slot)

            try:
                with watching(recorder.decisions.note(application.slot)):
                    async with aclosing(strategy.stream(feed, transport, layers)) as results:
                        async for _ in results:
                            pass
                application.complete = not feed.stopped
            finally:
                if source.jsonl is not None:
                    self._inputs.append(source.jsonl)

    def _count_layers(self, built: Built) -> None:
        self._layers = summed([*self._layers, *counts_of(built)])

    def _transport(self, strategy: Any) -> Any:
        to, timeout_s = access_to(self.spec.target), self.spec.layers.timeout_s
        if not strategy.blocking:
            from harness.client.transport import HttpTransport

            return HttpTransport(to.url, timeout_s=timeout_s, authorization=to.authorization)
        from harness.client.blocking import BlockingTransport

        threads = strategy.threads if provides(strategy, ThreadedStrategy) else 1
        executor = self._executor(threads) if self._executor else None
        return BlockingTransport(
            to.url, threads=threads, timeout_s=timeout_s, executor=executor, authorization=to.authorization
        )

    def _leave(self, application: Application, why: str | None) -> None:
        self._interrupted = self._interrupted or (why if not application.ended else None)
        feed = application.feed
        if application.ended or (feed is not None and feed.stopped):
            return
        if feed is None:  # before `go`: nothing was given out
            if application.task is not None:
                application.task.cancel()
            return
        at = clock()()
        feed.stop(at)
        application.closes = at + STOP_GRACE_S
        if application.alarm is not None:
            application.alarm.off()
        self._cut_later(application)

    def _cut_later(self, application: Application) -> None:
        """What is still in flight when the drain is over is unfinished."""
        self._loop.call_later(self.spec.drain_s, self._cut, application)

    def _cut(self, application: Application) -> None:
        if not application.ended and application.task is not None:
            if self.recorder is not None:
                self.recorder.cancelled_as = Outcome.unfinished
            application.task.cancel()

    async def _tick(self) -> None:
        """The client watches itself: late ticks are event-loop lag."""
        await self._go.wait()
        now = clock()
        due = now()
        overrun_at = self._over_s()
        while True:
            due = max(due + TICK_S, now() - TICK_S)
            await asyncio.sleep(max(0.0, due - now()))
            self._sample(max(0.0, now() - due))
            if now() - self._zero > overrun_at:
                overrun_at = float("inf")
                for application in self._applications:
                    self._cut_later(application)

    def _ticker_ended(self, ticker: asyncio.Task[None]) -> None:
        """Without ticks nothing is flushed or shown and no drain ends: the case is over, and says why."""
        if ticker.cancelled() or (error := ticker.exception()) is None:
            return
        self.error = self.error or _ticker_failed(error)
        for application in self._applications:
            self._leave(application, "the client failed")

    def _over_s(self) -> float:
        """When arrivals are over; from then on what is in flight has `drain_s`. A backlog ends when it is done."""
        offsets = self._schedule.offsets
        return float("inf") if offsets is None else offsets[-1] + 1e-6

    def _sample(self, loop_lag_s: float = 0.0) -> None:
        recorder = self.recorder
        if recorder is None:
            return
        gates = [a.gate for a in self._applications if a.gate is not None]
        in_flight = sum(g.in_flight for g in gates) if gates else recorder.in_flight
        limit = float(sum(g.limit.value for g in gates)) if gates else float("nan")
        pulled = sum(a.feed.pulled for a in self._applications if a.feed is not None)
        with contextlib.suppress(OSError):  # no descriptor is free for /proc: the last figures stand
            self._used = self._sampler.sample()
        cpu_s, rss_bytes = self._used
        recorder.tick(
            t=clock()() - self._zero,
            in_flight=in_flight,
            limit=limit,
            pulled=pulled,
            done=recorder.done,
            loop_lag=loop_lag_s,
            cpu=cpu_s,
            rss=rss_bytes,
        )
        recorder.flush()
        self.status = {
            "t_s": clock()() - self._zero,
            "pulled": pulled,
            "done": recorder.done,
            "ok": recorder.ok,
            "failed": recorder.done - recorder.ok - recorder.by_outcome[Outcome.not_sent],
            "in_flight": in_flight,
            "limit": None if math.isnan(limit) else limit,
        }

    def _summary(self, recorder: Recorder) -> End:
        feeds = [(a, a.feed) for a in self._applications if a.feed is not None]
        scheduled = sum(feed.scheduled(a.complete) for a, feed in feeds)
        first_bad = min((i.first_bad for i in self._inputs if i.first_bad is not None), default=None)
        return End(
            scheduled=scheduled,
            pulled=sum(feed.pulled for _, feed in feeds),
            recorded=recorder.recorded,
            not_sent=max(0, scheduled - recorder.recorded),
            bad_lines=sum(i.bad_lines for i in self._inputs),
            first_bad_line=None if first_bad is None else f"line {first_bad[0]}: {first_bad[1]}",
            interrupted=self._interrupted,
            duration_s=clock()() - self._zero,
            cpu_s=self._sampler.cpu_s,
            rss_start_mb=self._sampler.rss_start_mb,
            rss_max_mb=self._sampler.rss_max_mb,
            host_steal_share=self._sampler.host_steal_share(),
            error=redact(self.error or recorder.error or "") or None,
            schedule_sha256=self._schedule.sha256,
            layers=self._layers,
        )


def _ticker_failed(error: BaseException) -> str:
    return f"its ticker failed: {type(error).__name__}: {error}"


async def _not_sent() -> Response:
    """What becomes of a request that the strategy would send after the stop."""
    return Response(Outcome.not_sent, done=clock()(), error="the run was stopped")
