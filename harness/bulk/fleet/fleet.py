"""A session of a run with several workers, beside `Process` for one: the same events, the same summary.

Rules of this file
  1. One task attends to each worker (`attending`). A worker that is lost is replaced, after a pause that grows.
  2. However the session ends, finished ranges are joined, and `resume` continues with the others.
"""

from __future__ import annotations

import asyncio
import os

import msgspec

from harness.base.clock import clock
from harness.bulk import journal as single
from harness.bulk.ending import EarlyEnd, Summary, layer_figures, summary
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.attending import attend
from harness.bulk.fleet.cutter import Cuts, cutter_of
from harness.bulk.fleet.engines.worker_engine import WorkerEngine
from harness.bulk.fleet.files_cutter import FilesCutter
from harness.bulk.fleet.fleet_reporting import Reporter
from harness.bulk.fleet.fleet_settings import FleetSettings
from harness.bulk.fleet.fleet_status import begun_counts
from harness.bulk.fleet.governor import Governor, limit_of
from harness.bulk.fleet.joining import Joiner, total
from harness.bulk.fleet.lease_journal import CoordinatorJournal, History
from harness.bulk.fleet.mending import mend
from harness.bulk.fleet.messages import WorkerOrder, unexpected
from harness.bulk.fleet.opening import Opening
from harness.bulk.fleet.parts import Parts, make_folder_of
from harness.bulk.fleet.range_coordinator import RangeCoordinator
from harness.bulk.fleet.starts import Starts
from harness.bulk.leases import Leases
from harness.bulk.results import Tell
from harness.bulk.settings import ProcessSettings
from harness.bulk.table_output import with_lines
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError
from harness.client.figures import LayerCounts
from harness.client.gate.memory import LimitMemory
from harness.client.limits.fixed import Fixed
from harness.client.types import Limit
from harness.plugins import make

TTL_S = 15.0


