"""Stored questions and answers, searched by meaning."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from harness.client.cache.semantic.guard import Meaning, differs, meaning
from harness.client.cache.semantic.index import Array, ExactIndex

LOOK_AT = 16  # nearest entries that the guard checks


class Entry(msgspec.Struct, frozen=True):
    """One question and its answers."""

    meaning: Meaning
    answers: tuple[Any, ...]
    expires: float


class Memory:
    """Entries by kind (everything in a request except its text), each kind with its own index; pure.

    At most `size` entries per kind and `kinds` kinds; the kind that was unused for longest is dropped.
    """

    def __init__(self, threshold: float, size: int, kinds: int = 64, guarded: bool = True) -> None:
        self._threshold = threshold
        self._size = size
        self._kinds = kinds
        self._guarded = guarded
        self._known: OrderedDict[bytes, tuple[ExactIndex, list[Entry | None]]] = OrderedDict()
        self.refused: dict[str, int] = {}  # near entries that the guard refused, by reason

    def __len__(self) -> int:
        return sum(len(index) for index, _ in self._known.values())

    def find(self, kind: bytes, text: str, vector: Array, now: float) -> Entry | None:
        """The nearest unexpired entry within the threshold that the guard accepts."""
        known = self._known.get(kind)
        if known is None or known[0].dimensions != len(vector):
            return None
        self._known.move_to_end(kind)
        index, entries = known
        slots, _ = index.within(vector, self._threshold)
        if not slots:
            return None
        asked = meaning(text)
        for slot in slots[:LOOK_AT]:
            entry = entries[slot]
            if entry is None or entry.expires <= now:
                continue
            reason = differs(asked, entry.meaning) if self._guarded else None
            if reason is None:
                return entry
            self.refused[reason] = self.refused.get(reason, 0) + 1
        return None

    def keep(self, kind: bytes, text: str, vector: Array, answers: tuple[Any, ...], expires: float) -> None:
        """Store an entry; the oldest of its kind is dropped."""
        known = self._known.get(kind)
        if known is None or known[0].dimensions != len(vector):
            known = self._known[kind] = (ExactIndex(len(vector), self._size), [])
            if len(self._known) > self._kinds:
                self._known.popitem(last=False)
        index, entries = known
        slot = index.add(vector)
        if slot == len(entries):
            entries.append(None)
        entries[slot] = Entry(meaning(text), answers, expires)
