"""A trace file as columns of numbers: its arrivals, lengths, sessions and ids of blocks.

Rules of this file
  1. A row that cannot be replayed is an error with its number, column and value: a trace with rows left out at will is
     another trace. Only rows without tokens are left out, and they are counted.
  2. A million rows are arrays of numbers, not objects.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.load.lengths import tokens_in
from harness.load.lines import LongLine
from harness.load.rows import RowReader
from harness.load.traces.trace_forms import Form, form_of, unit_s

ROWS_MAX = 20_000_000
IDS_MAX = 100_000
IDS_OF_ALL_MAX = 200_000_000
"""Ids of blocks of all rows, 8 bytes each in memory."""
_ID_MAX = 1 << 62
_LISTED = re.compile(r"[\s,;|]+")


@dataclass
class Rows:
    """The rows of a trace in order of arrival."""

    form: Form
    # Seconds since the first arrival.
    at_s: array[float] = field(default_factory=lambda: array("d"))
    inputs: array[int] = field(default_factory=lambda: array("I"))
    outputs: array[int] = field(default_factory=lambda: array("I"))
    # Number of the session of each row; -1: none. Empty if the trace has no sessions.
    sessions: array[int] = field(default_factory=lambda: array("q"))
    # Ids of the blocks of all rows, one after the other, and where those of each row begin. Empty if there are none.
    hashes: array[int] = field(default_factory=lambda: array("q"))
    begins: array[int] = field(default_factory=lambda: array("Q"))
    # Rows without tokens, which are not replayed.
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.at_s)

    def blocks(self, row: int) -> array[int]:
        """The ids of a row's blocks."""
        if not self.hashes:
            return self.hashes
        return self.hashes[self.begins[row] : self.begins[row + 1]]

    def sha256(self) -> bytes:
        """Digest of everything that is replayed."""
        digest = sha256()
        for column in (self.at_s, self.inputs, self.outputs, self.sessions, self.hashes, self.begins):
            digest.update(len(column).to_bytes(8, "big") + column.tobytes())
        return digest.digest()


def read(
    path: str,
    trace_format: str | None = None,
    columns: tuple[str, ...] = (),
    time_unit: str | None = None,
    sort: bool = False,
    reading: InputSettings | None = None,
) -> Rows:
    """All rows of a trace. Raises UsageError for the first row that cannot be replayed."""
    if Path(path).is_fifo() or Path(path).is_char_device():
        raise UsageError(f"--trace {path}: is no file; a trace is read more than once")
    try:
        reader = RowReader(Path(path), settings=reading)
        found = _Reading(path, reader, trace_format, columns, time_unit, sort).rows()
    except UsageError as error:
        raise error if str(error).startswith("--") else UsageError(f"--trace {error}") from error
    if not len(found):
        raise UsageError(f"--trace {path}: no row with tokens in it")
    return found


