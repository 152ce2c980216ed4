"""Token ids to text, one at a time: a piece for each token, empty while a character of several tokens is incomplete."""

from __future__ import annotations

from typing import Any

_HELD_MAX = 4  # a character of UTF-8 has at most four bytes, and a token at least one
_BROKEN = "\ufffd"


class TextOf:
    """The text of one sequence as it grows.

    Two ends of the same ids are decoded, with and without the new ones, because a token's text depends on those before
    it (a space, half a character). Only a few ids are kept, so a token costs the same however long the text is.
    """

    __slots__ = ("_ids", "_raw", "_read")

    def __init__(self, raw: Any) -> None:
        self._raw = raw  # a tokenizers.Tokenizer
        self._ids: list[int] = []
        self._read = 0  # so many of them have been told

    def push(self, token: int, *, last: bool = False) -> str:
        """What this token adds; `last` lets go of what was held back."""
        self._ids.append(token)
        before: str = self._raw.decode(self._ids[: self._read])
        after: str = self._raw.decode(self._ids)
        if after.endswith(_BROKEN) and not last and len(self._ids) - self._read < _HELD_MAX:
            return ""
        piece = after[len(before) :]
        del self._ids[: self._read]
        self._read = len(self._ids)
        return piece
