"""Log of adaptive limits: a JSON Lines file beside the records of a process, created with the first decision.

A line is [seconds since the load's zero, application, limit before, limit after, cause, pace per second or null]. When
a case ends, a line with the number of decisions that did not fit is added: {"dropped": 3}. A line
{"bounds": [begin, width, counts]} says how often each `Bound` was found when the gates were asked in a span of time, in
seconds since the load's zero. Each flush ends with a line that holds the CRC-32 of its lines, such as
{"crc32": "0badcafe"}.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path

import msgspec

from harness.client.bound import Bound
from harness.client.hooks import LimitDetails, LimitHook

# Maximum number of lines of one process in one repeat of a case.
MOST = 20_000
SPAN_S = 1.0
"""A line on bounds covers so many seconds. The number doubles after each `SPANS` lines, so that a long case has few."""
SPANS = 1_000


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """A line of the file."""

    t_s: float
    application: int
    before: int
    after: int
    cause: str  # a code of `harness.client.cause.Cause`, or the text of a custom limit
    pace_per_s: float | None = None


class BoundCounts(msgspec.Struct, frozen=True, array_like=True):
    """What bound the sending in a span of time: how often each `Bound` was found, by its number."""

    t_s: float
    width_s: float
    counts: list[int]


class _Dropped(msgspec.Struct, frozen=True):
    dropped: int


class _Bounds(msgspec.Struct, frozen=True):
    bounds: BoundCounts


class DecisionLog:
    """Appends the decisions of one process. After a write error they are dropped and the load continues."""

    def __init__(self, path: Path, t0: float, most: int = MOST) -> None:
        self.error: str | None = None
        self.dropped = 0
        self.rows = 0  # decisions written to the file
        self._path = path
        self._t0 = t0
        self._room = most
        self._lines = bytearray()
        self._fd = -1
        self._encode = msgspec.json.Encoder().encode
        # Of the present span.
        self._span = BoundCounts(0.0, SPAN_S, [0] * len(Bound))
        self._spans = 0

    def note(self, application: int) -> LimitHook:
        """The hook for `harness.client.watching` that logs the limit changes of one client application."""

        def note(change: LimitDetails) -> None:
            if not self._room or self.error is not None:
                self.dropped += 1
                return
            self._room -= 1
            pace = round(change.pace_per_s, 3) if math.isfinite(change.pace_per_s) else None
            at_s = round(change.at_s - self._t0, 6)
            line = Decision(at_s, application, change.before, change.after, change.cause, pace)
            self._lines += self._encode(line) + b"\n"

        return note

    def note_bound(self, t_s: float, bound: Bound) -> None:
        """A gate was asked, `t_s` seconds after the load's zero."""
        if t_s >= self._span.t_s + self._span.width_s:
            self._end_span()
            width_s = SPAN_S * 2.0 ** (self._spans // SPANS)
            self._span = BoundCounts(t_s // width_s * width_s, width_s, [0] * len(Bound))
        self._span.counts[bound] += 1

    def _end_span(self) -> None:
        if any(self._span.counts) and self.error is None:
            self._lines += self._encode(_Bounds(self._span)) + b"\n"
            self._spans += 1

    def flush(self) -> None:
        """Write the buffered decisions to the file."""
        if not self._lines:
            return
        lines, self._lines = self._lines, bytearray()
        decisions = lines.count(b"\n[") + lines.startswith(b"[")
        lines += _checksum(lines)
        try:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
                self._fd = os.open(self._path, flags, 0o644)
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self.error = f"could not write decisions of the limit: {error.strerror or error}"
            self.dropped += decisions
        else:
            self.rows += decisions

    def close(self) -> None:
        """Flush, add the number of dropped decisions, and close the file."""
        self._end_span()
        self.flush()
        if self._fd >= 0 and self.error is None:
            self._lines += self._encode(_Dropped(self.dropped)) + b"\n"
            self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(path: Path) -> tuple[list[Decision], int]:
    """The sound decisions of a file, and the number of dropped ones. A missing file has none."""
    decisions, dropped = list[Decision](), 0
    for line in _sound(path)[0]:
        try:
            if line.startswith(b'{"bounds"'):
                continue
            if line.startswith(b"{"):
                dropped += msgspec.json.decode(line, type=_Dropped).dropped
            else:
                decisions.append(msgspec.json.decode(line, type=Decision))
        except msgspec.MsgspecError:
            # The line is incomplete because the disk was full.
            continue
    return decisions, dropped


def read_bounds(path: Path) -> list[BoundCounts]:
    """What bound the sending, in the order of time; empty where no gate was asked."""
    spans = list[BoundCounts]()
    for line in _sound(path)[0]:
        if line.startswith(b'{"bounds"'):
            try:
                spans.append(msgspec.json.decode(line, type=_Bounds).bounds)
            except msgspec.MsgspecError:
                # The line is incomplete because the disk was full, or of a later version.
                continue
    return spans


def is_sound(path: Path, ended: bool, expected: int | None = None) -> bool:
    """Whether every line is as it was written, and as many decisions as the process counted are there.

    If the process did not end, the last flush may be incomplete.
    """
    lines, damaged, torn = _sound(path)
    complete = expected is None or expected == sum(line.startswith(b"[") for line in lines)
    return complete and not damaged and not (torn and ended)


def _checksum(lines: bytes | bytearray) -> bytes:
    return b'{"crc32": "%08x"}\n' % zlib.crc32(lines)


def _sound(path: Path) -> tuple[list[bytes], bool, bool]:
    """Lines of the sound flushes; whether a flush is damaged; whether the last one is incomplete."""
    try:
        rest = path.read_bytes()
    except OSError:
        return [], False, False
    lines, flush, damaged = list[bytes](), bytearray(), False
    for line in rest.splitlines(keepends=True):
        if not line.startswith(b'{"crc32"'):
            flush += line
            continue
        if line == _checksum(flush):
            lines += bytes(flush).splitlines()
        else:
            damaged = True
        flush.clear()
    return lines, damaged, bool(flush)