class _Reading:
    """One pass over a trace."""

    def __init__(
        self,
        path: str,
        reader: RowReader,
        trace_format: str | None,
        columns: tuple[str, ...],
        time_unit: str | None,
        sort: bool,
    ) -> None:
        self._path = path
        self._reader = reader
        self._given = None if trace_format in {"auto", "columns"} else trace_format
        self._columns = columns
        self._unit = time_unit
        self._sort = sort
        self._numbers: dict[Any, int] = {}

    def rows(self) -> Rows:
        rows, at, first, last = None, _Clock(self._path, self._unit), math.nan, -math.inf
        for number, row in self._dicts():
            if rows is None:
                rows = Rows(form_of(self._path, row, self._given, self._columns))
                at.form = rows.form
            try:
                value = at.number(row.get(rows.form.arrival))
                self._add(rows, row, value)
            except ItemError as error:
                raise UsageError(f"{self._path}, {self._place(number)}: {error}") from error
            if value < last and not self._sort:
                raise UsageError(
                    f"{self._path}, {self._place(number)}: {rows.form.arrival}={row[rows.form.arrival]} is before the "
                    "row above; --trace-sort sorts the trace"
                )
            last = value
            first = value if math.isnan(first) else min(first, value)
            if len(rows) > ROWS_MAX:
                raise UsageError(f"{self._path}: has more than {ROWS_MAX:,} rows; split the file")
            if len(rows.hashes) > IDS_OF_ALL_MAX:
                raise UsageError(f"{self._path}: has more than {IDS_OF_ALL_MAX:,} ids of blocks; split the file")
        if rows is None:
            raise UsageError(f"{self._path}: is empty")
        self._end(rows, first, at.unit_s)
        return rows

    def _dicts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, raw in self._reader.numbered():
            try:
                if isinstance(raw, LongLine):
                    raise ItemError("is too long")  # noqa: TRY301 - gets its row's number below
                row = self._reader.row(raw)
                wanted = self._reader.wanted(row)
            except (ItemError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise UsageError(f"{self._path}, {self._place(number)}: {error}") from error
            if wanted:
                yield number, row

    def _place(self, number: int) -> str:
        return f"row {number}" if self._reader.is_converted else f"line {number}"

    def _add(self, rows: Rows, row: dict[str, Any], at: float) -> None:
        form = rows.form
        taken, made = tokens_in(row, form.input, 0), tokens_in(row, form.output, 0)
        if not taken or not made:
            rows.left_out += 1
            return
        rows.at_s.append(at)
        rows.inputs.append(taken)
        rows.outputs.append(made)
        if form.session is not None and form.session in row:
            self._add_session(rows, row[form.session])
        if form.hashes is not None and form.hashes in row:
            self._add_blocks(rows, _ids(row[form.hashes], form.hashes))

    def _add_session(self, rows: Rows, value: Any) -> None:
        _fill(rows.sessions, len(rows) - 1, -1)
        if value is None or value == "":
            rows.sessions.append(-1)
            return
        if isinstance(value, list | dict):
            raise ItemError(f"{rows.form.session}: is {type(value).__name__}, not a name or a number")
        rows.sessions.append(self._numbers.setdefault(value, len(self._numbers)))

    def _add_blocks(self, rows: Rows, ids: list[int]) -> None:
        _fill(rows.begins, len(rows) - 1, len(rows.hashes))
        rows.begins.append(len(rows.hashes))
        rows.hashes.extend(ids)

    def _end(self, rows: Rows, first: float, second: float) -> None:
        """Times in seconds since the first arrival, all columns of one length, in order of arrival."""
        rows.at_s = array("d", ((value - first) * second for value in rows.at_s))
        count = len(rows)
        if rows.sessions:
            _fill(rows.sessions, count, -1)
        if rows.hashes:
            _fill(rows.begins, count + 1, len(rows.hashes))
        if self._sort:
            _sort(rows)


def _fill(column: array[int], length: int, value: int) -> None:
    """Make a column as long as those before it, whose rows had no value of it."""
    if len(column) < length:
        column.extend([value] * (length - len(column)))


def _sort(rows: Rows) -> None:
    order = sorted(range(len(rows)), key=rows.at_s.__getitem__)
    blocks = [rows.blocks(row) for row in order] if rows.hashes else []
    for name in ("at_s", "inputs", "outputs", *(("sessions",) if rows.sessions else ())):
        column = getattr(rows, name)
        setattr(rows, name, array(column.typecode, map(column.__getitem__, order)))
    if blocks:
        rows.hashes, rows.begins = array("q"), array("Q")
        for ids in blocks:
            rows.begins.append(len(rows.hashes))
            rows.hashes.extend(ids)
        rows.begins.append(len(rows.hashes))


class _Clock:
    """Reads arrivals: numbers of one unit, or dates. The first one decides which."""

    form: Form

    def __init__(self, path: str, unit: str | None) -> None:
        self._path = path
        self._unit = unit
        self._read: Callable[[Any], float] | None = None
        self.unit_s = 1.0

    def number(self, value: Any) -> float:
        """The arrival in its own unit; raises ItemError."""
        name = self.form.arrival
        if value is None or value == "":
            raise ItemError(f"{name} is missing")
        if self._read is None:
            self._read = self._reader_for(value)
        try:
            found = self._read(value)
        except (ValueError, TypeError, OverflowError):
            kind = "a number" if self._read is _number else "a date and time such as 2024-05-10 00:00:00.009"
            raise ItemError(f"{name}={value!r:.80} is not {kind}") from None
        if not (math.isfinite(found) and found >= 0):
            raise ItemError(f"{name}={value!r:.80} must be 0 or more")
        return found

    def _reader_for(self, value: Any) -> Callable[[Any], float]:
        try:
            first = _number(value)
        except (ValueError, TypeError):
            if self._unit is not None:
                raise ItemError(f"{self.form.arrival}={value!r:.80} is not a number, as --time-unit says") from None
            return _date
        self.unit_s = unit_s(self.form, self._unit, first, self._path)
        return _number


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - one kind of error for all that is no number
    return float(value)


def _date(value: Any) -> float:
    """Seconds since 1970; without a time zone it is UTC."""
    found = dt.datetime.fromisoformat(value)
    return (found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)).timestamp()


def _ids(value: Any, name: str) -> list[int]:
    """Ids of blocks: a list, or a text of them as in CSV."""
    if value is None:
        return []
    if isinstance(value, str):
        value = _LISTED.split(text) if (text := value.strip("[]() \t")) else []
    if not isinstance(value, list) or len(value) > IDS_MAX:
        raise ItemError(f"{name}={value!r:.80} is not a list of at most {IDS_MAX:,} ids")
    return [_id(one, name) for one in value]


def _id(value: Any, name: str) -> int:
    if type(value) is int and 0 <= value < _ID_MAX:
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise ItemError(f"{name}: {value!r:.80} is no id of a block: a whole number or a text")
    return int.from_bytes(blake2b(str(value).encode(), digest_size=8).digest(), "big") >> 2
