"""The compute thread. It gets batches and sequences from the event loop and calls back on the loop's thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from queue import Empty, SimpleQueue

from model_server.engines.decoding import Decoder, Event
from model_server.work import Batch, Sequence

log = logging.getLogger(__name__)

Loop = asyncio.AbstractEventLoop
Job = Callable[[], bool]
"""A job for the thread; True if it took long, so that a decode step comes before the next job."""


class ComputeThread:
    """Computes batches one after another, with a decode step of the running sequences after each."""

    def __init__(self, threads: int, compute: Callable[[Batch], None], decoder: Decoder | None) -> None:
        self._threads = threads
        self._compute = compute
        self._decoder = decoder
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        # Called on this thread before it ends because of a failure.
        self.on_failure: Callable[[BaseException], None] = lambda error: None
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Finish the current job and end the thread."""
        self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def call(self, loop: Loop, function: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Run `function` on the thread; `done` is called on the loop with its exception, if any."""

        def job() -> bool:
            problem: Exception | None = None
            try:
                function()
            except Exception as error:
                problem = error
            _call_on(loop, lambda: done(problem))
            return True

        self._inbox.put(job)

    def batch(self, loop: Loop, batch: Batch, done: Callable[[Batch], None]) -> None:
        """Compute a batch, set its end and call `done` on the loop."""

        def job() -> bool:
            try:
                self._compute(batch)
            except Exception as error:
                log.exception("a batch of %d %s failed", len(batch.works), batch.kind)
                batch.error = error
            batch.ended = time.monotonic()
            _call_on(loop, lambda: done(batch))
            return True

        self._inbox.put(job)

    def sequence(self, loop: Loop, sequence: Sequence) -> None:
        """Generate a sequence; its pieces and its end are delivered on the loop."""
        decoder = self._decoder
        assert decoder is not None  # noqa: S101 - for the type checker: the app checks that the task is served

        def job() -> bool:
            try:
                decoder.add(sequence, loop)
            except Exception:
                log.exception("a text could not be taken in for generation")
                _call_on(loop, lambda: sequence.finish("error", time.monotonic()))
            return False

        self._inbox.put(job)

    def _run(self) -> None:
        """Run the thread. A failed computation does not end it; if it ends otherwise, `on_failure` is called."""
        try:
            self._compute_on()
        except BaseException as error:
            log.exception("the thread that computes has ended")
            self.on_failure(error)

    def _compute_on(self) -> None:
        import torch

        # OpenMP's setting is per calling thread.
        torch.set_num_threads(self._threads)
        decoder = self._decoder
        with torch.inference_mode():
            while True:
                stepping = decoder is not None and decoder.busy
                if not self._work_off(wait=not stepping):
                    return
                if decoder is not None and decoder.busy:
                    self._step(decoder)

    def _work_off(self, *, wait: bool) -> bool:
        """Run the jobs in the inbox, up to the first that takes long; False at the end."""
        with suppress(Empty):
            while True:
                job = self._inbox.get(block=wait)
                if job is None:
                    return False
                if job():
                    return True
                wait = False
        return True

    def _step(self, decoder: Decoder) -> None:
        try:
            events = decoder.step()
        except Exception:
            log.exception("a decode step failed")
            events = decoder.fail()
        for loop, group in groupby(events, key=lambda event: event.owner):
            mine = list(group)
            # The owner of a closed loop has ended.
            if loop.is_closed():
                for event in mine:
                    event.sequence.cancelled = True
            else:
                _call_on(loop, lambda mine=mine: _deliver(mine))  # type: ignore[misc] # mypy cannot infer such a lambda


def _deliver(events: list[Event]) -> None:
    for event in events:
        if event.piece is not None:
            event.sequence.emit(event.piece, event.now)
        if event.reason is not None:
            event.sequence.finish(event.reason, event.now)


def _call_on(loop: Loop, callback: Callable[[], None]) -> None:
    # A loop that was closed in the meantime needs no call.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
