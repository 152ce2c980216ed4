"""A range of the input: the unit of work that one worker processes at a time."""

from __future__ import annotations

import msgspec

WHOLE = -1
"""End of a range that is a whole file, whatever its size: packed data and tables cannot be cut."""


class Range(msgspec.Struct, frozen=True):
    """Bytes of one input file, from the start of a line to the end of one."""

    # From 0, in the order of the input.
    number: int
    begin: int
    # The byte after the last one, or `WHOLE`.
    end: int
    # Number of the first line, in the whole input.
    line: int = 1
    # Number of lines; 0 if unknown.
    lines: int = 0
    # CRC-32 of the bytes; 0 for a whole file.
    crc: int = 0
    # CRC-32 of the file up to its end.
    total_crc: int = 0
    # Of several inputs, and of Parquet: which file, the number of the first line in it, and how many of its lines.
    # `line` and `lines` then count rows, as a run of one process does. Of Parquet `begin` and `end` count groups.
    file: int = 0
    file_line: int = 0
    file_lines: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole file, read as a run in one process reads it."""
        return self.end == WHOLE

    @property
    def last_line(self) -> int:
        """Number of its last line; the first one if their number is unknown."""
        return self.line + max(self.lines, 1) - 1

    @property
    def described(self) -> str:
        """Its place in the input, for messages."""
        return "the file" if self.is_whole else f"lines {self.line} to {self.last_line}"
