"""Opens a run with workers: checks files of an earlier run, and makes those of the coordinator."""

from __future__ import annotations

import dataclasses
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk import journal as single
from harness.bulk import paths, resume
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.cutter import lines_of_range
from harness.bulk.fleet.fleet_settings import FleetSettings
from harness.bulk.fleet.lease_journal import CoordinatorJournal, Head, History, Joined
from harness.bulk.fleet.parts import RUN_FILE, Parts
from harness.bulk.journal import Checkpoint, Past
from harness.bulk.leases.range import Range
from harness.bulk.output_forms import rows_for
from harness.bulk.saving import Store
from harness.bulk.settings import ProcessSettings
from harness.bulk.sinks import Unchanged
from harness.bulk.source import InputSource
from harness.bulk.tally import RowCounts
from harness.client import stack
from harness.client.errors import UsageError
from harness.client.transport.origin import origin_of
from harness.client.transport.server import check_answers, check_url
from harness.load.mapped_fields import columns_of
from harness.load.rows import RowReader


class Opening:
    """Checks a run before it changes anything. Every method raises UsageError for a mistake."""

    def __init__(self, settings: ProcessSettings, fleet: FleetSettings, table: str | None = None) -> None:
        self.settings = settings
        self._fleet = fleet
        self.parts = Parts(settings.output)
        self._check_files()
        strategy, own_layers = stack.split(settings.strategy)
        self.layers = settings.layers.around(stack.parse(own_layers))
        self.strategy = strategy
        others = [("the journal", str(self.parts.journal))]
        paths.check_apart(settings, self.layers.named, [*others, *([] if table is None else [("the table", table)])])
        columns = columns_of(settings.columns)
        self.reader = RowReader(settings.input, columns, settings.reading, settings.more_inputs)
        self.source = InputSource(settings.input_name, self.reader)
        # Rows are made by the workers; here they tell mistakes and the fingerprint.
        rows = rows_for(settings, self.reader, priorities=False)
        self.fingerprint = resume.fingerprint(settings, self.source, rows)
        if fleet.keep_parts:
            # Such an output cannot be continued as one with answers.
            self.fingerprint["order"] = "parts"

    def _check_files(self) -> None:
        settings = self.settings
        inputs = [("INPUT", path) for path in settings.inputs]
        for what, path in [*inputs, ("--output", settings.output)]:
            if path == "-" or (os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))):
                raise UsageError(f"{what} {path}: is a pipe; with --workers it must be a file, which all workers see")
        if settings.dead_letter_path == "-":
            raise UsageError("--dead-letter -: with --workers it must be a file")

    def check_server(self, target: str) -> None:
        """Check that the server answers, as far as this machine can see it."""
        to = self.settings.connection.access(target)
        check_answers(check_url(to.url), to)

    @property
    def server(self) -> str:
        """The server under the name that the transport has for it; empty without one."""
        target = self.settings.target
        return origin_of(self.settings.connection.access(target).url).name if target is not None else ""

    def history(self) -> History | None:
        """Where this run begins; None if nothing is left to do. Once the files are ours, see `check_unchanged`."""
        self._unchanged = Unchanged(self.parts.journal, Path(self.settings.output + ".journal"))
        if self.parts.journal.exists() and not self.settings.overwrite:
            return self._continued(journals.read(self.parts.journal))
        lone = Path(self.settings.output + ".journal")
        if self.settings.resume and lone.exists():
            return self._after_one_process(single.read(lone))
        if not self.settings.overwrite:
            self._check_nothing_there(lone)
        return self._new()

    def check_unchanged(self) -> None:
        """Raise UsageError if another run has gone on since `history`."""
        self._unchanged.check(self.settings.output)

    def complete_counts(self) -> RowCounts:
        """The counts of a run that is complete."""
        return resume.counts_of(single.read(Path(self.settings.output + ".journal")))

    def _new(self, joined: Joined | None = None) -> History:
        workers = self._fleet.workers or 1
        paths = [str(file.path) for file in self.reader.files] or [self.settings.input]
        lines = self._fleet.range_lines or lines_of_range(paths, workers)
        settings = self.settings
        head = Head(
            self.fingerprint,
            secrets.token_hex(16),
            lines,
            settings.input_name,
            os.path.abspath(settings.output),
            os.path.abspath(settings.dead_letter_path),
        )
        return History(head, joined or Joined())

    def _continued(self, history: History) -> History:
        if not self.settings.resume:
            raise UsageError(
                f"{self.settings.output}: a run with workers has begun it; --resume continues it, "
                "--overwrite starts over"
            )
        resume.check_dead_letters(history.head.dead_letter or None, history.joined.dead_bytes, self.settings)
        self._check_same(history.head.fingerprint)
        grown = self.fingerprint["input"] != history.head.fingerprint["input"]
        # New lines are cut, and the token is this session's.
        fresh = {"token": secrets.token_hex(16), "dead_letter": os.path.abspath(self.settings.dead_letter_path)}
        head = msgspec.structs.replace(history.head, fingerprint=self.fingerprint, **fresh)
        history.head, history.closed = head, history.closed and not grown
        return history

    def _check_same(self, theirs: dict[str, Any]) -> None:
        past = Past(theirs, Checkpoint(), [])
        resume.check(past, self.fingerprint, self.settings, self.source)

    def _after_one_process(self, past: Past) -> History | None:
        last = past.checkpoint
        resume.check_dead_letters(past.fingerprint.get(resume.DEAD_LETTERS), last.dead_bytes, self.settings)
        self._check_same(past.fingerprint)
        if resume.is_complete(past, self.fingerprint):
            store = Store(self.settings.output, self.settings.dead_letter_path, True, lambda pending: {})
            store.check(last)
            return None
        if not last.complete or past.records or not self.source.can_be_cut:
            raise UsageError(
                f"{self.settings.output}: was begun without --workers; finish it without, or --overwrite starts over"
            )
        joined = Joined(
            0, last.output_bytes, last.output_crc, last.dead_bytes, last.dead_crc, last.mark, resume.counts_of(past)
        )
        # As if one range had been joined that holds all lines so far.
        begun = Range(-1, 0, last.mark.offset, 1, last.mark.line - 1, total_crc=last.mark.crc)
        return self._new(msgspec.structs.replace(joined, last=begun))

    def _check_nothing_there(self, lone: Path) -> None:
        for path in (self.settings.output, self.settings.dead_letter_path):
            if os.path.exists(path) and os.path.getsize(path):
                hint = "--resume continues it, " if lone.exists() else ""
                raise UsageError(f"{path}: exists already; {hint}--overwrite starts over")

    def begin(self, history: History) -> CoordinatorJournal:
        """Make the folder of the parts and the journal. Raises UsageError if that cannot be."""
        try:
            if self.settings.overwrite:
                self.parts.remove_all()
                with suppress(FileNotFoundError):
                    os.unlink(self.settings.output + ".journal")
            self.parts.folder.mkdir(exist_ok=True)
            (self.parts.folder / RUN_FILE).write_text(history.head.token, encoding="utf-8")
            journal = CoordinatorJournal(self.parts.journal)
            journal.create(history)
        except OSError as error:
            raise UsageError(f"{error.filename or self.parts.folder}: {error.strerror or error}") from error
        return journal

    def finish(self, joined: Joined, counts: RowCounts) -> None:
        """All is joined: leave the journal of a complete run, as a run in one process does. Raises OSError."""
        end = Checkpoint(
            next=joined.mark.line,
            output_bytes=joined.output_bytes,
            output_crc=joined.output_crc,
            dead_bytes=joined.dead_bytes,
            dead_crc=joined.dead_crc,
            mark=joined.mark,
            read=joined.mark,
            counts=msgspec.to_builtins(counts),
            complete=True,
        )
        journal = single.Journal(Path(self.settings.output + ".journal"), self.fingerprint)
        journal.create(end)
        journal.close()
        if self._fleet.keep_parts:
            self.parts.leave_parts()
        else:
            self.parts.remove_all()

    def settings_of_workers(self) -> ProcessSettings:
        """Settings of each worker: common limits are the coordinator's."""
        named = {name: values for name, values in self.layers.named.items() if name != "rate-limit"}
        layers = dataclasses.replace(self.layers, named=named, rate_limit_per_s=None, remember=None)
        return dataclasses.replace(self.settings, strategy=self.strategy, layers=layers)

    @property
    def rates(self) -> tuple[float | None, float | None]:
        """Requests and tokens per second of all workers."""
        limits = self.layers.all().get("rate-limit", {})
        return limits.get("rate_per_s"), limits.get("tokens_per_s")
