"""Processes a file of items into a file of answers with the usual strategies and layers, without losing results.

Rules of this file
  1. A result is saved (journal, output or dead-letter file) before another call takes its place in flight.
  2. However the run ends, its results are kept, and the same settings with `resume` continue from there.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, nullcontext
from typing import Any

from harness.base import units
from harness.base.clock import clock
from harness.bulk import resume, splitting, tally
from harness.bulk.ending import EarlyEnd, Summary, layer_figures, summary
from harness.bulk.entrance import entrance
from harness.bulk.fleet.parts import check_none
from harness.bulk.intake import Intake
from harness.bulk.part import Part
from harness.bulk.preparing import connection, prepared
from harness.bulk.reporting import reporting
from harness.bulk.results import Results, Tell
from harness.bulk.row_items import Ticket
from harness.bulk.saving import Store
from harness.bulk.server_watch import Alive, ServerWatch
from harness.bulk.settings import ProcessSettings
from harness.bulk.source import InputSource
from harness.bulk.tally import ExchangeMeter, RowCounts
from harness.client import stack
from harness.client.errors import UsageError
from harness.client.figures import counts_of
from harness.client.gate.memory import LimitMemory, recalling
from harness.client.protocols import endpoint_of
from harness.client.redaction import one_line, shown
from harness.client.stack import compose
from harness.client.types import Send


class Process:
    """One session of a run. `await run()`; `stop()` and `cut()` may be called meanwhile, from the same loop."""

    def __init__(
        self,
        settings: ProcessSettings,
        send: Send | None = None,
        alive: Alive | None = None,
        tell: Tell | None = None,
        part: Part | None = None,
    ) -> None:
        self._made = prepared(settings, part)
        self.settings = settings = self._made.settings
        self._rows = self._made.rows
        self.counts = RowCounts()
        self._send = send
        self._alive = alive
        self._tell = tell or (lambda event, facts: None)
        self._part = part
        ordered = settings.order == "input"
        self._server = ServerWatch(settings.patience_s, alive, self._tickets, self._waiting, self._gone)
        self._store = Store(settings.output, settings.dead_letter_path, ordered, self._counted, lambda: self.waits_s)
        self._closing = AsyncExitStack()
        self.built: stack.Built = []
        remember = settings.layers.remember
        self._memory = None if remember is None else LimitMemory(remember)
        self._intake: Intake | None = None
        self._meter: ExchangeMeter | None = None
        self._work: asyncio.Task[None] | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._end = EarlyEnd(settings.output)
        self._began = 0.0
        self._before = RowCounts()
        self._server_name = ""
        # The input file is empty, such as the dead-letter file of a run without dead letters.
        self._empty = False

    def stop(self, why: str = "interrupted", text: str = "interrupted") -> None:
        """Stop sending; in-flight requests may take `drain_s`. The first reason is kept."""
        if self._end:
            return
        self._end.because(why, text)
        if self._beginning is not None:
            self._beginning.cancel()
        if self._intake is not None:
            self._intake.stop()
        asyncio.get_running_loop().call_later(self.settings.drain_s, self.cut)
        self._tell("stopping", {"why": why, "text": text, "in_flight": self.in_flight})

    def cut(self) -> None:
        """Stop at once; in-flight requests remain to be done."""
        if self._work is not None:
            self._work.cancel()

    @property
    def in_flight(self) -> int:
        """Number of exchanges in flight."""
        return self._meter.in_flight if self._meter else 0

    @property
    def waits_s(self) -> float:
        """Seconds for which the server has taken no connection; 0 if it is not down."""
        return self._server.waits_s

    @property
    def given(self) -> int:
        """Number of the last line that was given out; 0 before the first one."""
        return self._intake.given if self._intake else 0

    @property
    def read_all(self) -> bool:
        """Whether every line was given out."""
        return self._intake.read_all if self._intake else False

    async def run(self) -> Summary:
        """Process the remaining lines. Raises UsageError only before any file is changed."""
        table = self._made.table
        if table is None:
            return await self._run()
        return await table.around(self._run, self.settings, self._tell)

    async def _run(self) -> Summary:
        part = self._part.range if self._part is not None else None
        if part is None:
            check_none(self.settings.output)
        source = InputSource(self.settings.input_name, self._made.reader, part)
        self._empty = source.empty
        try:
            if source.waits and not await self._has_begun(source):
                return self._summary()
            ours = resume.fingerprint(self.settings, source, self._rows)
            past = self._store.past() if self.settings.resume else None
            if past is not None:
                await asyncio.to_thread(resume.check, past, ours, self.settings, source)
                self.counts, self._before = resume.counts_of(past), resume.counts_of(past)
                if note := resume.note_of_change(past, source):
                    self._tell("note", {"text": note})
                if resume.is_complete(past, ours):
                    await asyncio.to_thread(self._store.check, past.checkpoint)
                    return self._summary(nothing_to_do=True)
            async with self._connected() as (transport, alive, self._server_name):
                try:
                    if past is None:
                        self._store.start(ours, self.settings.overwrite)
                    else:
                        self._store.resume(past, ours)
                    return await self._session(source, transport, alive)
                finally:
                    self._store.close()
        finally:
            source.close()

    async def _has_begun(self, source: InputSource) -> bool:
        """Wait for the beginning of a pipe, which may be refused, before any file is made. False for an early end."""
        if self._end:
            return False
        self._beginning = asyncio.create_task(source.begin())
        try:
            await self._beginning
        except asyncio.CancelledError:
            if not self._end:
                raise
        finally:
            self._beginning = None
        return not self._end

    def _connected(self) -> AbstractAsyncContextManager[tuple[Send, Alive | None, str]]:
        if self._send is not None:
            return nullcontext((self._send, self._alive, self.settings.target or ""))
        return connection(self._made, self._part)

    async def _session(self, source: InputSource, transport: Send, alive: Alive | None) -> Summary:
        self._began = clock()()
        self.counts.sessions += 1
        server = self._server
        server.alive = alive
        self._meter = ExchangeMeter(server.watched(transport), self.counts, endpoint_of(transport))
        results = Results(self.settings, self._rows, self._store, self.counts, server, self._tell, self.stop)
        self._intake = intake = Intake(
            source,
            self._rows,
            self._store,
            window=self.settings.window,
            ordered=self.settings.order == "input",
            probe=server.probe,
            on_bad=results.bad,
            on_blank=results.blank,
            on_left_out=results.left_out,
        )
        if self._end:
            intake.stop()
        self._tell("begin", {"resumed": self._before.settled, "resumable": self._store.resumable})
        keeper = asyncio.create_task(self._keep(source))
        self._work = asyncio.create_task(self._through(intake, self._meter, results))
        try:
            await self._to_the_end(intake, self._work)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self._store.at_rest()
            await server.close()
            await intake.close()
            await self._closing.aclose()
        for note in self._rows.notes:
            self._tell("note", {"text": note})
        self._finish()
        caller = asyncio.current_task()
        # The caller was cancelled, not this run: results are kept.
        if caller is not None and caller.cancelling():
            raise asyncio.CancelledError
        return self._summary()

    async def _to_the_end(self, intake: Intake, work: asyncio.Task[None]) -> None:
        """Wait for the work, and keep the reason of an early end."""
        try:
            await work
            if self._end.is_wish and intake.read_all and not intake.out:
                # It came when nothing was left to do.
                self._end = EarlyEnd(self.settings.output)
            # The strategy lost items, so the run is not complete.
            if intake.out:
                self._end.because("strategy", f"{self.settings.strategy} gave no result for {len(intake.out)} lines")
        except asyncio.CancelledError:
            self._end.because("interrupted", "cancelled")
        except OSError as error:
            self._end.broken(error)
        except UsageError as error:
            self._end.because("input", f"{self.settings.input_name}: {error}")

    def _finish(self) -> None:
        """Write the last checkpoint, unless a disk error ended the run."""
        if self._end.is_of_output:
            return
        try:
            self._store.finish(complete=not self._end)
        except OSError as error:
            self._end = EarlyEnd(self.settings.output)
            self._end.broken(error)

    async def _through(self, intake: Intake, send: ExchangeMeter, results: Results) -> None:
        """Run the strategy over all items, and again over items to be sent again."""
        with recalling(self._memory):
            while True:
                async with aclosing(self._made.strategy.stream(intake, send, self._layers)) as stream:
                    async for result in stream:
                        send.unkept = 0
                        results.settle(intake, splitting.unwrapped(result))
                if not intake.again or self._end:
                    return

    def _layers(self, send: Send) -> Send:
        inner = compose(send, self._made.layers, self.settings.seed, self._closing, self._server_name, self.built)
        assert self._meter is not None  # noqa: S101 - it is what `send` stands on
        return splitting.Split(entrance(inner, self._server, self._end, self._meter, self.counts))

    # Outages of the server.

    def _tickets(self) -> Iterable[Ticket]:
        return self._intake.out.values() if self._intake else ()

    def _waiting(self) -> None:
        self._tell("waiting", {"ok": self.counts.ok, "error": self._server.error})

    def _gone(self, seconds: float) -> None:
        text = f"the server at {shown(self.settings.target or '')} has not answered for {units.seconds(seconds)}"
        self.stop("server", f"{text}: {one_line(self._server.error)}" if self._server.error else text)
        # Requests that wait for a slot would wait for the drain; none of them can be answered.
        self.cut()

    # Checkpoints and status.

    async def _keep(self, source: InputSource) -> None:
        """Write checkpoints and report the status; a disk error ends the run."""

        def facts() -> dict[str, Any]:
            lines = {"lines": source.lines_expected(), "lines_exact": self.read_all}
            return {"counts": self.counts, "in_flight": self.in_flight, **lines}

        try:
            async with reporting(self._tell, facts):
                await self._store.keep()
        except OSError as error:
            self._end.broken(error)
            self.cut()

    def _counts_now(self) -> RowCounts:
        now = copy.copy(self.counts)
        now.active_s += clock()() - self._began if self._began else 0.0
        return now

    def _counted(self, pending: int) -> dict[str, Any]:
        """Counts for a checkpoint, without pending results: their records are counted on resume."""
        now = self._counts_now()
        now.ok -= pending
        return tally.as_builtins(now)

    def _summary(self, nothing_to_do: bool = False) -> Summary:
        return summary(
            self._end.reason,
            self._counts_now(),
            self._before,
            self.settings.errors_max,
            empty=self._empty,
            layers=layer_figures(counts_of(self.built), self._memory),
            resumable=self._store.resumable,
            nothing_to_do=nothing_to_do,
        )


async def process(
    settings: ProcessSettings, *, send: Send | None = None, alive: Alive | None = None, tell: Tell | None = None
) -> Summary:
    """Work through `settings.input` and return how it ended; `send` stands in for the HTTP transport where given."""
    return await Process(settings, send, alive, tell).run()
