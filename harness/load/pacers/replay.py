"""Arrivals replayed from a recorded trace."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from harness.client.checks import positive
from harness.client.errors import SettingError, UsageError
from harness.load.lines import text_of

# The header of a CSV begins with a letter; an offset does not.
_HEADER = re.compile(r"(?!(nan|inf|infinity)$)[A-Za-z_]", re.IGNORECASE)


@dataclass(frozen=True)
class Replay:
    """Offsets in seconds from a trace file, one per line (the first column of a CSV), played `speed` times as fast.

    The file is UTF-8, plain or compressed (gzip, Zstandard). A first line that begins with a letter is
    the header of a CSV.
    """

    path: str = ""
    speed: float = 1.0
    # The trace may end before the duration.
    ends_itself: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "speed")
        if not self.path:
            raise SettingError("path is missing: a text file with one offset in seconds per line")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s), counted from the first one; the file may be unsorted."""
        offsets = sorted(self._offsets())
        if not offsets:
            raise UsageError(f"trace {self.path}: no offsets in it")
        for offset in offsets:
            due_s = (offset - offsets[0]) / self.speed
            if due_s < duration_s:
                yield due_s

    def _offsets(self) -> Iterator[float]:
        try:
            lines = text_of(Path(self.path)).splitlines()
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
