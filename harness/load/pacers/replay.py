"""Arrivals replayed from a recorded trace: from a list of offsets, or from a trace with lengths and sessions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import ClassVar

from harness.client.checks import between, positive
from harness.client.errors import SettingError, UsageError
from harness.client.input_settings import InputSettings
from harness.client.trace_settings import FORMS, LENGTH_MAX_S, REPEAT_MAX
from harness.load.lines import text_of
from harness.load.traces.played_trace import Changes, Played, played
from harness.load.traces.reading import Rows, read

BYTES_MAX = 1024**3
"""Of a file of offsets; each takes some ten bytes."""
# The header of a CSV begins with a letter; an offset does not.
_HEADER = re.compile(r"(?!(nan|inf|infinity)$)[A-Za-z_]", re.IGNORECASE)


@dataclass(frozen=True)
class Replay:
    """Arrivals of a trace file, played `speed` times as fast.

    With the format `offsets`, the file has an offset in seconds per line (the first column of a CSV). It is UTF-8,
    plain or compressed (gzip, Zstandard). A first line that begins with a letter is the header of a CSV. `--trace` sets
    the other settings; they are those of its options.
    """

    path: str = ""
    speed: float = 1.0
    format: str = "offsets"
    columns: tuple[str, ...] = ()
    time_unit: str | None = None
    sort: bool = False
    from_s: float | None = None
    until_s: float | None = None
    repeat: int = 1
    bootstrap_s: float | None = None
    block_s: float | None = None
    where: str | None = None
    input_format: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    # The mean rate that `speed` gives, for the record.
    mean_rate_per_s: float | None = None
    # The trace may end before the duration.
    ends_itself: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "speed")
        if self.format not in ("offsets", "auto", *FORMS):
            raise SettingError(f"format={self.format!r} must be one of offsets, auto, {', '.join(FORMS)}")
        between(self, 1, REPEAT_MAX, "repeat")
        for name in ("from_s", "until_s", "bootstrap_s", "block_s"):
            if getattr(self, name) is not None:
                between(self, 0.0, LENGTH_MAX_S, name)
        if not self.path:
            raise SettingError("path is missing: a text file with one offset in seconds per line")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s), counted from the first one; offsets may be unsorted."""
        if self.format != "offsets":
            yield from takewhile(lambda due_s: due_s < duration_s, self.played(rng).due_s)
            return
        offsets = sorted(self._offsets())
        if not offsets:
            raise UsageError(f"trace {self.path}: no offsets in it")
        for offset in offsets:
            due_s = (offset - offsets[0]) / self.speed
            if due_s < duration_s:
                yield due_s

    def fingerprint(self, count: int, rng: Random) -> bytes:
        """Digest of what the first `count` arrivals carry: lengths, sessions and ids of blocks."""
        if self.format == "offsets":
            return b""
        made = self.played(rng)
        return self.rows().sha256() + made.row[:count].tobytes() + made.copy[:count].tobytes()

    def rows(self) -> Rows:
        """The rows of the trace; kept, because the arrivals and the prompts are both made from them."""
        return _rows(self, _stamp(self.path))

    def played(self, rng: Random) -> Played:
        """Its arrivals with their rows. The same `rng` gives the same ones."""
        return _played(self, _stamp(self.path), rng.getrandbits(64))

    def _offsets(self) -> Iterator[float]:
        try:
            lines = text_of(Path(self.path), BYTES_MAX).splitlines()
        except UsageError as error:
            raise UsageError(f"trace {error}") from error
        begun = False
        for number, line in enumerate(lines, 1):
            cell = line.split(",")[0].strip().strip('"').strip()
            if not cell or cell.startswith("#"):
                continue
            header, begun = not begun and _HEADER.match(cell) is not None, True
            if header:
                continue
            try:
                value = float(cell)
            except ValueError:
                raise UsageError(f"trace {self.path}, line {number}: {cell!r} is not a number of seconds") from None
            if not math.isfinite(value):
                raise UsageError(f"trace {self.path}, line {number}: {cell!r} is not finite")
            yield value


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of the last change, so that a file that was changed is read again."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise UsageError(f"--trace {path}: {error.strerror or error}") from error
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=1)
def _played(of: Replay, stamp: tuple[int, int], seed: int) -> Played:
    changes = Changes(of.speed, of.from_s, of.until_s, of.repeat, of.bootstrap_s, of.block_s)
    return played(_rows(of, stamp), changes, Random(seed), of.path)


@lru_cache(maxsize=1)
def _rows(of: Replay, stamp: tuple[int, int]) -> Rows:
    reading = InputSettings(of.input_format, of.delimiter, of.encoding, of.where)
    return read(of.path, of.format, of.columns, of.time_unit, of.sort, reading)
