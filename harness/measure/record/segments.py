"""Record files of long runs in segments: a file that has grown large is closed, set aside and compressed.

`x.requests` is always the file that is written. The closed ones before it are `x.requests.0001`, `x.requests.0002` ...,
each a whole record file with its own header; a process of its own compresses it to `x.requests.0001.gz` and removes it
(`packing`). So a killed run loses no more than a run in one file, and at any time each segment is there, in one of both
forms. `gzip -dc` gives a segment back.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from harness.measure.record.frames import Bytes, walk
from harness.measure.record.rows_file import HEADER_BYTES_MAX, KINDS, decode_header

SEGMENT_BYTES = 32 * 1024 * 1024
"""Size at which a file is closed: 400,000 requests."""
_PACKING = Path(__file__).with_name("packing.py")


class OtherRowsError(ValueError):
    """The file holds rows of another kind."""


def closed_name(path: Path, number: int) -> Path:
    """The name of a closed segment, from 1."""
    return path.with_name(f"{path.name}.{number:04d}")


def parts_of(path: Path) -> list[Path]:
    """The closed segments of a record file, in their order and without the ending of compressed ones; then itself.

    Between the first and the last closed one none is left out, so that a missing one is noticed.
    """
    mine = re.compile(re.escape(path.name) + r"\.(\d{4,})(\.gz)?")
    try:
        numbers = {int(found[1]) for found in map(mine.fullmatch, os.listdir(path.parent)) if found}
    except OSError:
        return [path]
    parts = [closed_name(path, number) for number in range(1, max(numbers, default=0) + 1)]
    # A process that was killed while it closed this segment has left it under both names.
    if parts and _is_same(parts[-1], path):
        parts.pop()
    return [*parts, path]


def is_closed(path: Path, number: int) -> bool:
    """Whether this segment of a record file was closed, compressed or not, and the next one begun."""
    part = closed_name(path, number)
    return _packed(part).exists() or (part.exists() and not _is_same(part, path))


def _is_same(part: Path, path: Path) -> bool:
    """Whether the file that is written still has the name of a closed segment, too."""
    try:
        return part.samefile(path)
    except OSError:
        return False


def _packed(part: Path) -> Path:
    return part.with_name(f"{part.name}.gz")


@contextlib.contextmanager
def opened(part: Path) -> Iterator[IO[bytes]]:
    """A part, compressed or not, to be read. Raises OSError, also for damaged compression."""
    try:
        file: IO[bytes] = part.open("rb")
    except FileNotFoundError:
        # It may have been compressed a moment ago.
        if not _packed(part).exists():
            raise
        file = cast("IO[bytes]", gzip.open(_packed(part)))  # noqa: SIM115 - closed below
    with file:
        yield file


def frames_of(path: Path, dtype: np.dtype[Any]) -> Iterator[tuple[np.ndarray[Any, np.dtype[Any]] | None, bool]]:
    """The frames of a record file with all its segments: rows, or None if they are damaged, and whether all is sound.

    Raises ValueError for a header of other rows, and for a damaged one of the file that is written. A closed segment
    was begun with a whole header: one without it is damaged, and the next ones are read.
    """
    for part in parts_of(path):
        try:
            with opened(part) as file:
                yield from _frames_in(file, part, dtype)
        except (OSError, EOFError, zlib.error):
            yield None, False
        except ValueError as error:
            if part == path or isinstance(error, OtherRowsError):
                raise
            yield None, False


def _frames_in(
    file: IO[bytes], part: Path, dtype: np.dtype[Any]
) -> Iterator[tuple[np.ndarray[Any, np.dtype[Any]] | None, bool]]:
    if isinstance(file, gzip.GzipFile):
        # Of one segment at a time.
        file = io.BytesIO(file.read())
    header, start = decode_header(file.read(HEADER_BYTES_MAX), part)
    if KINDS.get(header.kind) != dtype or header.row_bytes != dtype.itemsize:
        raise OtherRowsError(f"{part}: rows of {header.row_bytes} bytes, expected {dtype.itemsize}")

    def read(at: int, size: int) -> Bytes:
        file.seek(start + at)
        return file.read(size)

    for found in walk(read, file.seek(0, os.SEEK_END) - start, dtype.itemsize):
        yield None if found.rows is None else np.frombuffer(found.rows, dtype), found.sound


def discard(path: Path) -> None:
    """Remove the closed segments of an earlier file of this name, and what killed processes have left half done."""
    mine = re.compile(re.escape(path.name) + r"\.(next|\d{4,}(\.gz(\.\d+)?(\.part)?)?)")
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    for name in filter(mine.fullmatch, names):
        path.with_name(name).unlink(missing_ok=True)


_started: dict[int, Packer] = {}
"""Processes that are not known to have ended, of all packers. The next packer reaps what the last one has left."""


def _reap() -> None:
    for pid in list(_started):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            # Somebody else has reaped it, or it was started before this process was forked.
            ended = True
        if ended:
            _started.pop(pid, None)


class Packer:
    """Compresses closed segments in processes of its own at the lowest priority: one at a time, until `start`.

    Compression in a thread would take the interpreter from the load. Where no process can be started, segments stay as
    they are.
    """

    def __init__(self) -> None:
        self._waiting: list[Path] = []
        _reap()

    def add(self, part: Path) -> None:
        """A segment that was closed."""
        self._waiting.append(part)
        if not self.running:
            self.start()

    @property
    def running(self) -> bool:
        """Whether one of its processes has not ended."""
        _reap()
        return self in _started.values()

    def start(self) -> None:
        """Compress what waits, beside a process that may still run; nothing waits for its end."""
        _reap()
        if not self._waiting:
            return
        parts, self._waiting = self._waiting, []
        arguments = [sys.executable, "-I", "-S", str(_PACKING), *map(str, parts)]
        with contextlib.suppress(OSError, AttributeError, NotImplementedError):
            actions = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1, 2)]
            # In a group of its own, so that Ctrl-C ends the load and not this.
            pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions, setpgroup=0)
            _started[pid] = self
