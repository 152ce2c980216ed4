"""Items from an input file, read row by row: memory use does not depend on the file's size."""

from __future__ import annotations

import math
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
"""Bytes of lines whose parsed rows are kept for the next pass, over all parts of a file in one process."""
_Row = tuple[Any, int]


class KeptRows:
    """Parsed rows of a small file by their place in it, for all its readers in a process; of a malformed one, why."""

    def __init__(self) -> None:
        self.rows: dict[int, _Row | str] = {}
        self._task: Task | None = None
        # Bytes of further lines that may be kept.
        self._room = 0

    def begin(self, task: Task) -> bool:
        """Keep rows as this task parses them; whether it is another task than before."""
        if self._task is task:
            return False
        self._task, self.rows, self._room = task, {}, KEPT_BYTES
        return True

    def keep(self, place: int, row: _Row | str, size: int) -> None:
        """Keep a row that was read from so many bytes, if there is room."""
        if self._room > 0:
            self.rows[place] = row
            self._room -= size


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
        # The last line that was counted as malformed.
        self._last_bad = 0
        # Other readers of the file may share it.
        self.kept = KeptRows()
        self._has_begun = False

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
        self._begin(task)
        while self.items is None or index < self.items:
            before, first = good, index
            for number, line in self._lines():
                if self.items is not None and index >= self.items:
                    if good == 0:
                        raise UsageError(f"{self.path}: {self._no_good_line(index)}")
                    return
                if index % parts == part:
                    # Rows of a small file are read again and again, but parsed once.
                    row = self._row(task, index - first, line, number)
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

    def endless(self, task: Task, part: int = 0, parts: int = 1) -> Iterator[_Row]:
        """Data and priority of the rows of one part, pass after pass. The index continues over the passes.

        So the parts together have the lines that one part has alone, in the same order, whatever the number of lines.
        Malformed lines are left out; a part whose lines are all malformed gets those of the others. Raises UsageError
        if the file cannot be read or has no valid line.
        """
        self._begin(task)
        first = fruitless = 0
        while True:
            index, found = first, False
            for number, line in self._lines():
                if index % parts == part and (row := self._row(task, index - first, line, number)) is not None:
                    found = True
                    yield row
                index += 1
            self._read_through = True
            count = index - first
            if found:
                fruitless = 0
            elif first + (part - first) % parts < index:
                fruitless += 1
            # Passes with lines of its own, all malformed: by then it has read every line that is ever its own.
            if fruitless * math.gcd(max(count, 1), parts) >= min(count, parts):
                if parts == 1:
                    raise UsageError(f"{self.path}: {self._no_good_line(count)}")
                part, parts, first, fruitless = 0, 1, 0, 0
                continue
            index += (part - index) % parts
            if self._has_kept(index % count, count, math.gcd(count, parts)):
                yield from self._from_memory(index, count, parts)
            first = index // count * count

    def _has_kept(self, place: int, count: int, step: int) -> bool:
        """Whether all rows of a part are in memory, of so many in the file, and one of them is valid."""
        rows, places = self.kept.rows, range(place % step, count, step)
        return all(place in rows for place in places) and not all(isinstance(rows[place], str) for place in places)

    def _from_memory(self, index: int, count: int, parts: int) -> Iterator[_Row]:
        """The rows of a part from this index on, without end."""
        rows = self.kept.rows
        while True:
            row = rows[index % count]
            if not isinstance(row, str):
                yield row
            index += parts

    def _begin(self, task: Task) -> None:
        """Rows are parsed by this task."""
        if self.kept.begin(task) or not self._has_begun:
            check_fields(self.columns, [task], {PRIORITY_FIELD, *self._reader.fields_read})
            self._has_begun = True

    def _row(self, task: Task, place: int, line: bytes | LongLine, number: int) -> _Row | None:
        """The row at a place of the file, from memory or parsed; None if it is malformed."""
        row = self.kept.rows.get(place)
        if row is None:
            row = self._parse(task, line, number)
            self.kept.keep(place, row, len(line))
        if isinstance(row, str):
            self._set_aside(number, row)
            return None
        return row

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

    def _parse(self, task: Task, line: bytes | LongLine, number: int) -> _Row | str:
        """The row of a line; of a malformed one, why."""
        if isinstance(line, LongLine):
            return f"longer than {LINE_MAX} bytes"
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
            return str(self._reader.explained(error, read))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return str(error)

    def _set_aside(self, number: int, why: str) -> None:
        if not self._read_through and number > self._last_bad:
            self._last_bad = number
            self.bad_lines += 1
            self.first_bad = self.first_bad or (number, why)
