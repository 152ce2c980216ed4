"""Joins finished parts: appends answers and dead letters of the next ranges to the files of the run, in input order.

Rules of this file
  1. Bytes are appended and synced, then the journal says so, then the parts are removed. A session that was killed in
     between cuts the files back to what the journal says and joins those parts again.
  2. A part is joined only if its size and checksum are those that its worker reported. If one cannot be joined, the
     files are cut back to what the journal says.
"""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path

import msgspec

from harness.bulk.fleet.lease_journal import Joined
from harness.bulk.fleet.messages import Report
from harness.bulk.fleet.parts import Parts
from harness.bulk.journal import Checkpoint, Mark
from harness.bulk.leases.range import Range
from harness.bulk.sinks import Sink
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError

_PIECE = 1024 * 1024


class DamagedPartError(UsageError):
    """A part is not what its worker reported."""


class Joiner:
    """Output and dead-letter file of a run."""

    def __init__(self, output: str, dead_letter: str, parts: Parts, keep_parts: bool = False) -> None:
        self.output, self.dead_letter = Sink(output), Sink(dead_letter)
        self._parts = parts
        self._keep_parts = keep_parts
        # What the journal says of them.
        self.state = Joined()
        # Counts of an unfinished part that was appended.
        self._shown = RowCounts()

    def claim(self, state: Joined) -> None:
        """Open the files, and change nothing. Raises UsageError for changed bytes, or if another process has them."""
        self.state = state
        try:
            self.output.claim(state.output_bytes, state.output_crc)
            self.dead_letter.claim(state.dead_bytes, state.dead_crc)
        except UsageError:
            self.undo()
            raise

    def cut(self) -> None:
        """Cut the files back to the state in the journal, which must be there."""
        self.output.cut(self.state.output_bytes)
        self.dead_letter.cut(self.state.dead_bytes)
        self.output.crc, self.dead_letter.crc = self.state.output_crc, self.state.dead_crc

    def append(self, ready: list[tuple[Range, Report]]) -> Joined:
        """Append parts and sync; the state to write to the journal, and then to `state`. May take long.

        Raises OSError and UsageError; the files are then as before.
        """
        try:
            return self._appended(ready)
        except BaseException:
            # If that fails, too, the next session does it.
            with contextlib.suppress(UsageError):
                self.cut()
            raise

    def _appended(self, ready: list[tuple[Range, Report]]) -> Joined:
        state = self.state
        for one, report in ready:
            done = report.finished
            part = self._parts.output(one.number, done.epoch)
            if self._keep_parts:
                self.output.write(_entry(part, one, report))
                self.output.flush()
            else:
                self._copy(self.output, part, done.part_bytes, done.part_crc)
            self._copy(self.dead_letter, self._parts.dead(one.number, done.epoch), done.dead_bytes, done.dead_crc)
            state = after(state, one, report)
        self.output.sync()
        self.dead_letter.sync()
        sizes = {"output_bytes": self.output.size, "output_crc": self.output.crc}
        sizes |= {"dead_bytes": self.dead_letter.size, "dead_crc": self.dead_letter.crc}
        return msgspec.structs.replace(state, **sizes)

    def _copy(self, sink: Sink, path: Path, size: int, crc: int) -> None:
        left, found = size, 0
        if size:
            with path.open("rb") as file:
                while left and (piece := file.read(min(_PIECE, left))):
                    found, left = zlib.crc32(piece, found), left - len(piece)
                    sink.append(piece)
        if left or found != crc:
            text = "differs from what its worker wrote; check the disk and the file system of the parts"
            raise DamagedPartError(f"{path}: {text}. --resume sends its lines again")

    def show(self, number: int, epoch: int, last: Checkpoint, counts: RowCounts) -> None:
        """Append the part of a range that cannot be finished, such as of a file that breaks off.

        The journal says nothing of it: a later session cuts it off, and continues from the part.
        """
        try:
            self._copy(self.output, self._parts.output(number, epoch), last.output_bytes, last.output_crc)
            self._copy(self.dead_letter, self._parts.dead(number, epoch), last.dead_bytes, last.dead_crc)
        except (OSError, UsageError):
            with contextlib.suppress(UsageError):
                self.cut()
        else:
            self._shown = counts

    @property
    def counts(self) -> RowCounts:
        """Counts of the lines in the files."""
        return total([self.state.counts, self._shown])

    def undo(self) -> None:
        """Close the files; those that this session has made are removed."""
        self.output.undo()
        self.dead_letter.undo()

    def close(self) -> None:
        """Close the files."""
        self.output.close()
        self.dead_letter.close()


def _entry(part: Path, one: Range, report: Report) -> bytes:
    """A part in the list that takes the place of the output."""
    lines = [one.line, one.last_line] if one.lines else None
    done, counts = report.finished, report.counts
    entry = {"part": f"{part.parent.name}/{part.name}", "lines": lines, "answers": counts.ok}
    entry |= {"bytes": done.part_bytes, "crc32": f"{done.part_crc:08x}", "dead_letters": counts.dead_lines}
    return msgspec.json.encode(entry) + b"\n"


def after(state: Joined, one: Range, report: Report) -> Joined:
    """The state when one more range is in the output, without the sizes of the files."""
    mark = report.read if one.is_whole else Mark(one.line + one.lines, one.end, one.total_crc)
    if one.file_line:
        # The lines of several files are not bytes of one.
        mark = Mark(one.line + one.lines)
    counts = total([state.counts, report.counts])
    return msgspec.structs.replace(state, number=one.number + 1, mark=mark, counts=counts, last=one)


def total(all_counts: list[RowCounts]) -> RowCounts:
    """The sum of counts; of samples the first of each class."""
    found = RowCounts()
    for counts in all_counts:
        for name in RowCounts.__struct_fields__:
            value = getattr(counts, name)
            if not isinstance(value, dict):
                setattr(found, name, getattr(found, name) + value)
        _add_tables(found, counts)
    return found


def _add_tables(found: RowCounts, counts: RowCounts) -> None:
    for kind, number in counts.dead.items():
        found.dead[kind] = found.dead.get(kind, 0) + number
    for kind, statuses in counts.statuses.items():
        table = found.statuses.setdefault(kind, {})
        for status, number in statuses.items():
            table[status] = table.get(status, 0) + number
    for kind, sample in counts.samples.items():
        found.samples.setdefault(kind, sample)
