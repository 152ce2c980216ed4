"""Token ids to text, one at a time: a piece for each token, empty if a character of several tokens is incomplete."""

from __future__ import annotations

from typing import Any

_HELD_MAX = 4  # a character of UTF-8 has at most four bytes, and a token at least one
_BROKEN = "\ufffd"


class TextOf:
    """The growing text of one sequence.

    The latest ids are decoded with and without the new ones, because a token's text depends on the tokens before it (a
    space, half a character). Only a few ids are kept, so the cost of a token does not grow with the text.
    """

    __slots__ = ("_ids", "_raw", "_read")

    def __init__(self, raw: Any) -> None:
        self._raw = raw  # a tokenizers.Tokenizer
        self._ids: list[int] = []
        self._read = 0  # number of ids whose text was returned

    def push(self, token: int, *, last: bool = False) -> str:
        """The text that this token adds; with `last`, also the held back text."""
        self._ids.append(token)
        before: str = self._raw.decode(self._ids[: self._read])
        after: str = self._raw.decode(self._ids)
        if after.endswith(_BROKEN) and not last and len(self._ids) - self._read < _HELD_MAX:
            return ""
        piece = after[len(before) :]
        del self._ids[: self._read]
        self._read = len(self._ids)
        return piece
