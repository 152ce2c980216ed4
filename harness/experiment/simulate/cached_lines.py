"""A JSONL file read once: simulated items come from memory instead of repeated reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.client.types import Task
from harness.load.workloads.jsonl import Jsonl

BYTES_MAX = 16_000_000


class CachedJsonl(Jsonl):
    """The same rows as `Jsonl`. A large file, or one with malformed lines, is not cached."""

    def rows(self, task: Task, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every good line whose number is `part` modulo `parts`."""
        if self.items is None or not self.path.is_file() or self.path.stat().st_size > BYTES_MAX:
            return super().rows(task, part, parts)
        once = Jsonl(self.path, priorities=self.priorities, columns=self.columns, reading=self.reading)
        lines = [(data, priority) for _, data, priority in once.rows(task)]
        if once.bad_lines:
            return super().rows(task, part, parts)
        return self._repeat(lines, range(part, self.items, parts))

    @staticmethod
    def _repeat(lines: list[tuple[Any, int]], indices: range) -> Iterator[tuple[int, Any, int]]:
        count = len(lines)
        for index in indices:
            data, priority = lines[index % count]
            yield index, data, priority
