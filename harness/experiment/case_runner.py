"""The case runner: plays client applications over their shares of a load in real time and records the results.

Rules of this file
  1. It does not depend on Locust. Commands (`join`, `go`, `leave`, `finish`) are thread-safe.
  2. The load's zero is the instant of `go`: applications that joined before it are connected and waiting.
  3. It samples its own process: CPU, memory and event-loop lag.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from harness.base.clock import clock
from harness.client.transport.choice import AIOHTTP, LEAN, MakeExecutor, transport_of
from harness.client.transport.connection_settings import target_access
from harness.client.transport.open_files import raise_limit
from harness.client.transport.server import identity
from harness.client.types import Send, Strategy
from harness.experiment.application import ClientApplication
from harness.experiment.event_loop import new_event_loop
from harness.experiment.player import TICK_S, Player
from harness.experiment.spec import Trial
from harness.measure.record.health import ProcessSampler
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End
from harness.measure.record.run_queue import RunQueueSampler

# Seconds from `go` to the first possible arrival, so that it is not late.
CONNECT_LEAD_S = 0.02
# Ticks between two readings of the run queue: one file for each thread.
RUN_QUEUE_TICKS = 5


class RealPlayer(Player):
    """Plays a case against a server over HTTP."""

    def __init__(self, spec: Trial, loop: asyncio.AbstractEventLoop, executor: MakeExecutor | None) -> None:
        super().__init__(spec)
        self._loop = loop
        self._executor = executor

    def _transport(self, strategy: Strategy) -> AbstractAsyncContextManager[Send]:
        name = LEAN if self.spec.transport == LEAN else AIOHTTP
        to = target_access(self.spec.target)
        return transport_of(strategy, to, self.spec.layers.timeout_s, self._executor, name)

    async def _server(self) -> str:
        target = self.spec.target
        if not self.spec.layers.keeps_answers:
            return target
        return await asyncio.to_thread(identity, target, target_access(target))

    def _call_at(self, when: float, call: Callable[[], None]) -> None:
        self._loop.call_at(when, call)


class CaseRunner:
    """Runs in one thread (`run`); accepts commands from others."""

    def __init__(
        self,
        spec: Trial,
        process: int = 0,
        executor: MakeExecutor | None = None,
        on_rows: Callable[[Any], None] | None = None,
    ) -> None:
        self.spec = spec
        self.process = process
        self.status: dict[str, float | None] = {}
        self.end: End | None = None
        self.finished = False
        self._error: str | None = None
        self._on_rows = on_rows
        self._loop = new_event_loop()
        self._player = RealPlayer(spec, self._loop, executor)
        self._applications = self._player.applications
        self._finish = asyncio.Event()
        raise_limit()
        self._sampler = ProcessSampler()
        self._run_queue = RunQueueSampler()
        # CPU seconds and resident bytes of the last sample.
        self._used = (0.0, 0.0)

    # Commands, from any thread.

    def join(self, slot: int, slots: int) -> ClientApplication:
        """Start application `slot` of `slots`; it waits for `go`."""
        application = ClientApplication(slot, slots)
        self._applications.append(application)
        self._loop.call_soon_threadsafe(self._start, application)
        return application

    def go(self) -> None:
        """The load begins now."""
        self._loop.call_soon_threadsafe(self._begin)

    def leave(self, application: ClientApplication, why: str | None = None) -> None:
        """Send no further items for this application; drain its requests. `why` marks the case as interrupted."""
        self._loop.call_soon_threadsafe(self._player.leave, application, why)

    def finish(self) -> None:
        """End the case: flush, write the end of the records, end the thread."""
        self._loop.call_soon_threadsafe(self._finish.set)

    @property
    def complete(self) -> bool:
        """Every application has worked through its share."""
        return bool(self._applications) and all(a.ended for a in self._applications)

    @property
    def error(self) -> str | None:
        """The first error, in words."""
        failure = self._player.failure
        return self._error or (None if failure is None else str(failure) or type(failure).__name__)

    # The thread.

    def run(self) -> None:
        """The thread's body; returns after `finish`."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
        finally:
            self.finished = True
            self._loop.close()

    async def _main(self) -> None:
        ticker = asyncio.create_task(self._tick())
        ticker.add_done_callback(self._ticker_ended)
        await self._finish.wait()
        self._player.leave_all()
        tasks = [a.task for a in self._applications if a.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        ticker.cancel()
        if (recorder := self._player.recorder) is not None:
            try:
                self._sample(recorder)
            # The end of the records is written in any case.
            except Exception as error:
                self._ticker_failed(error)
            self.end = recorder.end(self._summary(recorder))

    def _start(self, application: ClientApplication) -> None:
        application.task = asyncio.create_task(self._player.play(application))

    def _begin(self) -> None:
        if self._player.begun.is_set():
            return
        # Before the load's zero, because it takes 0.04 to 0.2 s, which a backlog would count as time of the server.
        gc.collect()
        # Start-up objects stay alive: excluding them from garbage collection shortens its pauses.
        gc.freeze()
        lead_s = 0.0 if self.spec.is_backlog else CONNECT_LEAD_S
        zero = clock()() + lead_s
        try:
            recorder = Recorder(
                Path(self.spec.records),
                case=self.spec.name,
                repeat=self.spec.repeat,
                process=self.process,
                t0=zero,
                t0_unix_s=time.time() + lead_s,
                on_rows=self._on_rows,
            )
        # Without records nothing may be sent.
        except OSError as error:
            self._error = f"{self.spec.records}: cannot record: {error.strerror or error}"
            self._player.leave_all()
            return
        self._sampler.start()
        self._run_queue.start()
        self._player.begin(zero, recorder)

    async def _tick(self) -> None:
        """Sample the client: late ticks are event-loop lag."""
        await self._player.begun.wait()
        recorder = self._player.recorder
        assert recorder is not None  # noqa: S101 - the load has begun
        now = clock()
        due = now()
        for tick in itertools.count():
            due = max(due + TICK_S, now() - TICK_S)
            await asyncio.sleep(max(0.0, due - now()))
            self._sample(recorder, max(0.0, now() - due))
            if tick % RUN_QUEUE_TICKS == 0:
                self._run_queue.sample()

    def _ticker_ended(self, ticker: asyncio.Task[None]) -> None:
        """Without ticks nothing is flushed or shown, so the case ends with this error."""
        if ticker.cancelled() or (error := ticker.exception()) is None:
            return
        self._ticker_failed(error)
        self._player.leave_all("the client failed")

    def _ticker_failed(self, error: BaseException) -> None:
        self._error = self._error or f"its ticker failed: {type(error).__name__}: {error}"

    def _sample(self, recorder: Recorder, loop_lag_s: float = 0.0) -> None:
        # If no file descriptor is free for /proc, keep the last figures.
        with contextlib.suppress(OSError):
            self._used = self._sampler.sample()
        self._player.tick(recorder, loop_lag_s, *self._used)
        recorder.flush()
        recorder.keep_interim(self._player.layer_counts)
        self.status = self._player.status(recorder)

    def _summary(self, recorder: Recorder) -> End:
        self._run_queue.sample()
        waited = self._run_queue.longest()
        return self._player.summary(
            recorder,
            self._player.elapsed_s,
            self.error,
            cpu_s=self._sampler.cpu_s,
            rss_start_mb=self._sampler.rss_start_mb,
            rss_max_mb=self._sampler.rss_max_mb,
            host_steal_share=self._sampler.host_steal_share(),
            run_queue_s=None if waited is None else waited.wait_s,
            run_queue_slices=0 if waited is None else waited.slices,
        )
