"""Saves results so that they survive a kill at any moment: journal first, then output or dead-letter file.

Rules of this file
  1. Each line of the input is settled once: by an output line, a dead-letter line, or nothing (a blank line).
  2. In input order a result waits in `pending` until all lines before it are settled; the journal has it meanwhile.
  3. Files are cut only after the journal is written, so that a run killed while it starts can be resumed. An empty
     output without a journal is left by such a start and is ignored.
  4. An output that is no regular file (a pipe, a device) cannot be cut back, so such a run has no journal.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk import journal as journals
from harness.bulk.journal import DEAD, RESULT, Checkpoint, Journal, Mark, Past
from harness.bulk.settled import Done
from harness.bulk.sinks import Sink, Unchanged
from harness.client.errors import UsageError

# Seconds between checkpoints; each ends a member or frame of a packed file.
PLAIN_SYNC_S, PACKED_SYNC_S = 1.0, 5.0
# Bytes of results between checkpoints: they are held in memory.
CHECKPOINT_BYTES = 8 * 1024 * 1024
# Seconds until a line is in the file, so that its growth can be watched.
_FLUSH_S = 0.2


class Store:
    """Output, dead-letter file and journal of one run."""

    def __init__(
        self,
        output: str,
        dead_letter: str,
        ordered: bool,
        counts: Callable[[int], dict[str, Any]],
        # Seconds for which the server has taken no connection.
        waits_s: Callable[[], float] = float,
    ) -> None:
        self.output = Sink(output)
        self.dead_letter = Sink(dead_letter)
        self.done = Done()
        self.marks: deque[Mark] = deque([Mark()])
        self.pending_bytes = 0
        # No line of the input from here on was given out.
        self._read = Mark()
        self._counts = counts
        self._waits_s = waits_s
        self._host = socket.gethostname()
        self._ordered = ordered
        # Records that wait for earlier lines.
        self._pending: dict[int, bytes] = {}
        # Records since the last checkpoint.
        self._open: dict[int, bytes] = {}
        self._open_bytes = 0
        self._journal: Journal | None = None
        self._last: Checkpoint | None = None
        self._running: asyncio.Task[None] | None = None
        # The journal as it was read; it is ours only later.
        self._unchanged: Unchanged | None = None

    @property
    def journal_path(self) -> Path:
        """Path of the journal, beside the output."""
        return Path(self.output.path + ".journal")

    @property
    def resumable(self) -> bool:
        """Whether a journal keeps the results."""
        return self.output.regular

    def past(self) -> Past | None:
        """Contents of the journal, if there is one; raises UsageError if only one of output and journal exists."""
        if not self.resumable:
            raise UsageError(f"--resume: {self.output.path} is no regular file, so an earlier run cannot be resumed")
        if not self.journal_path.exists():
            if _holds_something(self.output.path):
                raise UsageError(
                    f"{self.output.path}: exists, but its journal {self.journal_path} is missing; "
                    "--overwrite starts over"
                )
            return None
        self._unchanged = Unchanged(self.journal_path)
        past = journals.read(self.journal_path)
        if not Path(self.output.path).exists() and past.checkpoint.output_bytes:
            raise UsageError(
                f"{self.output.path}: is missing, but its journal {self.journal_path} exists; --overwrite starts over"
            )
        return past

    def start(self, fingerprint: dict[str, Any], overwrite: bool) -> None:
        """Begin with empty files; raises UsageError if one exists already."""
        if not overwrite:
            self._check_nothing_there()
        self._open_files(Checkpoint(), fingerprint, [])

    def _check_nothing_there(self) -> None:
        begun = self.resumable and self.journal_path.exists()
        for sink in (self.output, self.dead_letter):
            if sink.regular and (_holds_something(sink.path) or (begun and Path(sink.path).exists())):
                hint = "--resume continues it, " if begun else ""
                raise UsageError(f"{sink.path}: exists already; {hint}--overwrite starts over")
        if begun:
            raise UsageError(f"{self.journal_path}: exists already, without its output; --overwrite starts over")

    def resume(self, past: Past, fingerprint: dict[str, Any]) -> None:
        """Cut the files back to the last checkpoint and apply the results after it."""
        self.done = past.checkpoint.done()
        self.marks, self._read = deque([past.checkpoint.mark]), past.read
        records = [journals.encode(record.kind, record.line, record.text) for record in past.records]
        self._open_files(msgspec.structs.replace(past.checkpoint, read=past.read), fingerprint, records)
        for record, line in zip(records, past.records, strict=True):
            self._apply(line.kind, line.line, record)

    def check(self, checkpoint: Checkpoint) -> None:
        """Check the files against a checkpoint, and change nothing; raises UsageError for changed bytes."""
        try:
            self.output.claim(checkpoint.output_bytes, checkpoint.output_crc)
            if checkpoint.dead_bytes:
                self.dead_letter.claim(checkpoint.dead_bytes, checkpoint.dead_crc)
        finally:
            self.close()

    def _open_files(self, checkpoint: Checkpoint, fingerprint: dict[str, Any], records: list[bytes]) -> None:
        kept = [
            (self.output, checkpoint.output_bytes, checkpoint.output_crc),
            (self.dead_letter, checkpoint.dead_bytes, checkpoint.dead_crc),
        ]
        try:
            for sink, size, crc in kept:
                sink.claim(size, crc)
            if self._unchanged is not None:
                self._unchanged.check(self.output.path)
            if self.resumable:
                self._begin_journal(checkpoint, fingerprint, records)
        except UsageError:
            for sink, _, _ in kept:
                sink.undo()
            raise
        for sink, size, _ in kept:
            sink.cut(size)

    def _begin_journal(self, checkpoint: Checkpoint, fingerprint: dict[str, Any], records: list[bytes]) -> None:
        journal = Journal(self.journal_path, fingerprint)
        checkpoint = msgspec.structs.replace(
            checkpoint, complete=False, stopped=False, host=self._host, pid=os.getpid(), waiting_since=None
        )
        try:
            journal.create(checkpoint, records)
        except OSError as error:
            raise UsageError(f"{self.journal_path}: {error.strerror or error}") from error
        self._journal, self._last = journal, checkpoint

    def block(self, begin: Mark, end: Mark) -> None:
        """Record lines that were read, before they are given out; raises OSError if the journal cannot be written."""
        self.marks.append(begin)
        if end.offset > self._read.offset:
            self._read = end
            if self._journal is not None:
                self._journal.block(end)

    @property
    def read(self) -> Mark:
        """No line of the input from here on was given out."""
        return self._read

    # Results.

    def ok(self, line: int, text: bytes) -> None:
        """The output line of an input line; raises OSError if it cannot be kept."""
        self._keep(RESULT, line, text)

    def dead(self, line: int, text: bytes) -> None:
        """The dead-letter line of an input line; raises OSError if it cannot be kept."""
        self._keep(DEAD, line, text)

    def skip(self, line: int) -> None:
        """Settle a blank line."""
        self._settle(line)

    def _keep(self, kind: bytes, line: int, text: bytes) -> None:
        record = journals.encode(kind, line, text)
        if self._journal is not None:
            self._journal.append(record)
        self._apply(kind, line, record)

    def _apply(self, kind: bytes, line: int, record: bytes) -> None:
        if self._journal is not None:
            self._open[line] = record
            self._open_bytes += len(record)
        if kind == DEAD:
            self.dead_letter.write(journals.text_of(record))
        elif self._ordered and line != self.done.next:
            self._pending[line] = record
            self.pending_bytes += len(record)
        else:
            self.output.write(journals.text_of(record))
        self._settle(line)

    def _settle(self, line: int) -> None:
        grown = self.done.add(line)
        if self._pending:
            for ready in grown:
                if (record := self._pending.pop(ready, None)) is not None:
                    self.pending_bytes -= len(record)
                    self.output.write(journals.text_of(record))

    # Checkpoints.

    async def keep(self) -> None:
        """Flush and write checkpoints until cancelled; raises OSError if a write fails."""
        every_s = PACKED_SYNC_S if self.output.packed else PLAIN_SYNC_S
        since_s = 0.0
        while True:
            await asyncio.sleep(_FLUSH_S)
            since_s += _FLUSH_S
            for sink in (self.output, self.dead_letter):
                if not sink.packed:
                    sink.flush()
            if since_s >= every_s or self._open_bytes > CHECKPOINT_BYTES:
                since_s = 0.0
                self._running = asyncio.create_task(self.checkpoint())
                # Its threads cannot be cancelled and would go on writing.
                await asyncio.shield(self._running)

    async def at_rest(self) -> None:
        """Wait for a checkpoint under way."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    def _now(self, complete: bool = False, stopped: bool = False) -> Checkpoint:
        waits_s = 0.0 if complete or stopped else self._waits_s()
        self.output.flush()
        self.dead_letter.flush()
        while len(self.marks) > 1 and self.marks[1].line <= self.done.next:
            self.marks.popleft()
        return Checkpoint(
            next=self.done.next,
            runs=self.done.runs(without=self._pending.keys()),
            output_bytes=self.output.size,
            output_crc=self.output.crc,
            dead_bytes=self.dead_letter.size if self.dead_letter.regular else 0,
            dead_crc=self.dead_letter.crc if self.dead_letter.regular else 0,
            mark=self.marks[0],
            read=self._read,
            # Pending results are counted from their records on resume.
            counts=self._counts(len(self._pending)),
            complete=complete,
            stopped=stopped,
            host=self._host,
            pid=os.getpid(),
            waiting_since=time.time() - waits_s if waits_s else None,
        )

    async def checkpoint(self) -> None:
        """Make all results so far survive a power failure."""
        journal = self._journal
        now = self._now()
        if journal is None:
            return
        if self._last is not None and now.place == self._last.place:
            journal.touch()
            return
        covered = [line for line in self._open if line not in self._pending]
        await asyncio.to_thread(self._sync_files)
        journal.checkpoint(now)
        self._last = now
        for line in covered:
            self._open_bytes -= len(self._open.pop(line))
        await asyncio.to_thread(journal.sync)
        if journal.long:
            now = msgspec.structs.replace(now, read=self._read)
            journal.begin_rewrite()
            journal.end_rewrite(await asyncio.to_thread(journal.write_beside, now, list(self._open.values())))

    def _sync_files(self) -> None:
        self.output.sync()
        self.dead_letter.sync()

    def finish(self, complete: bool) -> None:
        """Write the last checkpoint and shorten the journal to two lines; raises OSError if the disk is full."""
        now = self._now(complete, stopped=not complete)
        self._sync_files()
        if self._journal is not None:
            self._journal.create(now, [self._pending[line] for line in sorted(self._pending)])

    def close(self) -> None:
        """Close the files; results not flushed are in the journal."""
        self.output.close()
        self.dead_letter.close()
        if self._journal is not None:
            self._journal.close()


def _holds_something(path: str) -> bool:
    return os.path.exists(path) and os.path.getsize(path) > 0
