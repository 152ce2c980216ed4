"""Exact search for all vectors within a cosine of a query, without reading every vector in full.

Unit vectors are rotated to the principal directions of the stored vectors, so that their first few coordinates (the
head) hold as much of their length as possible. By the Cauchy-Schwarz inequality the cosine of q and x is at most
head(q) . head(x) + |tail(q)| |tail(x)|. So one product with a tenth of the matrix bounds all cosines from above, and
only those that may reach the threshold are computed in full. The result is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.client.errors import SettingError

Array = np.ndarray[Any, np.dtype[np.float32]]

HEAD = 31  # coordinates of the head; one more holds the length of the tail
TURN_AT = 256  # below this number of vectors all cosines are computed, which is faster
_SLACK = 1e-4  # for float32 rounding, so that no vector at the threshold is missed
_ROUNDS = 3  # of subspace iteration: an approximate head is enough, because the bound holds for any


class ExactIndex:
    """Unit vectors by slot, at most `size`; a new vector replaces the oldest."""

    def __init__(self, dimensions: int, size: int) -> None:
        if dimensions < 1 or size < 1:
            raise SettingError(f"dimensions={dimensions}, size={size}: must be at least 1")
        self.dimensions = dimensions
        self.size = size
        self._vectors: Array = np.zeros((min(size, 64), dimensions), np.float32)
        self._heads: Array = np.zeros((0, HEAD + 1), np.float32)
        self._turn: Array | None = None
        self._turn_at = TURN_AT
        self._count = 0  # slots in use
        self._next = 0  # slot that the next vector takes
        self._added = 0

    def __len__(self) -> int:
        return self._count

    def add(self, vector: Array) -> int:
        """Store a unit vector; returns its slot. A former vector of the slot is dropped."""
        slot = self._next
        if slot == len(self._vectors):
            self._grow()
        self._vectors[slot] = vector
        self._next = (slot + 1) % self.size
        self._count = max(self._count, slot + 1)
        self._added += 1
        if self._turn is not None:
            self._heads[slot] = self._head(vector)
        if self._added >= self._turn_at and self.dimensions > 2 * HEAD:
            self._turn_at = 2 * self._added
            self._learn()
        return slot

    def within(self, query: Array, cosine: float) -> tuple[list[int], list[float]]:
        """Slots whose cosine with a unit query is at least this, nearest first, and the cosines."""
        vectors = self._vectors[: self._count]
        if self._turn is None:
            slots, found = np.arange(self._count), vectors @ query
        else:
            bounds = self._heads[: self._count] @ self._head(query)
            slots = np.flatnonzero(bounds >= cosine - _SLACK)
            found = vectors[slots] @ query
        near = found >= cosine
        slots, found = slots[near], found[near]
        order = np.argsort(-found, kind="stable")
        return slots[order].tolist(), found[order].tolist()

    def _grow(self) -> None:
        more = min(self.size, 2 * len(self._vectors))
        self._vectors = np.concatenate(
            [self._vectors, np.zeros((more - len(self._vectors), self.dimensions), np.float32)]
        )
        if self._turn is not None:
            self._heads = np.concatenate([self._heads, np.zeros((more - len(self._heads), HEAD + 1), np.float32)])

    def _head(self, vector: Array) -> Array:
        assert self._turn is not None  # noqa: S101 - only called then
        head: Array = np.empty(HEAD + 1, np.float32)
        np.dot(vector, self._turn, out=head[:HEAD])
        head[HEAD] = max(0.0, 1.0 - float(head[:HEAD] @ head[:HEAD])) ** 0.5
        return head

    def _learn(self) -> None:
        """Rotate to the principal directions of a sample (subspace iteration): a few ms whenever the number doubles."""
        rng = np.random.default_rng(0)
        sample = self._vectors[: self._count]
        if self._count > 2048:
            sample = sample[rng.choice(self._count, 2048, replace=False)]
        basis = rng.standard_normal((self.dimensions, HEAD)).astype(np.float32)
        for _ in range(_ROUNDS):
            basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
        self._turn = np.ascontiguousarray(basis, dtype=np.float32)
        heads = self._vectors @ self._turn
        tails = np.sqrt(np.maximum(0.0, 1.0 - np.einsum("ij,ij->i", heads, heads)))
        self._heads = np.ascontiguousarray(np.concatenate([heads, tails[:, None]], axis=1), dtype=np.float32)
