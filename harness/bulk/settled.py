"""The set of settled lines: a number for the prefix, a set for lines above it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Set

Runs = list[tuple[int, int]]
"""Inclusive ranges of line numbers, ascending."""


class Done:
    """Every line below `next` is settled, and those in `above`. Small while the intake keeps to a window."""

    __slots__ = ("above", "next")

    def __init__(self, first: int = 1, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.next = first
        self.above: set[int] = set()
        for low, high in runs:
            self.above.update(range(low, high + 1))
        self._advance()

    def __contains__(self, line: int) -> bool:
        return line < self.next or line in self.above

    def add(self, line: int) -> range:
        """Settle a line; the lines that the prefix has grown by, in order (often none)."""
        if line != self.next:
            if line > self.next:
                self.above.add(line)
            return range(0)
        before = self.next
        self.next += 1
        if self.above:
            self._advance()
        return range(before, self.next)

    def _advance(self) -> None:
        above = self.above
        while self.next in above:
            above.remove(self.next)
            self.next += 1

    def runs(self, without: Set[int] = frozenset()) -> Runs:
        """Settled lines above the prefix, as ranges: one for each gap."""
        found: Runs = []
        low = high = -1
        for line in sorted(self.above - without):
            if line == high + 1:
                high = line
            else:
                if low >= 0:
                    found.append((low, high))
                low = high = line
        if low >= 0:
            found.append((low, high))
        return found
