"""Bounds the bytes of answers in memory: for each answer, and for all answers of the process together.

Rules of this file
  1. No lock: the threads of the blocking transport call this, also where gevent has patched locks. Each answer writes
     its own entry only, and the sum is of a copy.
  2. A small answer is never refused because others are large, so a recovered server is measured correctly.
"""

from __future__ import annotations

from harness.client.errors import BadResponse

BODY_MAX = 64 * 1024 * 1024  # bytes of one answer
SUM_MAX = 512 * 1024 * 1024  # bytes of all answers that the process reads at one time
SMALL = 1024 * 1024  # an answer up to this size is not refused for the sum
EVENT_COST = 128  # bytes that an event of a stream costs beside its text: two objects and a stamp

_sizes: dict[int, int] = {}  # by answer, of those above SMALL


class Held:
    """The memory of one answer that is being read; use it with `with`."""

    __slots__ = ("_counted", "_max", "size")

    def __init__(self, most: int = BODY_MAX) -> None:
        self.size = 0
        self._counted = 0
        self._max = most

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        if self._counted:
            _sizes.pop(id(self), None)

    def add(self, size: int) -> None:
        """Add bytes; raises BadResponse if that exceeds a bound."""
        self.size += size
        if self.size > self._max:
            raise BadResponse(f"an answer of more than {self._max} bytes")
        if self.size - self._counted > SMALL:
            self._count()

    def _count(self) -> None:
        self._counted = _sizes[id(self)] = self.size
        total = sum(tuple(_sizes.values()))
        if total > SUM_MAX:
            raise BadResponse(
                f"an answer of more than {self.size} bytes, while the answers that are being read "
                f"hold {total} bytes together; at most {SUM_MAX} are held"
            )
