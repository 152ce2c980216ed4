"""An output named .csv, .tsv or .parquet: made from the finished lines of JSON beside it.

Lines can be cut back after a kill, a Parquet file cannot: its index is at its end. So a run writes OUTPUT.jsonl with
all its guarantees, and when the last row is done OUTPUT is made from it in one step.

Rules of this file
  1. OUTPUT is written beside itself and moved into its place: it is complete, or it is not there.
  2. Memory does not depend on the number of rows: the lines are read twice, first for the columns and their types.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk.ending import EarlyEnd, Summary
from harness.bulk.results import Tell
from harness.bulk.settings import ProcessSettings
from harness.client.errors import UsageError
from harness.load.forms import check_ending
from harness.load.lines import lines_of
from harness.load.tables import pyarrow_for

Run = Callable[[], Awaitable[Summary]]
"""One session of a run."""
SUFFIX_LINES = ".jsonl"
GROUP_ROWS = 10_000
_INT64 = 1 << 63
_KINDS = {"int", "float", "str", "bool", "floats"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TableOutput:
    """The table that is made from a run's lines. Raises UsageError for an ending that is not written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines = path + SUFFIX_LINES
        self._form = "parquet" if _ending(path) in {".parquet", ".pq"} else _ending(path)[1:]
        if self._form == "parquet":
            pyarrow_for(path)

    def check_free(self) -> None:
        """Raise UsageError if the file is there already."""
        if os.path.exists(self.path):
            raise UsageError(f"{self.path}: exists already; --resume continues it, --overwrite starts over")

    async def around(self, run: Run, settings: ProcessSettings, tell: Tell) -> Summary:
        """A session that writes the lines, and the table after it. Raises UsageError as the session does."""
        if not (settings.resume or settings.overwrite):
            self.check_free()
        summary = await run()
        try:
            await self.finish(summary, tell)
        except OSError as error:
            end = EarlyEnd(self.path)
            end.broken(error)
            why, text = end.reason or ("disk", "")
            failed = {"complete": False, "passed": False, "nothing_to_do": False}
            return msgspec.structs.replace(summary, stopped=why, text=text, **failed)
        return summary

    async def finish(self, summary: Summary, tell: Tell) -> None:
        """After a session: make the table if all lines are done, or say where they are. Raises OSError."""
        if not summary.complete:
            tell("note", {"text": f"{self.path} is made at the end; answers so far: {self.lines}"})
        elif not summary.nothing_to_do or self.is_old:
            await asyncio.to_thread(self.make)

    @property
    def is_old(self) -> bool:
        """Whether it is missing, or older than the lines."""
        there = os.path.exists(self.path)
        return not there or os.stat(self.path).st_mtime_ns < os.stat(self.lines).st_mtime_ns

    def make(self) -> None:
        """Write it from the lines; raises OSError."""
        part = self.path + ".part"
        try:
            kinds = _kinds(self._rows())
            if self._form == "parquet":
                self._parquet(part, kinds)
            else:
                self._csv(part, list(kinds))
            os.replace(part, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    def _rows(self) -> Iterator[dict[str, Any]]:
        for line in lines_of(Path(self.lines), own=True):
            if isinstance(line, bytes):
                yield _flat(_decode(line))
            else:
                # Longer than any line that is read back.
                raise OSError(0, "a line is too long for a table", self.lines)

    def _csv(self, part: str, columns: list[str]) -> None:
        with open(part, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, delimiter="\t" if self._form == "tsv" else ",")
            out.writerow(columns)
            for row in self._rows():
                out.writerow([_cell(row.get(column)) for column in columns])

    def _parquet(self, part: str, kinds: dict[str, str]) -> None:
        arrow = pyarrow_for(self.path)
        types = {
            "int": arrow.int64(),
            "float": arrow.float64(),
            "bool": arrow.bool_(),
            "floats": arrow.list_(arrow.float64()),
        }
        schema = arrow.schema([(name, types.get(kind, arrow.string())) for name, kind in kinds.items()])
        rows = self._rows()
        with arrow.parquet.ParquetWriter(part, schema, compression="zstd") as out:
            while group := list(islice(rows, GROUP_ROWS)):
                columns = [[_value(row.get(name), kind) for row in group] for name, kind in kinds.items()]
                out.write_table(arrow.table(columns, schema=schema))


def table_output(path: str) -> TableOutput | None:
    """The table that an output is; None for lines of JSON. Raises UsageError for an ending that is not written."""
    if path == "-" or _ending(path) in {".jsonl", ".json", ".ndjson"}:
        return None
    if _ending(path) in {".csv", ".tsv", ".parquet", ".pq"}:
        return TableOutput(path)
    unpacked = path.removesuffix(".gz").removesuffix(".zst")
    if unpacked != path and table_output(unpacked) is not None:
        raise UsageError(f"{path}: a table is written unpacked; name it {Path(unpacked).name}")
    check_ending(path, "written", "JSONL, CSV, TSV and Parquet")
    return None


def with_lines(settings: ProcessSettings) -> tuple[ProcessSettings, TableOutput | None]:
    """Settings whose output is lines, and the table to make from them. Raises UsageError for an ending as above."""
    table = table_output(settings.output)
    if table is None:
        return settings, None
    if settings.output_format is not None:
        raise UsageError(f"--output-format {settings.output_format}: is JSONL; {settings.output} would be a table")
    # Dead letters keep the name that belongs to the table.
    return dataclasses.replace(settings, output=table.lines, dead_letter=settings.dead_letter_path), table


def _ending(path: str) -> str:
    return Path(path).suffix.lower()


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    """The row of a line: the fields of an answer, and of an input, are columns of their own."""
    row: dict[str, Any] = {}
    for name, value in line.items():
        if name in {"answer", "input"} and isinstance(value, dict):
            row |= {f"{name}.{field}": found for field, found in value.items()}
        else:
            row[name] = value
    return row


def _kinds(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Columns, and the kind of their values: a kind of numbers, bool, or text, which holds all others as JSON."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = found.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))
    return {name: _joined(kinds) for name, kinds in found.items()}


def _kind(value: Any) -> str:
    if type(value) is list:
        return "floats" if value and all(type(each) in {int, float} for each in value) else "json"
    if type(value) is int and not -_INT64 <= value < _INT64:
        return "json"
    return type(value).__name__ if type(value).__name__ in _KINDS else "json"


def _joined(kinds: set[str]) -> str:
    if kinds == {"int", "float"}:
        return "float"
    return next(iter(kinds)) if len(kinds) == 1 else "json"


def _value(value: Any, kind: str) -> Any:
    """The value for a column of this kind."""
    if value is None or kind in {"int", "str", "bool"}:
        return value
    if kind == "float":
        return float(value)
    return [float(each) for each in value] if kind == "floats" else _json(value)


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
