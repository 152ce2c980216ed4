"""A cache of the beginnings of prompts, in blocks, as servers of language models keep them. Pure.

A block is found only if all blocks before it are the same. The blocks that were used longest ago are dropped first.
"""

from __future__ import annotations

Keys = list[int]
"""One key a block, for it and all blocks before it."""


class PrefixCache:
    """Keeps `tokens_max` tokens in blocks of `block` tokens. A word is a token, as in `answers`."""

    def __init__(self, tokens_max: int, block: int) -> None:
        self._blocks_max = max(1, tokens_max // block)
        self._block = block
        # Keys in order of their last use.
        self._kept: dict[int, None] = {}

    def keys(self, prompt: str) -> Keys:
        """The keys of the whole blocks of a prompt, without its last token, which is always computed."""
        words, size = prompt.split(), self._block
        found: Keys = []
        before = 0
        for start in range(0, (len(words) - 1) // size * size, size):
            before = hash((before, *words[start : start + size]))
            found.append(before)
        return found

    def cached_tokens(self, keys: Keys) -> int:
        """Tokens at the beginning of the prompt that are kept."""
        found = next((place for place, key in enumerate(keys) if key not in self._kept), len(keys))
        return found * self._block

    def keep(self, keys: Keys) -> None:
        """Keep the blocks of a prompt that was computed. Its end is dropped before its beginning."""
        for key in reversed(keys):
            self._kept.pop(key, None)
            self._kept[key] = None
        while len(self._kept) > self._blocks_max:
            del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
