"""The coordinator: hands out ranges, keeps the journal, divides the limits, joins the parts. Knows no engine.

Rules of this file
  1. A lease and a finished range are in the journal, synced, before their worker hears of them.
  2. Parts are joined in a thread, one batch at a time; the input is cut in a thread, a few ranges ahead. A thread
     cannot be cancelled, so a join that has begun goes on to its end, and nothing is joined after one that has failed.
  3. The first mistake or disk error ends the run; the workers drain, and finished parts are joined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.base.clock import clock
from harness.bulk.ending import EarlyEnd
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.cutter import Cuts
from harness.bulk.fleet.deadly_ranges import DEATHS_MAX, DeadlyRanges
from harness.bulk.fleet.governor import Governor
from harness.bulk.fleet.joining import DamagedPartError, Joiner
from harness.bulk.fleet.lease_journal import CoordinatorJournal, Granted, History
from harness.bulk.fleet.members import Members
from harness.bulk.fleet.messages import Beat, Progress, Reply, Report, Stopped, unexpected
from harness.bulk.fleet.parts import Parts
from harness.bulk.leases import Lease, Leases
from harness.bulk.leases.range import Range
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError
from harness.client.figures import LayerCounts, summed

# Parts that are joined at once.
_BATCH = 16

Note = Callable[[str], None]


class RangeCoordinator:
    """The state of a run. `beat` for each message of a worker; `work` in the background."""

    def __init__(
        self,
        history: History,
        parts: Parts,
        journal: CoordinatorJournal,
        joiner: Joiner,
        cutter: Cuts,
        governor: Governor,
        leases: Leases,
        end: EarlyEnd,
        note: Note,
        keep_parts: bool = False,
    ) -> None:
        self.leases = leases
        self.members = Members()
        self.governor = governor
        self.joiner = joiner
        self.end = end
        self._keep_parts = keep_parts
        self._parts = parts
        self._journal = journal
        self._cutter = cutter
        self._note = note
        self._reports: dict[int, Report] = dict(history.reports)
        # The state of ranges that were begun and left.
        self._left: dict[int, Progress] = {}
        # Figures of layers of all workers, of ranges that have ended.
        self.layers: list[LayerCounts] = []
        self._deadly = DeadlyRanges()
        self._now = clock()
        self._wake = asyncio.Event()
        self._joining: asyncio.Task[None] | None = None
        self._join_failed = False
        self._stop = ""
        self.on_stop: Callable[[], None] = lambda: None
        self._noted: set[str] = set()

    # Messages of workers.

    def beat(self, beat: Beat) -> Reply:
        """Take a worker's news and answer. Raises OSError if the journal cannot be written."""
        now = self._now()
        self.members.heard(beat, now)
        if beat.layers:
            self.layers = summed([*self.layers, *beat.layers])
        for text in beat.notes:
            self._say(text)
        if beat.error is not None:
            self.fail("usage", beat.error)
        taken, dropped = self._take_reports(beat, now)
        for stopped in beat.stopped:
            self._take_stopped(beat.worker, stopped)
        for progress in beat.progress:
            if not self.leases.renew(beat.worker, progress.number, progress.epoch, now):
                dropped.append((progress.number, progress.epoch))
        leases = self._grant(beat.worker, now) if beat.hungry and not self._stop else []
        grant = self.governor.hear(beat, now)
        return Reply(
            leases,
            dropped,
            taken,
            grant.slots,
            grant.generation,
            grant.rate_per_s,
            grant.tokens_per_s,
            grant.pause_s,
            grant.others_accepted,
            self._stop or ("leave" if self.leases.all_done and not beat.progress else ""),
        )

    def _take_reports(self, beat: Beat, now: float) -> tuple[list[int], list[tuple[int, int]]]:
        taken, dropped = [], []
        for report in beat.reports:
            number = report.finished.number
            if self.leases.done(beat.worker, report.finished, now):
                if number not in self._reports:
                    self._journal.append(journals.DONE, report)
                    self._reports[number] = report
                    self._left.pop(number, None)
                    self._wake.set()
            else:
                dropped.append((number, report.finished.epoch))
            taken.append(number)
        return taken, dropped

    def _take_stopped(self, worker: str, stopped: Stopped) -> None:
        # When the lease has ended, the saved part counts for the worker that continues from a copy of it.
        end_lease = self.leases.set_aside if stopped.why == "input" else self.leases.give_back
        if not end_lease(worker, stopped.number, stopped.epoch):
            return
        self._leave(Progress(stopped.number, stopped.epoch, 0, stopped.counts))
        if stopped.why == "input":
            # The others go on; the run ends without this range.
            self.end.because("input", stopped.text)
        elif stopped.why != "interrupted":
            self.fail(stopped.why, stopped.text)

    def _grant(self, worker: str, now: float) -> list[Lease]:
        lease = self.leases.grant(worker, now)
        self._wake.set()
        if lease is None:
            return []
        number = lease.range.number
        before = self.members.newest(self._left).get(number)
        self.members.granted(worker, number, 0 if before is None else before.counts.settled)
        self._journal.append(journals.LEASE, Granted(number, lease.epoch, worker))
        return [lease]

    def _leave(self, last: Progress) -> None:
        """Nobody works on a range any more; a worker that had not begun it knows nothing of it."""
        if last.counts.sessions:
            self._left[last.number] = last

    def lost(self, worker: str, why: str) -> None:
        """A worker is known to be dead: others take its ranges."""
        progress = {each.number: each for each in self.members.progress_of(worker)}
        for lease in self.leases.lost(worker):
            number, done = lease.range.number, 0
            if number in progress:
                self._leave(progress[number])
                done = progress[number].counts.settled
            if self._deadly.add(number, done):
                text = f"{lease.range.described} ended {DEATHS_MAX} workers without one more line done: {why}"
                self.fail("worker", text)
        self.members.left(worker)
        self.governor.leave(worker)

    # Stops.

    def stop(self, how: str) -> None:
        """Stop all workers: "drain", or "cut" at once."""
        if self._stop != "cut":
            self._stop = how
        self.on_stop()

    def fail(self, why: str, text: str) -> None:
        """End the run early; the first reason is kept."""
        self.end.because(why, text)
        self.stop("drain")

    @property
    def stopping(self) -> bool:
        """Whether workers have to stop."""
        return bool(self._stop)

    # Work in the background.

    async def work(self) -> None:
        """Cut ranges ahead and join parts until all is joined, or until cancelled."""
        while not self.leases.complete and not (self.end and self.leases.all_done):
            try:
                await self._cut_ahead()
                joined = await self._join()
            except DamagedPartError as error:
                self.fail("worker", str(error))
                return
            except UsageError as error:
                self.fail("input", str(error))
                return
            except OSError as error:
                self.end.broken(error)
                self.stop("drain")
                return
            except Exception as error:
                # A run whose work has ended would wait for ever.
                self.fail("worker", unexpected(error))
                return
            if not joined:
                self._wake.clear()
                waiting = asyncio.create_task(self._wake.wait())
                await asyncio.wait({waiting}, timeout=0.2)
                waiting.cancel()

    async def _cut_ahead(self) -> None:
        while not self.leases.closed and not self._stop and self.leases.ahead < self.members.wanted_ahead:
            new = await asyncio.to_thread(self._cutter.next)
            if new is None:
                self._journal.append(journals.ALL_CUT, {})
                self.leases.closed = True
                return
            self._journal.write(journals.RANGE, new)
            self.leases.add(new)

    async def _join(self) -> bool:
        """Join the parts that are ready; False if there are none. If cancelled, the next call waits for that join."""
        if self._joining is None:
            ready = self._ready()
            if not ready:
                return False
            self._joining = asyncio.create_task(self._join_batch(ready))
        joining = self._joining
        try:
            await asyncio.shield(joining)
        finally:
            if joining.done():
                self._joining = None
        return True

    async def _join_batch(self, ready: list[tuple[Range, Report]]) -> None:
        try:
            state = await asyncio.to_thread(self.joiner.append, ready)
            self._journal.append(journals.JOINED, state)
        except BaseException:
            self._join_failed = True
            raise
        # At once, so that no part is joined or counted twice.
        self.joiner.state = state
        for one, _ in ready:
            self.leases.join()
            self._reports.pop(one.number, None)
        for one, report in ready:
            keep = report.finished.epoch if self._keep_parts else None
            await asyncio.to_thread(self._parts.remove, one.number, keep)

    async def join_ended(self) -> None:
        """Wait for the join that is in progress; its result is that of the next `join_rest`."""
        if self._joining is not None:
            await asyncio.wait({self._joining})

    def _ready(self) -> list[tuple[Range, Report]]:
        found: list[tuple[Range, Report]] = []
        if self._join_failed:
            return found
        for one, _, finished in self.leases.unjoined():
            if finished is None or len(found) == _BATCH:
                break
            found.append((one, self._reports[one.number]))
        return found

    def ended(self) -> None:
        """Every worker has ended, so a later session need not wait for any."""
        if not self.end.is_of_output:
            try:
                self._journal.append(journals.ENDED, {})
            except OSError as error:
                self.end.broken(error)

    async def join_rest(self) -> None:
        """After a stop: join the finished parts."""
        try:
            while not self.end.is_of_output and await self._join():
                pass
        except DamagedPartError as error:
            self.fail("worker", str(error))
        except OSError as error:
            self.end.broken(error)
        except Exception as error:
            # The run ends with its summary.
            self.fail("worker", unexpected(error))

    def lines_expected(self, size: int) -> float | None:
        """Lines of the input: counted once all is cut, before that estimated."""
        return self._cutter.lines_expected(size)

    @property
    def is_counted(self) -> bool:
        """Whether the lines of all ranges were counted when they were cut."""
        return not any(one.is_whole for one, _, _ in self.leases.unjoined())

    @property
    def counts(self) -> list[RowCounts]:
        """Counts of done rows: joined, in finished parts, and in those that were begun."""
        finished = [report.counts for report in self._reports.values()]
        open_ranges = self.members.newest(self._left).items()
        begun = [each.counts for number, each in open_ranges if not self._is_finished(number)]
        return [self.joiner.state.counts, *finished, *begun]

    def _is_finished(self, number: int) -> bool:
        return number in self._reports or number < self.leases.joined

    def count_saved(self, begun: dict[int, RowCounts]) -> None:
        """No worker is at work; this is what the journals of the unfinished ranges hold."""
        self.members.all.clear()
        epochs = {one.number: epoch for one, epoch, _ in self.leases.unjoined()}
        self._left = {number: Progress(number, epochs.get(number, 0), 0, counts) for number, counts in begun.items()}

    def _say(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)
