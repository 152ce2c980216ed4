"""Texts to token ids, cached: a text is tokenized once, for the count at admission and for the computation.

The tokenizer is a copy without padding and truncation, which are its state: batches are padded here, and too long
inputs are refused or, if requested, truncated by a second copy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from model_server.engines.loading import Loaded
from model_server.work import TokenOf

# The cache's bound in characters: about 100 MB of ids. A text has at most an eighth of that.
_CACHED_CHARS_MAX = 4_000_000
# Size of a token id in an input of ids, and of an entry without its text, both in characters.
_ID_CHARS = 4
_ENTRY_CHARS = 64


class Row(NamedTuple):
    """One sequence of the batch: a text, its token ids, or a pair of texts."""

    text: str | tuple[int, ...]
    pair: str | None = None


class Encoded(NamedTuple):
    """The ids of a row, and for each id the index of its text in the pair."""

    ids: list[int]
    types: list[int]


class Encoder:
    """The tokenizer of one model. It is called from the loop's thread and, for long texts, from another thread."""

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
        # It protects the cache: three threads may tokenize texts.
        self._lock = threading.Lock()
        self.tokens_max = loaded.tokens_max
        self.vocabulary = min(len(loaded.tokenizer), loaded.config.vocab_size)
        self._around = _special_tokens(self._raw)

    def __call__(self, row: Row, *, clip: bool = False) -> Encoded:
        """The ids with special tokens; `clip` truncates them to the model's bound."""
        found = self._cache.get(row)
        if found is None:
            found = self._keep(row, self._read(row))
        if clip and len(found.ids) > self.tokens_max:
            return self._clipped(row)
        return found

    def _read(self, row: Row) -> Encoded:
        return _encode(self._raw, row) if isinstance(row.text, str) else self._completed(row.text)

    def _clipped(self, row: Row) -> Encoded:
        if isinstance(row.text, str):
            return _encode(self._clipping, row)
        first, last = self._around
        return self._completed(row.text[: self.tokens_max - len(first) - len(last)])

    def _completed(self, ids: tuple[int, ...]) -> Encoded:
        """The ids with special tokens around them, unless these are there."""
        first, last = self._around
        if first and ids[: len(first)] != first:
            ids = (*first, *ids)
        if last and ids[-len(last) :] != last:
            ids = (*ids, *last)
        return Encoded(list(ids), [0] * len(ids))

    def tokens(self, text: str, *, special: bool) -> list[TokenOf]:
        """The tokens with id, text and offsets; no special tokens are added if the text begins with one."""
        encoding = self._raw.encode(text, add_special_tokens=special and not self._begun(text))
        found: list[TokenOf] = []
        for number, token, mask, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
        ):
            place = (None, None) if mask else (start, stop)
            found.append((number, token if mask else text[start:stop], bool(mask), *place))
        return found

    def text_of(self, ids: tuple[int, ...]) -> str:
        """The text of the ids, without special tokens."""
        return str(self._raw.decode(list(ids)))

    def prompt(self, text: str | tuple[int, ...]) -> list[int]:
        """The ids of a prompt; if a chat template has added the begin token, there is no second one."""
        if not isinstance(text, str):
            return list(text)
        found = self._cache.get(text)
        if found is None:
            found = self._keep(text, _encode(self._raw, Row(text), special=not self._begun(text)))
        return found.ids

    def _begun(self, text: str) -> bool:
        """True if the text begins with the begin token, from a chat template."""
        return self._bos is not None and text.startswith(self._bos)

    def knows(self, text: Row | str | tuple[int, ...]) -> bool:
        """True if the text is in the cache, so counting is free."""
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
    """Tokenize a batch of one: unlike `encode`, this releases the interpreter's lock, so that other threads can
    compute, and does not compute offsets."""
    given = row.text if row.pair is None else (row.text, row.pair)
    (encoding,) = raw.encode_batch_fast([given], add_special_tokens=special)
    return Encoded(encoding.ids, encoding.type_ids)


def _special_tokens(raw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens before and after a text."""
    encoding = raw.encode("a")
    inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inside:
        return (), ()
    return tuple(encoding.ids[: inside[0]]), tuple(encoding.ids[inside[-1] + 1 :])


def _size(text: Row | str) -> int:
    if isinstance(text, str):
        return _ENTRY_CHARS + len(text)
    length = len(text.text) if isinstance(text.text, str) else _ID_CHARS * len(text.text)
    return _ENTRY_CHARS + length + len(text.pair or "")
