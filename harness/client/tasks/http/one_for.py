"""A list in an answer with an element for each element of a field of the item, such as documents that are ranked."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.tasks.http.pointer import Tokens, found, pointer

ONE_FOR = frozenset({"one_for", "index", "most"})
"""Keys of the answer that describe it."""


class OneFor(msgspec.Struct, frozen=True):
    """The number of elements, and their positions in the field, in any order."""

    at: Tokens
    # Places in the values of an item.
    field: int
    index: Tokens | None
    most: int | None
    source: str

    def check(self, body: Any, values: tuple[Any, ...]) -> None:
        """Raise BadResponse for a list of another length, or a position that is no position or there twice."""
        elements, of = found(body, self.at), values[self.field]
        if not isinstance(elements, list) or not isinstance(of, list):
            return
        most = values[self.most] if self.most is not None else None
        expected = min(len(of), most) if isinstance(most, int) else len(of)
        name = pointer(self.at) or "the answer"
        if len(elements) != expected:
            raise BadResponse(f"{name}: {len(elements)} elements, expected {expected}: {self.source} has {len(of)}")
        if self.index is None:
            return
        seen = [False] * len(of)
        for place, element in enumerate(elements):
            index = found(element, self.index)
            if type(index) is not int or not 0 <= index < len(of) or seen[index]:
                said = index if isinstance(index, int | float | str) else "missing"
                raise BadResponse(
                    f"{name}/{place}: index {said!r} is twice, or no position among {len(of)} {self.source}"
                )
            seen[index] = True
