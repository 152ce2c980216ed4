"""Writes lines to a file, packed or not, or to standard output.

Rules of this file
  1. `write` only collects; `flush` writes the collected lines to the file, packed as a separate member or frame, so
     that a file that is cut after any flush is whole.
  2. Only a regular file can be cut, measured and synced; standard output, pipes and devices are only written.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import sys
import zlib
from pathlib import Path

from harness.base.files import opened_for_writing
from harness.client.errors import UsageError
from harness.load.lines import zstandard

FLUSH_BYTES = 64 * 1024
# Takes a few milliseconds to pack; nearly as small as one piece.
PACKED_FLUSH_BYTES = 256 * 1024
CHECK_BYTES = 1024 * 1024
DAMAGED_HINT = "check the disk, put a copy of the journal and the output in place, or start again with --overwrite"

try:
    import fcntl
except ImportError:
    # On Windows two processes with one output are not detected.
    fcntl = None  # type: ignore[assignment]


class Unchanged:
    """Whether files are as they were: text that was read before the lock is held may be old by then."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._were = self._are()

    def _are(self) -> list[tuple[int, int, int] | None]:
        return [_state(path) for path in self._paths]

    def check(self, output: str) -> None:
        """Raise UsageError if another process has written to them meanwhile."""
        if self._are() != self._were:
            raise UsageError(f"{output}: another process has gone on with it meanwhile; the same command continues it")


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Sink:
    """Appends lines to a file; `-` is standard output. The suffix .gz or .zst packs them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.regular = path != "-" and (not os.path.exists(path) or stat.S_ISREG(os.stat(path).st_mode))
        self.packed = Path(path).suffix in {".gz", ".zst"}
        # Bytes in the file, and their CRC-32.
        self.size = 0
        self.crc = 0
        self._zstd = zstandard().ZstdCompressor() if path.endswith(".zst") else None
        self._fd = -1
        # Created by this session.
        self._created = False
        self._failed: OSError | None = None
        self._lines: list[bytes] = []
        self._held = 0
        self._flush_at = PACKED_FLUSH_BYTES if self.packed else FLUSH_BYTES

    def open(self, keep: int = 0, crc: int = 0) -> None:
        """Open or create it, with its first `keep` bytes; raises UsageError if that cannot be."""
        self.claim(keep, crc)
        self.cut(keep)

    def claim(self, keep: int = 0, crc: int = 0) -> None:
        """Open or create it, and change nothing in it.

        Raises UsageError if that cannot be, or if its first `keep` bytes are not those of the CRC-32.
        """
        if self.path == "-":
            if sys.stdout is None:
                raise UsageError("-: standard output is closed")
            sys.stdout.flush()
            self._fd = os.dup(sys.stdout.fileno())
            return
        try:
            self._fd = self._opened()
            if self.regular:
                self._lock()
                if (size := os.fstat(self._fd).st_size) < keep:
                    raise UsageError(f"{self.path}: has {size} bytes where {keep} were written: it has changed since")
                if (found := self._checksum(keep)) != crc:
                    raise UsageError(f"{self.path}: its bytes have changed since they were written; {DAMAGED_HINT}")
                self.crc = found
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error

    def _checksum(self, size: int) -> int:
        """The CRC-32 of its first bytes."""
        crc, at = 0, 0
        while at < size and (block := os.pread(self._fd, min(CHECK_BYTES, size - at), at)):
            crc, at = zlib.crc32(block, crc), at + len(block)
        return crc

    def cut(self, keep: int) -> None:
        """Leave its first `keep` bytes, as they were claimed; raises UsageError if that cannot be."""
        if self.regular:
            try:
                os.ftruncate(self._fd, keep)
            except OSError as error:
                raise UsageError(f"{self.path}: {error.strerror or error}") from error
            self.size = keep

    def undo(self) -> None:
        """Close it; a file that `claim` has created is removed."""
        if self._created:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.close()

    def _opened(self) -> int:
        if not self.regular:
            return opened_for_writing(self.path, os.O_WRONLY)
        # It is read once, to check it.
        flags = os.O_CLOEXEC | os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            fd = os.open(self.path, flags | os.O_EXCL, 0o666)
        except FileExistsError:
            return os.open(self.path, flags, 0o666)
        self._created = True
        return fd

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self.path}: another process is writing it") from None

    def write(self, line: bytes) -> None:
        """A line with its end."""
        self._lines.append(line)
        self._held += len(line)
        if self._held >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        """Write the collected lines to the file; raises OSError if that fails."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        if self._zstd is not None:
            data = self._zstd.compress(data)
        elif self.packed:
            data = gzip.compress(data, 6, mtime=0)
        # The size after a failed write is unknown: nothing may follow it.
        if self._failed is not None:
            raise self._failed
        try:
            write_all(self._fd, data, self.path)
        except OSError as error:
            self._failed = error
            raise
        self._lines.clear()
        self._held = 0
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def append(self, data: bytes) -> None:
        """Write bytes as they are, at once; raises OSError if that fails."""
        write_all(self._fd, data, self.path)
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def sync(self) -> None:
        """Make flushed lines survive a power failure; may take long, so call it in a thread."""
        if self.regular and self._fd >= 0:
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; lines not flushed are dropped."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1


def write_all(fd: int, data: bytes, path: str) -> None:
    """Write all bytes, also over partial writes; raises OSError that names the file."""
    try:
        written = os.write(fd, data)
        view = memoryview(data)
        while written < len(data):
            written += os.write(fd, view[written:])
    except OSError as error:
        error.filename = path
        raise
