"""Batching policy of both servers: selects the waiting items of the next batch. Pure: no clock, no I/O, no waiting.

Rules of this file
  1. Work-conserving: for a free worker, `pop` returns a batch if any item waits. With `linger_s` the caller first waits
     until `ready_at`, which counts from the oldest arrival, so linger times do not add up.
  2. The oldest waiting item is always in the batch, so an item with k items before it leaves in at most k + 1 pops.
  3. The batch is filled from a window of the oldest items of the same kind, by padded length (`batching.filling`),
     because a batch costs `items x longest`. On mixed lengths, count-only batching is slower than no batching.
  4. The budget counts padded tokens. An item that exceeds it is computed alone.
  5. Cancelled and expired items are never computed. `discard` removes them immediately; `pop` returns those that it
     finds, so that they can be counted and answered.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from model_server.scheduling.batching.filling import cheapest_group, nearest


class Waiting(Protocol):
    """Attributes of an item that the policy uses. Items are compared by identity."""

    kind: str  # only items of one kind share a batch
    tokens: int  # its own length
    arrived: float
    deadline: float  # absolute, inf for none
    cancelled: bool

    def __hash__(self) -> int: ...


T = TypeVar("T", bound=Waiting)
# Items in the window, unless one batch can hold more: the selection must be cheap compared with the computation.
_WINDOW_MAX = 256


@dataclass(frozen=True)
class BatchPolicy:
    """Bounds of a batch and parameters of its selection.

    `tokens_max` counts padded tokens, 0 for no bound; lengths are padded to a multiple of `pad_multiple`. The window
    holds up to `window_batches` full batches. A batch waits up to `linger_s` to fill, from the arrival of its oldest
    item. `overhead_tokens` is the fixed cost of a batch in padded tokens; 0 for unknown: every batch is filled.
    """

    items_max: int = 1
    tokens_max: int = 0
    pad_multiple: int = 1
    window_batches: int = 4
    linger_s: float = 0.0
    overhead_tokens: float = 0.0

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
        """True if a batch may hold this number of items with this padded length."""
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
        """True if the item is still in the queue."""
        line = self._lines.get(item.kind)
        return line is not None and item in line

    def discard(self, item: T) -> bool:
        """Remove an item from the queue; False if it does not wait."""
        line = self._lines.get(item.kind)
        if line is None or line.pop(item, None) is None:
            return False
        self._size -= 1
        return True

    def ready_at(self) -> float:
        """The instant at which the next batch should start: -inf for now, inf if no item waits."""
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
        """True if another item would exceed the budget; the line has fewer than `items_max` items."""
        policy = self.policy
        longest = max((policy.padded(item.tokens) for item in line), default=0)
        return bool(line) and not policy.fits(len(line) + 1, longest)

    def pop(self, now: float) -> tuple[list[T], list[T]]:
        """The next batch (empty only if no live item waits), and the items dropped as cancelled or expired."""
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
