"""Record files: fixed-width rows, appended during a run. `kill -9` loses at most the rows since the last flush.

Rules of this file
  1. Instants are int64 nanoseconds since the load's zero (`t0`); -1 means "did not happen". Integers, so that
     latency = lag + queue wait + retry time + service time holds exactly, for every row.
  2. A file is a magic line, a header, then frames of rows (`frames`), one for each flush, each with its checksum.
     The reader leaves out an incomplete last frame and reports any other damage.
  3. Written rows are never changed. `summary` derives all figures from them, offline.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.client.errors import UsageError
from harness.client.figures import LayerCounts
from harness.measure.prompt_result import TokenSums
from harness.measure.result import FailureSample

MAGIC = b"paceline-records 2\n"
OLD_MAGIC = b"paceline-records 1\n"
"""Format 1 had no checksums. It is refused because its rows cannot be verified."""
HEADER_BYTES_MAX = 65536

REQUEST_DTYPE = np.dtype(
    [
        ("index", "<u8"),  # the item's position in the workload
        ("due", "<i8"),
        ("fired", "<i8"),  # emitted by the load
        ("first_sent", "<i8"),  # first attempt handed to the socket
        ("sent", "<i8"),  # last attempt handed to the socket
        ("first_byte", "<i8"),
        ("last_chunk", "<i8"),  # last content event of a stream
        ("done", "<i8"),
        ("outcome", "u1"),  # harness.client.types.Outcome
        ("flags", "u1"),  # FLAG_*
        ("status", "<u2"),
        ("attempts", "<u2"),
        ("user", "<u2"),  # number of the client application
        ("chunks", "<u4"),  # content events of a stream
        ("priority", "<i4"),
    ]
)
"""One row per item that the load emitted."""
REQUEST_ROW = struct.Struct("<Q7q2B3HIi")
FLAG_CACHED = 1
FLAG_STOPPED = 64  # a stream that the client ended on purpose, as the load says
FLAG_SKIPPED = 128  # a turn that was not sent, because an earlier one of its session failed

ATTEMPT_DTYPE = np.dtype(
    [
        ("index", "<u8"),
        ("sent", "<i8"),
        ("first_byte", "<i8"),
        ("done", "<i8"),
        ("number", "<u2"),  # 0 for the first
        ("status", "<u2"),
        ("outcome", "u1"),
        ("own", "u1"),  # 1: a layer's own call, which is no attempt of the item
        ("pad", "V2"),
    ]
)
"""One row per additional exchange: earlier attempts, hedges, and layers' own calls."""
ATTEMPT_ROW = struct.Struct("<Q3q2HBB2x")

TIMELINE_DTYPE = np.dtype(
    [
        ("t", "<f8"),  # seconds since t0
        ("in_flight", "<f8"),  # in-flight attempts
        ("limit", "<f8"),  # the strategy's concurrency limit; NaN if it has none
        ("pulled", "<f8"),  # items emitted so far
        ("done", "<f8"),  # requests completed so far
        ("loop_lag", "<f8"),  # seconds by which this tick was late because the event loop was busy
        ("cpu", "<f8"),  # CPU seconds of this process so far
        ("rss", "<f8"),  # resident bytes
    ]
)
"""One row per client application process and tick (about 20 a second)."""
TIMELINE_ROW = struct.Struct("<8d")

TOKEN_DTYPE = np.dtype(
    [
        ("row", "<u8"),  # place of the request's first row among the rows of its process, from 0
        ("index", "<u8"),  # of that row
        ("prompt", "<i4"),  # tokens; -1: not known
        ("output", "<i4"),
        ("cached", "<i4"),  # of the prompt
        ("reasoning", "<i4"),  # of the output
        ("first", "<u2"),  # tokens, else content events, that came at the instant of the first one; 0: no stream
        ("flags", "u1"),  # TOKENS_*
        ("pad", "V5"),
    ]
)
"""One row per request that streamed or whose server counted tokens. A request of several items has one."""
TOKEN_ROW = struct.Struct("<2Q4iHB5x")
TOKENS_ARE_EVENTS = 1
"""The server did not count the output: the content events of the stream are counted."""
FIRST_IS_COUNTED = 2
"""The server said how many tokens the first content event carried."""

GAPS = 14
GAP_DTYPE = np.dtype([("row", "<u8"), ("gaps", "<f4", (GAPS,))])
"""Seconds between the content events of one stream, in their order; as many rows as it takes, filled up with NaN."""

KINDS: dict[str, np.dtype[Any]] = {
    "requests": REQUEST_DTYPE,
    "attempts": ATTEMPT_DTYPE,
    "timeline": TIMELINE_DTYPE,
    "tokens": TOKEN_DTYPE,
    "gaps": GAP_DTYPE,
}

