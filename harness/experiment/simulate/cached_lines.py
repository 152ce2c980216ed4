"""A JSONL file read once: simulated items come from memory instead of repeated reads.

A search simulates hundreds of short loads of one small file. So the pairs of sentences of the last small file are kept
for the next simulation. The rows of other tasks may depend on more files than this one, as those with pictures do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.client.tasks.similarity import Similarity
from harness.client.types import Task
from harness.load.workloads.jsonl import Jsonl

BYTES_MAX = 16_000_000
KEPT_BYTES_MAX = 1_000_000
"""Largest file whose lines are kept for the next simulation."""

_Lines = list[tuple[Any, int]]
_kept: list[tuple[Any, _Lines]] = []
"""What the lines of the last file depend on, and these lines."""


class CachedJsonl(Jsonl):
    """The same rows as `Jsonl`. A large file, or one with malformed lines, is not cached."""

    def rows(self, task: Task, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every good line whose number is `part` modulo `parts`."""
        if self.items is None or not self.path.is_file() or self.path.stat().st_size > BYTES_MAX:
            return super().rows(task, part, parts)
        lines = self._lines_of(task)
        if lines is None:
            return super().rows(task, part, parts)
        return self._repeat(lines, range(part, self.items, parts))

    def _lines_of(self, task: Task) -> _Lines | None:
        """All lines, parsed; None if one is malformed."""
        file = self.path.stat()
        if type(task) is not Similarity or not self._plain or file.st_size > KEPT_BYTES_MAX:
            return self._parsed(task)
        of = (self.path.absolute(), file.st_mtime_ns, file.st_size, file.st_ino, self.priorities, self.reading)
        if _kept and _kept[0][0] == of:
            return _kept[0][1]
        lines = self._parsed(task)
        _kept[:] = [] if lines is None else [(of, lines)]
        return lines

    def _parsed(self, task: Task) -> _Lines | None:
        once = Jsonl(self.path, priorities=self.priorities, columns=self.columns, reading=self.reading)
        lines = [(data, priority) for _, data, priority in once.rows(task)]
        return None if once.bad_lines else lines

    @staticmethod
    def _repeat(lines: _Lines, indices: range) -> Iterator[tuple[int, Any, int]]:
        count = len(lines)
        for index in indices:
            data, priority = lines[index % count]
            yield index, data, priority
