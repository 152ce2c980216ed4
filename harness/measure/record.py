"""The record files: fixed-width rows appended while a run goes on, so that `kill -9` loses at most the last flush.

Rules of this file
  1. Instants are int64 nanoseconds since the load's zero (`t0`); -1 means "did not happen". Integers, so that
     latency = lag + queue wait + retry time + service time holds exactly, for every row.
  2. A file is a magic line, one line of JSON (the header), then rows. A torn last row is dropped by the reader.
  3. Rows are never changed after they were written. What is derived is derived by `summary`, offline.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

MAGIC = b"paceline-records 1\n"

REQUEST_DTYPE = np.dtype(
    [
        ("index", "<u8"),  # the item's place in the workload
        ("due", "<i8"),
        ("fired", "<i8"),  # given out by the load
        ("first_sent", "<i8"),  # first attempt handed to the socket
        ("sent", "<i8"),  # last attempt handed to the socket
        ("first_byte", "<i8"),
        ("last_chunk", "<i8"),  # last content event of a stream
        ("done", "<i8"),
        ("outcome", "u1"),  # harness.client.types.Outcome
        ("flags", "u1"),  # FLAG_*
        ("status", "<u2"),
        ("attempts", "<u2"),
        ("user", "<u2"),  # which client application
        ("chunks", "<u4"),  # content events of a stream
        ("priority", "<i4"),
    ]
)
"""One row per item that left the load."""
REQUEST_ROW = struct.Struct("<Q7q2B3HIi")
FLAG_CACHED = 1

ATTEMPT_DTYPE = np.dtype(
    [
        ("index", "<u8"),
        ("sent", "<i8"),
        ("first_byte", "<i8"),
        ("done", "<i8"),
        ("number", "<u2"),  # 0 for the first
        ("status", "<u2"),
        ("outcome", "u1"),
        ("pad", "V3"),
    ]
)
"""One row per attempt that was followed by another one; the last attempt is in the request's row."""
ATTEMPT_ROW = struct.Struct("<Q3q2HB3x")

TIMELINE_DTYPE = np.dtype(
    [
        ("t", "<f8"),  # seconds since t0
        ("in_flight", "<f8"),  # attempts sent and unanswered, now
        ("limit", "<f8"),  # the strategy's concurrency limit, now; NaN if it has none
        ("pulled", "<f8"),  # items given out so far
        ("done", "<f8"),  # requests ended so far
        ("loop_lag", "<f8"),  # seconds by which this tick came late: the event loop was busy
        ("cpu", "<f8"),  # CPU seconds of this process so far
        ("rss", "<f8"),  # resident bytes, now
    ]
)
"""One row per client application process and tick (about 20 a second)."""
TIMELINE_ROW = struct.Struct("<8d")

KINDS: dict[str, np.dtype[Any]] = {"requests": REQUEST_DTYPE, "attempts": ATTEMPT_DTYPE, "timeline": TIMELINE_DTYPE}

assert REQUEST_ROW.size == REQUEST_DTYPE.itemsize  # noqa: S101 - the two descriptions of one row must agree
assert ATTEMPT_ROW.size == ATTEMPT_DTYPE.itemsize  # noqa: S101 - as above
assert TIMELINE_ROW.size == TIMELINE_DTYPE.itemsize  # noqa: S101 - as above


class Header(msgspec.Struct, frozen=True):
    """The second line of a record file."""

    kind: str  # a key of KINDS
    case: str
    repeat: int
    process: int  # 0 for the only or first Locust process
    t0_unix_s: float  # wall clock at the load's zero, to lay processes side by side
    row_bytes: int


class End(msgspec.Struct, frozen=True):
    """`*.end.json`, written once by each process when its part of a case is over; its absence marks a partial case."""

    scheduled: int  # items the load meant to give out until the end (or the stop)
    pulled: int  # items given out to strategies
    recorded: int  # rows written
    not_sent: int  # scheduled items that never became a row
    bad_lines: int = 0  # input lines set aside
    first_bad_line: str | None = None  # "line 17: text2 is missing"
    interrupted: str | None = None  # why it ended early, in words
    duration_s: float = 0.0  # t0 to the end of the drain
    cpu_s: float = 0.0  # CPU used by this process between t0 and the end
    rss_start_mb: float = 0.0
    rss_max_mb: float = 0.0
    locust_requests: int | None = None  # Locust's own totals, where one process sees them all
    locust_failures: int | None = None
    error: str | None = None  # one line, if the engine itself failed
    schedule_sha256: str | None = None
    host_steal_share: float | None = None  # of the CPU time this machine asked for, what its host gave to others
    lost_rows: int = 0  # rows that could not be written (disk full); counted, and missing from the files


def encode_header(header: Header) -> bytes:
    """Magic and header, ready to be written first."""
    return MAGIC + msgspec.json.encode(header) + b"\n"


def read(path: Path) -> tuple[Header, np.ndarray[Any, np.dtype[Any]]]:
    """Header and rows of a record file; a torn last row is left out. Raises ValueError if it is not one of ours."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path}: not a paceline record file")
    end = data.find(b"\n", len(MAGIC))
    if end < 0:
        raise ValueError(f"{path}: the header is torn")
    header = msgspec.json.decode(data[len(MAGIC) : end], type=Header)
    dtype = KINDS[header.kind]
    body = memoryview(data)[end + 1 :]
    count = len(body) // dtype.itemsize
    return header, np.frombuffer(body[: count * dtype.itemsize], dtype=dtype)
