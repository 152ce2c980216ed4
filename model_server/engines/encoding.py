"""Texts to token ids: cached, so that counting at admission and computing later read a text once.

The tokenizer is a copy without padding and truncation, which are state in it: batches are padded here, and what is too
long is refused or, where the caller asked for it, cut by a second copy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from model_server.engines.loading import Loaded

_CACHED_CHARS_MAX = 4_000_000  # some 100 MB of ids; a single text has at most an eighth of that
_ENTRY_CHARS = 64  # what an entry costs beyond its text


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
        self._cache: OrderedDict[Row | str, Encoded] = OrderedDict()
        self._cached_chars = 0
        self._lock = threading.Lock()  # of the cache: three threads may read texts
        self.tokens_max = loaded.tokens_max

    def __call__(self, row: Row, *, clip: bool = False) -> Encoded:
        """With special tokens; `clip` cuts it to the model's bound."""
        found = self._cache.get(row)
        if found is None:
            found = self._keep(row, _encode(self._raw, row))
        if clip and len(found.ids) > self.tokens_max:
            return _encode(self._clipping, row)
        return found

    def prompt(self, text: str) -> list[int]:
        """The ids of a prompt; one that a chat template has begun already gets no second beginning."""
        found = self._cache.get(text)
        if found is None:
            begun = self._bos is not None and text.startswith(self._bos)
            found = self._keep(text, _encode(self._raw, Row(text), special=not begun))
        return found.ids

    def knows(self, text: Row | str) -> bool:
        """It is in the cache: counting costs nothing."""
        return text in self._cache

    def _keep(self, text: Row | str, encoded: Encoded) -> Encoded:
        with self._lock:
            if text not in self._cache:
                self._cache[text] = encoded
                self._cached_chars += _size(text)
            while self._cached_chars > _CACHED_CHARS_MAX:
                oldest, _ = self._cache.popitem(last=False)
                self._cached_chars -= _size(oldest)
        return encoded


def _encode(raw: Any, row: Row, *, special: bool = True) -> Encoded:
    """A batch of one: unlike `encode` this lets go of the interpreter's lock, so that others compute meanwhile, and
    spends nothing on offsets."""
    given = row.text if row.pair is None else (row.text, row.pair)
    (encoding,) = raw.encode_batch_fast([given], add_special_tokens=special)
    return Encoded(encoding.ids, encoding.type_ids)


def _size(text: Row | str) -> int:
    return _ENTRY_CHARS + (len(text) if isinstance(text, str) else len(text.text) + len(text.pair or ""))
