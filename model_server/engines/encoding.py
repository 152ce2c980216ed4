"""Texts to token ids: cached, so that counting at admission and computing later read a text once.

The tokenizer is a copy without padding and truncation, which are state in it: batches are padded here, and what is too
long is refused or, where the caller asked for it, cut by a second copy.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from model_server.engines.loading import Loaded

_CACHED_MAX = 4096
_CACHED_CHARS_MAX = 20_000  # longer texts are too rare to be worth the memory


class Row(NamedTuple):
    """One sequence of the batch: a text, or a pair."""

    text: str
    pair: str | None = None


class Encoded(NamedTuple):
    """Its ids, and to which of the pair each belongs."""

    ids: list[int]
    types: list[int]


class Encoder:
    """The tokenizer of one model. Called from the loop's thread and, for long texts, from another: both only read."""

    def __init__(self, loaded: Loaded) -> None:
        from tokenizers import Tokenizer

        content = loaded.tokenizer.backend_tokenizer.to_str()
        self._raw: Any = Tokenizer.from_str(content)
        self._raw.no_padding()
        self._raw.no_truncation()
        self._clipping: Any = Tokenizer.from_str(content)
        self._clipping.no_padding()
        self._clipping.enable_truncation(loaded.tokens_max)
        self._bos: str | None = loaded.tokenizer.bos_token
        self._cache: OrderedDict[Row, Encoded] = OrderedDict()
        self.tokens_max = loaded.tokens_max

    def __call__(self, row: Row, *, clip: bool = False) -> Encoded:
        """With special tokens; `clip` cuts it to the model's bound."""
        found = self._cache.get(row)
        if found is None:
            encoding = self._raw.encode(row.text, row.pair)
            found = Encoded(encoding.ids, encoding.type_ids)
            if len(row.text) + len(row.pair or "") <= _CACHED_CHARS_MAX:
                self._cache[row] = found
                if len(self._cache) > _CACHED_MAX:
                    self._cache.popitem(last=False)
        if clip and len(found.ids) > self.tokens_max:
            encoding = self._clipping.encode(row.text, row.pair)
            return Encoded(encoding.ids, encoding.type_ids)
        return found

    def prompt(self, text: str) -> list[int]:
        """The ids of a prompt; one that a chat template has begun already gets no second beginning."""
        begun = self._bos is not None and text.startswith(self._bos)
        ids: list[int] = self._raw.encode(text, add_special_tokens=not begun).ids
        return ids or [0]  # a model cannot go on from nothing

    def knows(self, row: Row) -> bool:
        """It is in the cache: counting costs nothing."""
        return row in self._cache
