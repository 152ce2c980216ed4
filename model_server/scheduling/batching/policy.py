"""Which waiting work goes into the next batch: the one policy of both servers. Pure: no clock, no I/O, no waiting.

Rules of this file
  1. Work-conserving: whoever has a free worker calls `pop`, and gets a batch if anything at all is waiting. With
     `linger_s` the caller waits for `ready_at` first; it is anchored to the oldest arrival, so it never adds up.
  2. The oldest waiting item is always in the batch, so an item with k others before it leaves in at most k + 1 pops.
  3. The rest is filled from a window of the oldest items of the same kind, by padded length (`batching.filling`),
     because a batch costs `items x longest`. Count-only batching is slower than none on mixed lengths.
  4. The budget counts padded tokens. An item that alone exceeds it still goes, alone.
  5. Cancelled and expired items are never computed. Whoever knows of them takes them out at once (`discard`); those
     that a pop finds are handed back, so that they can be counted and answered.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from model_server.scheduling.batching.filling import cheapest_group, nearest


class Waiting(Protocol):
    """What the policy needs to know of an item. Items are told apart by identity."""

    kind: str  # only items of one kind share a batch
    tokens: int  # its own length
    arrived: float
    deadline: float  # absolute, inf for none
    cancelled: bool

    def __hash__(self) -> int: ...


T = TypeVar("T", bound=Waiting)
_WINDOW_MAX = 256  # more is looked at only if a single batch holds more: choosing must stay cheap beside computing


@dataclass(frozen=True)
class BatchPolicy:
    """The bounds of a batch and how it is chosen. `items_max` >= 1; `tokens_max` in padded tokens, 0 for no bound."""

    items_max: int = 1
    tokens_max: int = 0
    pad_multiple: int = 1  # lengths are padded to a multiple of this
    window_batches: int = 4  # how many batches' worth of items are looked at
    linger_s: float = 0.0  # how long a batch that is not full waits for company, from its oldest item's arrival on
    overhead_tokens: float = 0.0  # what a batch costs beyond its padded tokens, in tokens; 0: unknown, fill it up

    def __post_init__(self) -> None:
        for name, low in (("items_max", 1), ("tokens_max", 0), ("pad_multiple", 1), ("window_batches", 1)):
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"{name} = {value!r}: must be an integer >= {low}")
        for name in ("linger_s", "overhead_tokens"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} = {value!r}: must be a finite number >= 0")

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
        self._lines: dict[str, OrderedDict[T, int]] = {}  # item -> its number in order of arrival
        self._pushed = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, item: T) -> None:
        """Add an item at the end of its kind's line."""
        line = self._lines.get(item.kind)
        if line is None:
            line = self._lines[item.kind] = OrderedDict()
        line[item] = self._pushed
        self._pushed += 1
        self._size += 1

    def waits(self, item: T) -> bool:
        """It has not left yet."""
        line = self._lines.get(item.kind)
        return line is not None and item in line

    def discard(self, item: T) -> bool:
        """Take an item out wherever it stands; False if it is not waiting."""
        line = self._lines.get(item.kind)
        if line is None or line.pop(item, None) is None:
            return False
        self._size -= 1
        return True

    def ready_at(self) -> float:
        """When the next batch should leave: -inf for at once, inf if nothing waits."""
        if not self._size:
            return math.inf
        policy = self.policy
        if not policy.linger_s:
            return -math.inf
        oldest: tuple[int, T] | None = None
        for line in self._lines.values():
            if len(line) >= policy.items_max or (policy.tokens_max and self._overflows(line)):
                return -math.inf
            if line:
                item, number = next(iter(line.items()))
                oldest = (number, item) if oldest is None or number < oldest[0] else oldest
        assert oldest is not None  # noqa: S101 - for the type checker: the size is not 0
        return oldest[1].arrived + policy.linger_s

    def _overflows(self, line: OrderedDict[T, int]) -> bool:
        """More of the budget cannot be used by waiting: at most `items_max` items are looked at."""
        policy = self.policy
        longest = max((policy.padded(item.tokens) for item in line), default=0)
        return bool(line) and not policy.fits(len(line) + 1, longest)

    def pop(self, now: float) -> tuple[list[T], list[T]]:
        """The next batch (empty only if nothing alive waits), and what was dropped as cancelled or expired."""
        dropped: list[T] = []
        line = self._oldest_line(now, dropped)
        batch: list[T] = []
        if line is not None:
            batch = [next(iter(line))]
            if len(line) > 1 and self.policy.items_max > 1:
                self._fill(batch, line, now, dropped)
            for item in batch:
                del line[item]
        self._size -= len(batch) + len(dropped)
        return batch, dropped

    def _oldest_line(self, now: float, dropped: list[T]) -> OrderedDict[T, int] | None:
        best: OrderedDict[T, int] | None = None
        best_number = -1
        for line in self._lines.values():
            while line:
                item, number = next(iter(line.items()))
                if not _is_dead(item, now):
                    if best is None or number < best_number:
                        best, best_number = line, number
                    break
                del line[item]
                dropped.append(item)
        return best

    def _fill(self, batch: list[T], line: OrderedDict[T, int], now: float, dropped: list[T]) -> None:
        policy = self.policy
        wanted = min(policy.items_max * policy.window_batches, max(policy.items_max, _WINDOW_MAX))
        dead: list[T] = []
        window: list[T] = []
        for item in line:
            if len(window) == wanted:
                break
            (dead if _is_dead(item, now) else window).append(item)
        for item in dead:
            del line[item]
        dropped += dead
        lengths = [policy.padded(item.tokens) for item in window]
        choose = cheapest_group if policy.overhead_tokens else nearest
        batch[1:] = [window[place] for place in choose(lengths, policy)]


def _is_dead(item: Waiting, now: float) -> bool:
    return item.cancelled or item.deadline < now
