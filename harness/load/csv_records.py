"""Cuts bytes of CSV into rows."""

from __future__ import annotations

from harness.load.lines import HEAD_BYTES, LINE_MAX, Lines, LongLine


class Records:
    """Splits bytes of CSV into rows: a line break within quotes does not end a row."""

    def __init__(self, at: int = 0) -> None:
        self._lines = Lines(at)
        # Lines of the row that has not ended, its start, and its bytes so far.
        self._open: list[bytes] = []
        self._begin = at
        self._size = 0

    @property
    def unfinished(self) -> int:
        """Bytes after the last complete row."""
        return self._size + self._lines.unfinished

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """The rows that this chunk completes."""
        return [row for line in self._lines.feed(chunk) for row in self._rows(line)]

    def close(self) -> list[bytes | LongLine]:
        """The last row, if it has no line break or its quotes are not closed."""
        rows = [row for line in self._lines.close() for row in self._rows(line)]
        if self._open:
            rows.append(b"\n".join(self._open))
            self._next()
        return rows

    def _rows(self, line: bytes | LongLine) -> list[bytes | LongLine]:
        if isinstance(line, LongLine):
            row = LongLine(line.head, self._begin, line.end)
            self._size += line.end - line.begin + 1
            self._next()
            return [row]
        inside = bool(self._open)
        self._open.append(line)
        self._size += len(line) + 1
        # Quotes within a quoted value are doubled, so their number is even where a row ends.
        if (line.count(b'"') % 2 == 1) == inside:
            whole: bytes | LongLine = b"\n".join(self._open)
        elif self._size <= LINE_MAX:
            return []
        else:
            whole = LongLine(self._open[0][:HEAD_BYTES], self._begin, self._begin + self._size - 1)
        self._next()
        return [whole]

    def _next(self) -> None:
        self._begin += self._size
        self._open, self._size = [], 0
