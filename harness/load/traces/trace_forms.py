"""Forms of traces: the columns of each one, and the unit of its times."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from harness.client.errors import UsageError
from harness.client.trace_settings import FIELDS, UNITS, trace_columns

_SHOWN = 12


class Form(NamedTuple):
    """Where a trace has what. `unit_s` is None if it depends on the values."""

    name: str
    arrival: str
    input: str
    output: str
    session: str | None = None
    hashes: str | None = None
    unit_s: float | None = None

    @property
    def needed(self) -> tuple[str, str, str]:
        """Columns that a trace of this form has in any case."""
        return self.arrival, self.input, self.output


MOONCAKE = Form("mooncake", "timestamp", "input_length", "output_length", "session_id", "hash_ids", UNITS["ms"])
BURSTGPT = Form("burstgpt", "Timestamp", "Request tokens", "Response tokens", "Session ID", unit_s=UNITS["s"])
AZURE = Form("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens")
PUBLISHED = {form.name: form for form in (MOONCAKE, BURSTGPT, AZURE)}
_WORDS = {"s": "s", "sec": "s", "secs": "s", "seconds": "s", "ms": "ms", "millis": "ms", "milliseconds": "ms"}
_WORDS |= {"us": "us", "micros": "us", "microseconds": "us", "ns": "ns", "nanos": "ns", "nanoseconds": "ns"}
_BY_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(_WORDS)})$")


def form_of(path: str, names: Collection[str], given: str | None, columns: Collection[str]) -> Form:
    """The form of a trace with these columns; raises UsageError."""
    if columns:
        return _own(path, names, trace_columns(columns))
    if given is not None:
        return _checked(path, PUBLISHED[given], names, f"--trace-format {given}")
    for form in PUBLISHED.values():
        if set(form.needed) <= set(names):
            return form
    known = "; ".join(f"{form.name}: {', '.join(form.needed)}" for form in PUBLISHED.values())
    raise UsageError(
        f"--trace {path}: its columns ({_few(names)}) are those of no known form ({known}); name them with --columns "
        "arrival=...,input=...,output=..."
    )


def _own(path: str, names: Collection[str], columns: dict[str, str]) -> Form:
    arrival, taken, made = (columns[field] for field in FIELDS[:3])
    form = Form("columns", arrival, taken, made, columns.get("session"), columns.get("hashes"))
    for field, column in columns.items():
        if column not in names:
            raise UsageError(f"--columns {field}={column}: {path} has no such column; it has {_few(names)}")
    return form


def _checked(path: str, form: Form, names: Collection[str], flag: str) -> Form:
    if missing := [name for name in form.needed if name not in names]:
        raise UsageError(f"{flag}: {path} has no column {' and none '.join(map(repr, missing))}; it has {_few(names)}")
    return form


def unit_s(form: Form, given: str | None, first: float, path: str) -> float:
    """Seconds of a unit of numbers in the column of arrivals: as given, as the form has it, by the name or the size."""
    if given is not None:
        return UNITS[given]
    if form.unit_s is not None:
        return form.unit_s
    if named := _BY_NAME.search(form.arrival.lower()):
        return UNITS[_WORDS[named[1]]]
    # Seconds since 1970 in any unit, between 2001 and 2286.
    for name, second in (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if 1e9 * second <= first < 1e10 * second:
            return UNITS[name]
    raise UsageError(
        f"--trace {path}: the unit of {form.arrival!r} is unknown (its first value is {first:g}); give --time-unit "
        f"{', '.join(UNITS)}"
    )


def _few(names: Collection[Any]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "") if shown else "none"
