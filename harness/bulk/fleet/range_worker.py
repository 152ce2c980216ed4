"""A worker: processes the ranges that the coordinator leases to it, each as a run of its own. Knows no engine.

Rules of this file
  1. `exchange` is the only contact: it takes the answer to the last beat, waits a moment, and returns the next beat.
  2. A range is cut off at once when its lease is over: by the coordinator's word, or by this worker's own clock.
  3. The next range begins when every line of the present one was given out, so that the worker is never idle while the
     last calls of a range are in flight.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import threading
from typing import Any

import msgspec

from harness import plugins
from harness.base.clock import clock
from harness.bulk import journal as journals
from harness.bulk.ending import Summary
from harness.bulk.fleet.governor import VALID_S
from harness.bulk.fleet.messages import Beat, Progress, Reply, Report, Stopped, WorkerOrder, unexpected
from harness.bulk.fleet.pacer import Pacer
from harness.bulk.fleet.parts import Parts, located, seen_by
from harness.bulk.fleet.shared_gate import SharedStrategy, SharePart, WorkerGate
from harness.bulk.fleet.worker_connection import WorkerConnection
from harness.bulk.leases import Lease
from harness.bulk.leases.held import Held
from harness.bulk.leases.leases import Finished
from harness.bulk.part import Part
from harness.bulk.processing import Process
from harness.bulk.row_items import BROKEN_FILE
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError
from harness.client.figures import LayerCounts, counts_of, summed
from harness.client.protocols import uses_priorities
from harness.client.types import Send, Strategy
from harness.load.mapped_fields import columns_of
from harness.load.rows import RowReader
from harness.strategies.priority import Priority

# Ranges at once: one that is sent, and one whose last calls are in flight.
_RANGES = 2
# A failure to stop in this time is cut off.
_CUT_S = 0.5


class _Running:
    """A range that is being processed."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.process: Process | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def given_out(self) -> bool:
        """Whether no line of it is left to give out."""
        return self.process is not None and self.process.read_all

    def cut(self) -> None:
        """Stop it at once; its saved rows remain."""
        if self.process is not None:
            self.process.stop("interrupted", "its lease is over")
            self.process.cut()
        elif self.task is not None:
            self.task.cancel()


