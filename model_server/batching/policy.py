"""Which waiting work goes into the next batch: the one policy of both servers. Pure: no clock, no I/O, no waiting.

Rules of this file
  1. Work-conserving: whoever has a free worker calls `pop`, and gets a batch if anything at all is waiting.
  2. The oldest waiting item is always in the batch, so an item with k others before it leaves in at most k + 1 pops.
  3. The rest is filled from a window of the oldest items of the same kind, nearest padded length first, because a
     batch costs `items x longest`. Count-only batching is slower than none on mixed lengths.
  4. The budget counts padded tokens. An item that alone exceeds it still goes, alone.
  5. Cancelled and expired items are dropped here, at the pop, before anything is computed for them, and handed back
     so that they can be counted and answered. Only items that were looked at are dropped; the others wait their turn.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the policy needs to know of an item."""

    kind: str  # only items of one kind share a batch
    tokens: int  # its own length
    arrived: float
    deadline: float  # absolute, inf for none
    cancelled: bool


T = TypeVar("T", bound=Waiting)


@dataclass(frozen=True)
class BatchPolicy:
    """The bounds of a batch. `items_max` >= 1; `tokens_max` in padded tokens, 0 for no bound."""

    items_max: int = 1
    tokens_max: int = 0
    pad_multiple: int = 1  # lengths are padded to a multiple of this
    window_batches: int = 4  # how many batches' worth of items are looked at

    def __post_init__(self) -> None:
        for name, low in (("items_max", 1), ("tokens_max", 0), ("pad_multiple", 1), ("window_batches", 1)):
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"{name} = {value!r}: must be an integer >= {low}")

    def padded(self, tokens: int) -> int:
        """A length rounded up to the next multiple; at least one multiple."""
        multiple = self.pad_multiple
        return max(multiple, -(-tokens // multiple) * multiple)

    def fits(self, items: int, longest: int) -> bool:
        """May a batch hold this many items with this padded length?"""
        return items <= self.items_max and (not self.tokens_max or items * longest <= self.tokens_max)


class BatchQueue(Generic[T]):
    """Waiting items in order of arrival, one line per kind."""

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self._lines: dict[str, deque[tuple[int, T]]] = {}
        self._pushed = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: T) -> None:
        """Add an item at the end of its kind's line."""
        line = self._lines.get(item.kind)
        if line is None:
            line = self._lines[item.kind] = deque()
        line.append((self._pushed, item))
        self._pushed += 1
        self._size += 1

    def pop(self, now: float) -> tuple[list[T], list[T]]:
        """The next batch (empty only if nothing alive waits), and what was dropped as cancelled or expired."""
        dropped: list[T] = []
        line = self._oldest_line(now, dropped)
        if line is None:
            return [], dropped
        _, first = line.popleft()
        batch = [first]
        if line and self.policy.items_max > 1:
            self._fill(batch, line, now, dropped)
        self._size -= len(batch)
        return batch, dropped

    def _oldest_line(self, now: float, dropped: list[T]) -> deque[tuple[int, T]] | None:
        best: deque[tuple[int, T]] | None = None
        for line in self._lines.values():
            while line and _is_dead(line[0][1], now):
                dropped.append(line.popleft()[1])
                self._size -= 1
            if line and (best is None or line[0][0] < best[0][0]):
                best = line
        return best

    def _fill(self, batch: list[T], line: deque[tuple[int, T]], now: float, dropped: list[T]) -> None:
        policy = self.policy
        window: list[tuple[int, T]] = []
        while line and len(window) < policy.items_max * policy.window_batches - 1:
            entry = line.popleft()
            if _is_dead(entry[1], now):
                dropped.append(entry[1])
                self._size -= 1
            else:
                window.append(entry)
        target = longest = policy.padded(batch[0].tokens)
        taken: set[int] = set()
        for number, item in sorted(window, key=lambda entry: (abs(policy.padded(entry[1].tokens) - target), entry[0])):
            if len(batch) == policy.items_max:
                break
            length = max(longest, policy.padded(item.tokens))
            if policy.fits(len(batch) + 1, length):
                batch.append(item)
                taken.add(number)
                longest = length
        line.extendleft(entry for entry in reversed(window) if entry[0] not in taken)


def _is_dead(item: Waiting, now: float) -> bool:
    return item.cancelled or item.deadline < now
