"""Items from an input file, read row by row: memory use does not depend on the file's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.client.task_calls import PRIORITY_FIELD, data_of, priority_of
from harness.client.types import Task
from harness.load.lines import LINE_MAX, LongLine, count_lines
from harness.load.mapped_fields import check_fields
from harness.load.rows import RowReader

KEPT_BYTES = 1024 * 1024
"""Bytes of lines whose parsed rows are kept for the next pass, over all parts of a file."""
_Row = tuple[Any, int]
_NOT_KEPT: Any = object()


class Jsonl:
    """Rows of a file of any form as checked data. Malformed lines are counted.

    They are an error only if no line is valid.

    Each line is counted once, even if the file is read several times, and only by the part that it belongs to. The sum
    of `bad_lines` over all parts is the number of malformed lines of the file.
    """

    def __init__(
        self,
        path: Path | str,
        items: int | None = None,
        priorities: bool = False,
        columns: Mapping[str, str] | None = None,
        reading: InputSettings | None = None,
    ) -> None:
        self.path = Path(path)
        self.items = items
        # If a strategy uses priorities, a line with an invalid priority is malformed.
        self.priorities = priorities
        self.bad_lines = 0
        self.first_bad: tuple[int, str] | None = None  # line number and reason
        self.columns = dict(columns or {})
        self.reading = reading or InputSettings()
        self._reader = RowReader(self.path, self.columns, self.reading)
        self._read_through = False
        self._plain = self._reader.is_plain
        self._kept: dict[int, _Row | None] = {}
        self._kept_task: Task | None = None
        # Bytes of further lines that may be kept.
        self._room = 0

    @property
    def first_bad_line(self) -> str | None:
        """`line 17: text2 is missing`."""
        return None if self.first_bad is None else f"line {self.first_bad[0]}: {self.first_bad[1]}"

    def rows(self, task: Task, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every valid line whose number is `part` modulo `parts`.

        If `items` exceeds the number of lines, the file is read again from the start and the index continues.
        Raises UsageError if the file cannot be read or has no valid line.
        """
        index = good = 0
        # Rows of a small file are read again and again, but parsed once.
        kept = self._kept_for(task, parts)
        while self.items is None or index < self.items:
            before = good
            for number, line in self._lines():
                if self.items is not None and index >= self.items:
                    if good == 0:
                        raise UsageError(f"{self.path}: {self._no_good_line(index)}")
                    return
                if index % parts == part:
                    row = kept.get(number, _NOT_KEPT)
                    if row is _NOT_KEPT:
                        row = self._parse(task, line, number)
                        if self._room > 0:
                            kept[number] = row
                            self._room -= len(line)
                    if row is not None:
                        good += 1
                        yield index, row[0], row[1]
                else:
                    good += 1
                index += 1
            self._read_through = True
            if good == before:
                raise UsageError(f"{self.path}: {self._no_good_line(index)}")
            if self.items is None:
                return

    def _kept_for(self, task: Task, parts: int) -> dict[int, _Row | None]:
        """The parsed rows by line number; another task parses them in its own way."""
        if self._kept_task is not task:
            check_fields(self.columns, [task], {PRIORITY_FIELD, *self._reader.fields_read})
            self._kept_task, self._kept, self._room = task, {}, KEPT_BYTES // parts
        return self._kept

    def count(self) -> int:
        """The number of its rows, valid or not; reads the whole file. Raises UsageError if it cannot be read."""
        return sum(1 for _ in self._lines())

    def expected(self) -> int | None:
        """About how many rows it has, for progress; None if that is not known without reading all of them."""
        if self._reader.is_converted or self.reading.encoding is not None:
            return self._reader.expected()
        return count_lines(self.path)

    def _no_good_line(self, lines: int) -> str:
        if self.first_bad_line is None and self._reader.chooses:
            return f"--where {self.reading.where!r} holds for no row"
        if self.first_bad_line is None:
            needs = "rows below the names of its columns" if self._reader.has_header else "one JSON object per line"
            return f"the file is empty; it needs {needs}"
        which = "" if self.items is None else f" among the first {lines}"
        return f"no line{which} is an item of this task; {self.first_bad_line}"

    def _lines(self) -> Iterator[tuple[int, bytes | LongLine]]:
        """Number and bytes of every line that is wanted and not blank."""
        rows = self._reader.numbered()
        return rows if not self._reader.chooses else (row for row in rows if self._wanted(row[1]))

    def _wanted(self, line: bytes | LongLine) -> bool:
        """Whether --where holds for the row; also true for a malformed one, so that it is counted."""
        if isinstance(line, LongLine):
            return True
        try:
            return self._reader.wanted(self._reader.row(line))
        except (ItemError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return True

    def _parse(self, task: Task, line: bytes | LongLine, number: int) -> _Row | None:
        if isinstance(line, LongLine):
            self._set_aside(number, f"longer than {LINE_MAX} bytes")
            return None
        read: dict[str, Any] = {}
        try:
            if self._plain:
                row = read = self._reader.plain(line)
            else:
                read = self._reader.row(line)
                self._reader.wanted(read)
                row = self._reader.mapped(read)
            return data_of(task, row), priority_of(row, checked=self.priorities)
        except ItemError as error:
            self._set_aside(number, str(self._reader.explained(error, read)))
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._set_aside(number, str(error))
            return None

    def _set_aside(self, number: int, why: str) -> None:
        if not self._read_through:
            self.bad_lines += 1
            self.first_bad = self.first_bad or (number, why)