class Worker:
    """Works off leases. `await exchange(reply)` again and again, then `close()`."""

    def __init__(self, order: WorkerOrder, send: Send | None = None) -> None:
        self._order = order
        self._settings = order.settings
        self._parts = Parts(order.settings.output)
        self._host = socket.gethostname()
        self._now = clock()
        self._held = Held(order.ttl_s)
        self._pacer = Pacer()
        self._gate = WorkerGate(SharePart(order.learns, order.uses_work), self._pacer)
        self._strategy: Strategy = plugins.make("strategy", order.settings.strategy)
        self._server = WorkerConnection(order, self._strategy, self._gate, send)
        self._reader: RowReader | None = None
        self._making = threading.Lock()
        self._running: dict[int, _Running] = {}
        # Until the coordinator has taken them.
        self._reports: dict[int, Report] = {}
        self._stopped: list[Stopped] = []
        self._notes: list[str] = []
        self._layers: list[LayerCounts] = []
        self._error: str | None = None
        self._stop = ""
        self._news = asyncio.Event()
        self._last_at = self._sent_at = self._now()
        self._last = (0, 0.0)

    # The contact with the coordinator.

    async def exchange(self, reply: Reply) -> Beat:
        """Take an answer; the next beat, a moment later or as soon as there is news."""
        self._take(reply)
        if self._stop != "leave":
            self._news.clear()
            await self._until_news()
        return self._beat()

    async def _until_news(self) -> None:
        left = self._last_at + self._order.beat_s - self._now()
        if self._error is None and not self._stopped and left > 0:
            waiting = asyncio.create_task(self._news.wait())
            await asyncio.wait({waiting}, timeout=left)
            waiting.cancel()
        self.look()

    def _take(self, reply: Reply) -> None:
        self._held.answered()
        self._pacer.set(reply.rate_per_s, reply.tokens_per_s, reply.pause_s, self._sent_at + VALID_S)
        self._gate.set(reply.slots, reply.generation, reply.others_accepted)
        for number in reply.taken:
            self._reports.pop(number, None)
        for number, epoch in reply.dropped:
            running = self._running.get(number)
            if running is not None and running.lease.epoch == epoch:
                running.cut()
        for lease in reply.leases:
            self._begin(lease)
        if reply.stop and reply.stop != self._stop:
            self._stop = reply.stop
            self._stop_all(reply.stop)

    def look(self) -> None:
        """Stop using shares and leases that were not renewed in time."""
        now = self._now()
        if now > self._sent_at + VALID_S:
            self._gate.set(0, self._gate.generation)
        if self._running and self._held.over(now):
            for running in self._running.values():
                running.cut()

    def _beat(self) -> Beat:
        now, gate, pacer = self._now(), self._gate, self._pacer
        passed = max(1e-6, now - self._last_at)
        started, tokens = pacer.started - self._last[0], pacer.tokens - self._last[1]
        beat = Beat(
            self._order.worker,
            self._host,
            os.getpid(),
            now,
            [_progress(each) for each in self._running.values()],
            list(self._reports.values()),
            self._stopped,
            not self._stop and self._is_hungry,
            gate.in_flight,
            max(gate.peak, gate.in_flight),
            gate.short,
            pacer.short or pacer.waiting > 0,
            started / passed,
            tokens / passed,
            gate.attempts,
            gate.refused,
            gate.pause_s(),
            gate.part.seen,
            self._notes,
            self._error,
            self._stop == "leave" or (bool(self._stop) and not self._running),
            max((each.process.waits_s for each in self._running.values() if each.process is not None), default=0.0),
            self._layers,
        )
        self._stopped, self._notes, gate.part.seen, self._layers = [], [], [], []
        gate.attempts = gate.refused = gate.peak = 0
        pacer.short = False
        self._last, self._last_at, self._sent_at = (pacer.started, pacer.tokens), now, now
        self._held.sent(now)
        return beat

    @property
    def _is_hungry(self) -> bool:
        """Whether another range can begin."""
        waiting = [running for running in self._running.values() if not running.given_out]
        return not waiting and len(self._running) < _RANGES

    # Ranges.

    def _begin(self, lease: Lease) -> None:
        running = self._running[lease.range.number] = _Running(lease)
        running.task = asyncio.create_task(self._process(running))

    async def _process(self, running: _Running) -> None:
        lease = running.lease
        number, epoch = lease.range.number, lease.epoch
        try:
            await asyncio.to_thread(self._parts.adopt, number, epoch)
            await asyncio.to_thread(self._parts.check_token, self._order.token, self._order.worker, self._host)
            send, alive, server = await self._server.opened()
            reader = await asyncio.to_thread(self._reader_of_input)
            part = Part(lease.range, send, alive, server, self._strategy_of_part(), reader)
            running.process = Process(self._settings_of(lease), tell=self._tell, part=part)
            watch = asyncio.create_task(self._watch(running))
            try:
                summary = await running.process.run()
            finally:
                watch.cancel()
                self._layers = summed([*self._layers, *counts_of(running.process.built)])
            if summary.complete:
                self._reports[number] = await asyncio.to_thread(self._report, lease, summary)
            else:
                counts = msgspec.convert(summary.counts, RowCounts)
                self._stopped.append(Stopped(number, epoch, str(summary.stopped), summary.text, counts))
        except asyncio.CancelledError:
            self._stopped.append(Stopped(number, epoch, "interrupted", "cancelled"))
        except UsageError as error:
            text = located(error, self._order.worker, self._host)
            self._stopped.append(Stopped(number, epoch, "usage", text))
        except OSError as error:
            self._stopped.append(Stopped(number, epoch, "disk", f"{error.filename or ''}: {error.strerror or error}"))
        except Exception as error:
            # Without a report the range would be leased again and again.
            where = f"worker {self._order.worker} on {self._host}, {lease.range.described}"
            self._stopped.append(Stopped(number, epoch, "worker", f"{where}: {unexpected(error)}"))
        finally:
            # A later lease of the range may have begun.
            if self._running.get(number) is running:
                del self._running[number]
            self._news.set()

    async def _watch(self, running: _Running) -> None:
        """Ask for more work as soon as every line was given out; notice in time that a lease is over."""
        asked = False
        while True:
            await asyncio.sleep(min(0.05, self._order.beat_s / 2))
            self.look()
            if running.given_out and not asked:
                asked = True
                self._news.set()

    def _tell(self, event: str, facts: dict[str, Any]) -> None:
        if event == "note":
            self._notes.append(facts["text"])
        elif event == "waiting":
            self._notes.append(f"waiting for the server: {facts['error']}" if facts["error"] else "waiting")

    def _reader_of_input(self) -> RowReader:
        """The reader of all ranges: it looks at the beginning of every input."""
        with self._making:
            if self._reader is None:
                wanted = self._settings
                columns = columns_of(wanted.columns)
                try:
                    for path in wanted.inputs:
                        os.stat(path)
                    self._reader = RowReader(wanted.input, columns, wanted.reading, wanted.more_inputs)
                except (OSError, UsageError) as error:
                    # The coordinator has read them.
                    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
                    raise UsageError(f"{text}, {seen_by(self._order.worker, self._host)}") from error
            return self._reader

    def _settings_of(self, lease: Lease) -> Any:
        number, epoch = lease.range.number, lease.epoch
        return dataclasses.replace(
            self._settings,
            output=str(self._parts.output(number, epoch)),
            dead_letter=str(self._parts.dead(number, epoch)),
            resume=True,
            overwrite=False,
            # Retries of two workers must not wait for the same times.
            seed=self._settings.seed + 1_000 * number + epoch,
        )

    def _strategy_of_part(self) -> Strategy:
        if not self._order.shared:
            return self._strategy
        patience = self._strategy.patience if isinstance(self._strategy, Priority) else 0
        return SharedStrategy(self._gate, self._order.paced, uses_priorities(self._strategy), patience)

    def _report(self, lease: Lease, summary: Summary) -> Report:
        """The synced rows, by the part's own journal. Raises UsageError if the input was changed meanwhile."""
        number, epoch = lease.range.number, lease.epoch
        last = journals.read(self._parts.journal_of(number, epoch)).checkpoint
        one, read = lease.range, last.read
        # Of one of several files the rows are counted, since their bytes are made from those of the file.
        same = (
            read.line - 1 == one.lines if one.file_line else (read.offset, read.crc) == (one.end - one.begin, one.crc)
        )
        if not (one.is_whole or same or BROKEN_FILE in summary.counts["dead"]):
            lines = f"lines {one.line} to {one.last_line}"
            raise UsageError(f"{self._settings.input_name}: {lines} have changed while they were processed")
        done = Finished(number, epoch, last.output_bytes, last.output_crc, last.dead_bytes, last.dead_crc)
        return Report(done, read, msgspec.convert(summary.counts, RowCounts))

    # The end.

    def _stop_all(self, how: str) -> None:
        for running in list(self._running.values()):
            if how == "drain" and running.process is not None:
                running.process.stop("interrupted", "interrupted")
            else:
                running.cut()
        self._news.set()

    async def close(self) -> None:
        """Stop at once, save the answers, and close the connection."""
        for running in list(self._running.values()):
            running.cut()
        tasks = [running.task for running in self._running.values() if running.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_CUT_S)
        await self._server.aclose()


def _progress(running: _Running) -> Progress:
    counts = running.process.counts if running.process is not None else RowCounts()
    given = running.process.given if running.process is not None else 0
    return Progress(running.lease.range.number, running.lease.epoch, given, counts)
