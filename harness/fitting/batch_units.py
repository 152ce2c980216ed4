"""Batches of one load: requests that were answered together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.fitting.seen import Floats, Seen


@dataclass(frozen=True)
class Structure:
    """What cannot be read off one latency. `workers` 0: no bound; `batch_tokens` 0: no bound."""

    workers: int = 1
    batch_items: int = 1
    pad_multiple: int = 1
    batch_tokens: int = 0
    lingers: bool = False

    @property
    def text(self) -> str:
        """In words."""
        workers = "unbounded workers" if not self.workers else f"{self.workers} worker" + "s" * (self.workers > 1)
        batches = "no batches" if self.batch_items == 1 else f"batches of up to {self.batch_items}"
        more = f", {self.batch_tokens} tokens" * bool(self.batch_tokens) + ", a linger time" * self.lingers
        return f"{workers}, {batches}{more}"


@dataclass(frozen=True)
class Units:
    """Batches of one load, in the order of their starts: items, longest length, and instants."""

    items: Floats
    longest: Floats
    tokens: Floats
    oldest: Floats  # sent
    newest: Floats  # sent
    done: Floats


def units_of(seen: Seen, structure: Structure, tolerance_s: float) -> Units:
    """The batches of a load: requests that are answered together, at most as many as fit into a batch."""
    groups = grouped(seen, structure, tolerance_s)
    items = np.array([shape.items for shape in seen.shapes], float)
    longest = np.array([shape.longest for shape in seen.shapes], float)
    tokens = np.array([sum(shape.tokens) for shape in seen.shapes], float)
    first = np.array([group[0] for group in groups], int)
    if not len(first):
        nothing = np.empty(0)
        return Units(nothing, nothing, nothing, nothing, nothing, nothing)
    order = np.concatenate(groups)
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    made = Units(
        np.add.reduceat(items[order], starts),
        np.maximum.reduceat(longest[order], starts),
        np.add.reduceat(tokens[order], starts),
        seen.sent[first],
        np.maximum.reduceat(seen.sent[order], starts),
        np.maximum.reduceat(seen.done[order], starts),
    )
    # Rows are in the order of sending, also those of one instant.
    by_age = np.argsort(first, kind="stable")
    return Units(*(getattr(made, name)[by_age] for name in Units.__dataclass_fields__))


def grouped(seen: Seen, structure: Structure, tolerance_s: float) -> list[Any]:
    """Places of the requests of each batch."""
    if structure.batch_items == 1:
        return [np.array([place]) for place in range(len(seen))]
    order = np.argsort(seen.done, kind="stable")
    cuts = np.flatnonzero(np.diff(seen.done[order]) > tolerance_s) + 1
    found = []
    for together in np.split(order, cuts):
        found += _filled(np.sort(together), seen, structure.batch_items)
    return found


def _filled(places: Any, seen: Seen, items_max: int) -> list[Any]:
    """Requests that were answered at the same instant, split in their order where they are too many for a batch."""
    groups: list[Any] = []
    group: list[int] = []
    items = 0
    for place in places:
        count = seen.shapes[place].items
        if group and items + count > items_max:
            groups.append(np.array(group))
            group, items = [], 0
        group.append(place)
        items += count
    return [*groups, np.array(group)]


def padded(lengths: Floats, multiple: int) -> Floats:
    """Lengths rounded up to a multiple."""
    return np.asarray(np.maximum(multiple, np.ceil(lengths / multiple) * multiple))
