"""A key-value cache with all running sequences in one buffer, so that one step serves them all.

Rules of this file
  1. A sequence is a row; rows 0..count are in use, without gaps: the last row replaces a row that leaves.
  2. All rows end at the same column `end`, where the next step writes; shorter rows begin later, and a mask hides the
     columns before their beginning. Steps copy nothing.
  3. A full buffer first drops unused columns at its beginning; if there are none, its size is doubled.
"""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import Cache, CacheLayerMixin

_COLUMNS_MIN = 128


class SlotLayer(CacheLayerMixin):  # type: ignore[misc] # transformers' base class has no types
    """One layer's part of the buffer: rows x heads x columns x size of a head."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Allocate the buffers with the sizes of the first sequence that joins."""
        slots = self._slots

        def empty(like: Any) -> Any:
            return like.new_zeros(slots.rows_max, like.shape[1], slots.columns, like.shape[3])

        self.keys, self.values = empty(key_states), empty(value_states)
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Add a column to every row; returns the keys and values for the step's attention."""
        slots = self._slots
        count, first, end = slots.count, slots.first, slots.end
        self.keys[:count, :, end : end + 1] = key_states
        self.values[:count, :, end : end + 1] = value_states
        return self.keys[:count, :, first : end + 1], self.values[:count, :, first : end + 1]

    def get_seq_length(self) -> int:
        return self._slots.end - self._slots.first

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


class Slots(Cache):  # type: ignore[misc] # as above
    """The buffer of a model with `layers` layers, for at most `rows_max` sequences."""

    def __init__(self, layers: int, rows_max: int) -> None:
        self.rows_max = rows_max
        self.columns = _COLUMNS_MIN
        self.lengths: list[int] = []  # of each row in use
        self.end = 0
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])

    @property
    def count(self) -> int:
        return len(self.lengths)

    @property
    def first(self) -> int:
        """The first column that any row uses."""
        return self.end - max(self.lengths, default=0)

    def join(self, prefilled: Any, row: int, length: int) -> None:
        """Copy the last `length` columns of another cache's row into a new row."""
        if not self.count:
            self.end = 0
        if length > self.end:
            self._shift(length - self.end)
        new, start = self.count, self.end - length
        for mine, other in zip(self.layers, prefilled.layers, strict=True):
            if not mine.is_initialized:
                mine.lazy_initialization(other.keys, other.values)
            mine.keys[new, :, start : self.end] = other.keys[row, :, -length:]
            mine.values[new, :, start : self.end] = other.values[row, :, -length:]
        self.lengths.append(length)

    def leave(self, row: int) -> None:
        """Free a row; the last row takes its place."""
        last = self.count - 1
        if row != last:
            for layer in self.layers:
                for buffer in (layer.keys, layer.values):
                    buffer[row, :, self.first : self.end] = buffer[last, :, self.first : self.end]
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def make_room(self) -> None:
        """Make sure that the next step has a free column."""
        if self.end == self.columns:
            if self.first:
                self._shift(-self.first)
            else:
                self._grow(self.end + 1)

    def stepped(self) -> None:
        """Count the column that a step has added to every row."""
        self.end += 1
        self.lengths = [length + 1 for length in self.lengths]

    def _shift(self, by: int) -> None:
        """Move the columns in use to the right or, if `by` is negative, to the left."""
        first, end = self.first, self.end
        if end + by > self.columns:
            self._grow(end + by)
        for layer in self.layers:
            if layer.is_initialized and self.count:
                for buffer in (layer.keys, layer.values):
                    buffer[: self.count, :, first + by : end + by] = buffer[: self.count, :, first:end].clone()
        self.end += by

    def _grow(self, columns: int) -> None:
        old = self.columns
        while self.columns < columns:
            self.columns *= 2
        for layer in self.layers:
            if layer.is_initialized:
                keys, values = layer.keys, layer.values
                layer.lazy_initialization(keys, values)
                layer.keys[:, :, :old] = keys
                layer.values[:, :, :old] = values