class Fleet:
    """One session. `await run()`; `stop()` and `cut()` may be called meanwhile, from the same loop."""

    def __init__(
        self, settings: ProcessSettings, fleet: FleetSettings, engine: WorkerEngine, tell: Tell | None = None
    ) -> None:
        self.settings, self._table = with_lines(settings)
        if self._table is not None and fleet.keep_parts:
            raise UsageError(f"--keep-parts: a table is one file; give --output {settings.output} without it")
        self._fleet = fleet
        self._workers = fleet.workers or 1
        self._engine = engine
        self._tell = tell or (lambda event, facts: None)
        self._end = EarlyEnd(self.settings.output)
        self._coordinator: RangeCoordinator | None = None
        self._before = RowCounts()
        self._began = 0.0
        self._attending: list[asyncio.Task[None]] = []
        remember = settings.layers.remember
        self._memory = None if remember is None else LimitMemory(remember)

    # Commands.

    def stop(self, why: str = "interrupted", text: str = "interrupted") -> None:
        """Stop sending; in-flight requests may take `drain_s`. The first reason is kept."""
        self._end.because(why, text)
        if self._coordinator is not None and not self._coordinator.stopping:
            self._coordinator.stop("drain")
            in_flight = self._coordinator.governor.in_flight
            self._tell("stopping", {"why": why, "text": text, "in_flight": in_flight})

    def cut(self) -> None:
        """Stop at once; in-flight requests remain to be done."""
        if self._coordinator is not None:
            self._coordinator.stop("cut")
        for task in self._attending:
            task.cancel()

    # The run.

    async def run(self) -> Summary:
        """Process the remaining lines. Raises UsageError only before any file is changed."""
        if self._table is None:
            return await self._run()
        return await self._table.around(self._run, self.settings, self._tell)

    async def _run(self) -> Summary:
        opening = Opening(self.settings, self._fleet, None if self._table is None else self._table.path)
        history = await asyncio.to_thread(opening.history)
        if history is None:
            self._before = opening.complete_counts()
            return self._summary(self._before, [], nothing_to_do=True)
        limit = limit_of(make("strategy", opening.strategy), self._memory, opening.server)
        self._check_memory(limit)
        governor = Governor(limit, *opening.rates)
        joiner = Joiner(self.settings.output, self.settings.dead_letter_path, opening.parts, self._fleet.keep_parts)
        if self._engine.workers_end_with_us and self.settings.target is not None:
            await asyncio.to_thread(opening.check_server, self.settings.target)
        await self._open_engine()
        try:
            journal = await self._begun(opening, history, joiner)
            try:
                joiner.cut()
                leases = self._restored(history)
                cutter = self._cutter(opening, history)
                self._coordinator = RangeCoordinator(
                    history,
                    opening.parts,
                    journal,
                    joiner,
                    cutter,
                    governor,
                    leases,
                    self._end,
                    self._note,
                    self._fleet.keep_parts,
                )
                if self._end:
                    # It was stopped before there was a coordinator.
                    self._coordinator.stop("drain")
                return await self._session(opening, history, self._coordinator)
            finally:
                journal.close()
        finally:
            joiner.close()
            await self._engine.close()
            opening.source.close()

    async def _open_engine(self) -> None:
        if self._fleet.keep_parts:
            make_folder_of(self.settings.output)
        if self._engine.opening:
            self._note(self._engine.opening)
        await self._engine.open(self._workers)

    async def _begun(self, opening: Opening, history: History, joiner: Joiner) -> CoordinatorJournal:
        """Take the files, and begin the journal. A mistake leaves no file that was not there."""
        await asyncio.to_thread(joiner.claim, history.joined)
        try:
            opening.check_unchanged()
            for text in await asyncio.to_thread(mend, history, opening.parts):
                self._note(text)
            return opening.begin(history)
        except UsageError:
            joiner.undo()
            raise

    def _check_memory(self, limit: Limit | None) -> None:
        """Raise UsageError if there is nothing to remember: no limit that learns is common to all workers."""
        if self._memory is not None and (limit is None or isinstance(limit, Fixed)):
            raise UsageError(
                f"--remember {self.settings.layers.remember}: with --workers it needs a strategy with one limit that "
                "learns from all workers, such as -s adaptive"
            )

    def _note(self, text: str) -> None:
        self._tell("note", {"text": text})

    def _restored(self, history: History) -> Leases:
        leases = Leases(TTL_S)
        leases.skip_to(history.joined.number)
        gone = self._engine.workers_end_with_us or history.ended
        alive_until = float("-inf") if gone else clock()() + TTL_S
        for number in sorted(history.ranges):
            leases.add(history.ranges[number])
        for granted in history.epochs.values():
            leases.restore(granted.number, granted.epoch, alive_until)
        for report in history.reports.values():
            leases.restore_done(report.finished)
        leases.closed = history.closed
        return leases

    def _cutter(self, opening: Opening, history: History) -> Cuts:
        last = history.ranges[max(history.ranges)] if history.ranges else history.joined.last
        reader = opening.reader
        if reader.files:
            return FilesCutter(reader.files, reader.settings, history.head.range_lines, last)
        lines = history.head.range_lines
        return cutter_of(self.settings.input, reader, opening.source.can_be_cut, lines, last)

    async def _session(self, opening: Opening, history: History, coordinator: RangeCoordinator) -> Summary:
        self._began = clock()()
        coordinator.count_saved(await asyncio.to_thread(begun_counts, history, opening.parts))
        before = self._before = total(coordinator.counts)
        starts = Starts(coordinator, self._engine.starts_at_once)
        coordinator.members.expected = min(self._workers, self._engine.starts_at_once)
        coordinator.on_stop = starts.cancel
        reader = opening.reader
        one_range = not (reader.files or len(reader.groups) > 1 or opening.source.can_be_cut)
        if one_range and self._workers > 1:
            text = "it cannot be cut, so one worker processes it; several files are shared among the workers"
            self._note(f"{self.settings.input}: {text}")
        self._tell("begin", {"resumed": before.settled, "resumable": True})
        reporter = Reporter(opening, coordinator, lambda: self._counts(coordinator), self._tell)
        status = asyncio.create_task(reporter.report())
        work = asyncio.create_task(coordinator.work())
        order = self._order(opening, history, coordinator.governor)
        self._attending = [
            asyncio.create_task(self._attend(coordinator, starts, msgspec.structs.replace(order, worker=f"w{number}")))
            for number in range(1, self._workers + 1)
        ]
        try:
            await asyncio.gather(*self._attending, return_exceptions=True)
            if not self._end and coordinator.leases.all_done:
                await work
        finally:
            for task in (work, status, *self._attending):
                task.cancel()
            await asyncio.gather(work, status, *self._attending, return_exceptions=True)
            await coordinator.join_ended()
        coordinator.ended()
        await coordinator.join_rest()
        if self._end:
            history = await asyncio.to_thread(journals.read, opening.parts.journal)
            begun = await asyncio.to_thread(begun_counts, history, opening.parts)
            coordinator.count_saved(begun)
            await asyncio.to_thread(self._show_broken, history, opening.parts, coordinator.joiner, begun)
        await reporter.write_end()
        return self._finished(opening, coordinator)

    def _show_broken(self, history: History, parts: Parts, joiner: Joiner, begun: dict[int, RowCounts]) -> None:
        """The answers of an input that breaks off are in the output: it may never be whole."""
        number = history.joined.number
        if self._end.reason is None or self._end.reason[0] != "input" or number not in begun or self._fleet.keep_parts:
            return
        epoch = parts.newest_epoch(number, history.epochs[number].epoch)
        past = single.read(parts.journal_of(number, epoch))
        # Else its worker was killed, and the part lacks lines.
        if not past.records:
            joiner.show(number, epoch, past.checkpoint, begun[number])

    def _order(self, opening: Opening, history: History, governor: Governor) -> WorkerOrder:
        rate, tokens = opening.rates
        return WorkerOrder(
            "",
            opening.settings_of_workers(),
            os.getcwd(),
            history.head.token,
            TTL_S,
            self._engine.beat_s,
            governor.limit is not None,
            governor.learns,
            governor.uses_work,
            tokens is not None or rate is not None,
        )

    async def _attend(self, coordinator: RangeCoordinator, starts: Starts, order: WorkerOrder) -> None:
        try:
            await attend(self._engine, coordinator, starts, order, self._note)
        except OSError as error:
            self._end.broken(error)
            coordinator.stop("drain")
        except Exception as error:
            # The ranges of this worker would be waited for without end.
            coordinator.fail("worker", f"{order.worker}: {unexpected(error)}")

    def _finished(self, opening: Opening, coordinator: RangeCoordinator) -> Summary:
        counts = self._counts(coordinator)
        if coordinator.leases.complete and self._end.is_wish:
            # It came when nothing was left to do.
            self._end = EarlyEnd(self.settings.output)
        if coordinator.leases.complete and not self._end:
            try:
                opening.finish(coordinator.joiner.state, counts)
            except OSError as error:
                self._end.broken(error)
        elif not self._end:
            self._end.because("worker", "the workers ended before the input did")
        if self._end.reason is not None and self._end.reason[0] == "usage":
            if not counts.settled:
                coordinator.joiner.undo()
                opening.parts.remove_all()
            raise UsageError(self._end.reason[1])
        # A list of parts is no file of answers.
        joined = None if self._fleet.keep_parts else coordinator.joiner.counts
        return self._summary(counts, coordinator.layers, joined, empty=opening.source.empty)

    def _counts(self, coordinator: RangeCoordinator) -> RowCounts:
        counts = total(coordinator.counts)
        counts.sessions = self._before.sessions + 1
        counts.active_s = self._before.active_s + (clock()() - self._began)
        return counts

    def _summary(
        self, counts: RowCounts, layers: list[LayerCounts], joined: RowCounts | None = None, **more: bool
    ) -> Summary:
        return summary(
            self._end.reason,
            counts,
            self._before,
            self.settings.errors_max,
            layers=layer_figures(layers, self._memory),
            joined=joined,
            resumable=True,
            **more,
        )