assert REQUEST_ROW.size == REQUEST_DTYPE.itemsize  # noqa: S101 - the two descriptions of one row must agree
assert ATTEMPT_ROW.size == ATTEMPT_DTYPE.itemsize  # noqa: S101 - as above
assert TIMELINE_ROW.size == TIMELINE_DTYPE.itemsize  # noqa: S101 - as above
assert TOKEN_ROW.size == TOKEN_DTYPE.itemsize  # noqa: S101 - as above


class Header(msgspec.Struct, frozen=True):
    """The third line of a record file. The second line contains its length and CRC-32."""

    kind: str  # a key of KINDS
    case: str
    repeat: int
    process: int  # 0 for the only or first Locust process
    t0_unix_s: float  # wall clock at the load's zero, to align processes
    row_bytes: int


class End(msgspec.Struct, frozen=True):
    """`*.end.json`, written by each process when its part of a case ends. A missing file marks a partial case."""

    scheduled: int  # items scheduled until the end or the stop
    pulled: int  # items passed to strategies
    recorded: int  # rows written
    not_sent: int  # scheduled items without a row
    bad_lines: int = 0  # skipped malformed input lines
    first_bad_line: str | None = None  # "line 17: text2 is missing"
    interrupted: str | None = None  # reason for an early end, as text
    duration_s: float = 0.0  # t0 to the end of the drain
    cpu_s: float = 0.0  # CPU used by this process between t0 and the end
    rss_start_mb: float = 0.0
    rss_max_mb: float = 0.0
    locust_requests: int | None = None  # Locust's totals, if one process has all of them
    locust_failures: int | None = None
    error: str | None = None  # one line, if the case runner or a write failed
    write_failed: bool = False  # a record file could not be written; see `error`
    schedule_sha256: str | None = None
    host_steal_share: float | None = None  # share of the requested CPU time that the host gave to other machines
    run_queue_s: float | None = None  # of the thread that waited longest for a processor; None: not counted here
    run_queue_slices: int = 0  # times that this thread was given a processor
    lost_rows: int = 0  # rows missing from the files because they could not be written (disk full)
    attempt_rows: int | None = None  # rows of the attempts file
    tick_rows: int | None = None  # rows of the timeline file
    token_rows: int | None = None  # rows of the tokens file, which is missing if there are none; None: not recorded
    gap_rows: int | None = None  # rows of the gaps file, likewise
    decision_rows: int | None = None  # decisions in the log of limits
    oddities: int = 0  # harmless deviations from the API in answers
    failure_samples: dict[str, FailureSample] = {}  # outcome -> its first failure with a text
    tokens: TokenSums | None = None  # of made-up prompts whose lengths are in tokens
    histories_cut: int = 0  # turns whose history was too long to be sent whole
    layers: list[LayerCounts] = []  # counters of the layers of this process's client applications


class TornHeaderError(ValueError):
    """The header is incomplete because the process was killed. The file has no rows to lose."""


def encode_header(header: Header) -> bytes:
    """Magic line and header, the first bytes of a file."""
    data = msgspec.json.encode(header)
    return MAGIC + _guard(data) + data + b"\n"


def _guard(data: bytes) -> bytes:
    return b"%08x %08x\n" % (len(data), zlib.crc32(data))


def decode_header(head: bytes, path: Path) -> tuple[Header, int]:
    """The header in the first bytes of a file, and the offset of its frames.

    Raises ValueError (TornHeaderError if it is only incomplete), and UsageError for a file of an older format.
    """
    if head.startswith(OLD_MAGIC):
        raise UsageError(f"{path}: recorded in format 1 by an earlier version of paceline; this one reads format 2")
    if MAGIC.startswith(head[: len(MAGIC)]) and len(head) < len(MAGIC):
        raise TornHeaderError(f"{path}: the header is torn")
    if not head.startswith(MAGIC):
        raise ValueError(f"{path}: not a paceline record file, or its first line is damaged")
    start = len(MAGIC) + len(_guard(b""))
    data, line_break, _ = head[start:].partition(b"\n")
    if head[len(MAGIC) : start] != _guard(data):
        if not line_break and len(head) < HEADER_BYTES_MAX:
            raise TornHeaderError(f"{path}: the header is torn")
        raise ValueError(f"{path}: its header is damaged")
    return msgspec.json.decode(data, type=Header), start + len(data) + 1


def read(path: Path) -> tuple[Header, np.ndarray[Any, np.dtype[Any]]]:
    """Header and rows of a record file with its segments, without an incomplete last frame.

    Raises ValueError if it is no record file or is damaged, and UsageError for an older format.
    """
    from harness.measure.record.segments import frames_of

    with path.open("rb") as file:
        header, _ = decode_header(file.read(HEADER_BYTES_MAX), path)
    dtype, parts = KINDS[header.kind], list[np.ndarray[Any, np.dtype[Any]]]()
    for rows, sound in frames_of(path, dtype):
        if rows is None or not sound:
            raise ValueError(f"{path}: rows are damaged, or some are missing")
        parts.append(rows)
    return header, np.concatenate(parts, dtype=dtype) if parts else np.empty(0, dtype)
