"""Before a resumed run begins: parts that are damaged or missing are given up, so that their lines are sent again.

Only ranges that are not in the output are looked at. Nobody needs to start over because a disk lost one part.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from harness.bulk import journal as single
from harness.bulk.fleet.lease_journal import History
from harness.bulk.fleet.parts import Parts
from harness.client.errors import UsageError

_PIECE = 1024 * 1024


def mend(history: History, parts: Parts) -> list[str]:
    """Forget damaged parts, in the history and on disk; what was given up, for people. Raises OSError."""
    notes = []
    for number in history.ranges:
        if (damaged := _damaged(history, parts, number)) is not None:
            # First the files: a missing part is found again by the next session.
            parts.remove(number)
            history.reports.pop(number, None)
            described = history.ranges[number].described
            notes.append(f"{damaged} is damaged or missing; {described} are sent again")
    return notes


def _damaged(history: History, parts: Parts, number: int) -> Path | None:
    """The file of a range that is not as its journal says; None if there is none."""
    report, granted = history.reports.get(number), history.epochs.get(number)
    if report is not None:
        done = report.finished
        return _first_damaged(
            parts, number, done.epoch, (done.part_bytes, done.part_crc), (done.dead_bytes, done.dead_crc)
        )
    epoch = 0 if granted is None else parts.newest_epoch(number, granted.epoch)
    if not epoch:
        return None
    try:
        last = single.read(parts.journal_of(number, epoch)).checkpoint
    except UsageError:
        return parts.journal_of(number, epoch)
    return _first_damaged(parts, number, epoch, (last.output_bytes, last.output_crc), (last.dead_bytes, last.dead_crc))


def _first_damaged(
    parts: Parts, number: int, epoch: int, output: tuple[int, int], dead: tuple[int, int]
) -> Path | None:
    files = ((parts.output(number, epoch), output), (parts.dead(number, epoch), dead))
    return next((path for path, (size, crc) in files if not _holds(path, size, crc)), None)


def _holds(path: Path, size: int, crc: int) -> bool:
    """Whether a file begins with so many bytes of this checksum."""
    if not size:
        return True
    left, found = size, 0
    try:
        with path.open("rb") as file:
            while left and (piece := file.read(min(_PIECE, left))):
                found, left = zlib.crc32(piece, found), left - len(piece)
    except FileNotFoundError:
        return False
    return not left and found == crc
