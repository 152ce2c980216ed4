"""Texts with a wanted number of tokens, and texts that share a prefix by the ids of its blocks; pure.

Rules of this file
  1. Tokens are a linear function of words (`WordRule`). Where the rule comes from, a tokenizer or the server's own
     counts, is decided elsewhere.
  2. The words at a place depend on the key of their block and on nothing else. Texts whose first blocks have the same
     ids therefore begin with the same words, and with the same tokens.
  3. Texts with different keys differ in their first words, not only on average: the key is written there in words.
     A server that keeps prefixes finds nothing in common between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from harness.client.checks import TOKENS_MAX, between
from harness.client.errors import SettingError
from harness.load.workloads.synthetic import WORDS

WORDS_LEAST = 8
"""With fewer different words, texts would repeat themselves."""
_PHRASE, _PHRASES = 16, 512
_LEADING = 4
Key = int | str
"""The identity of a text or block: a number, or a text such as a hash."""


@dataclass(frozen=True)
class WordRule:
    """A text of n words has `fixed + per_word * n` tokens.

    Args:
        fixed: Tokens that the server adds to each text, such as those of a chat template. Default 0.
        per_word: Tokens of a word on average. Default 1.
    """

    fixed: float = 0.0
    per_word: float = 1.0

    def __post_init__(self) -> None:
        between(self, 0, 1_000_000, "fixed")
        between(self, 0.05, 50, "per_word")

    def words(self, tokens: float) -> int:
        """Words of a text with this many tokens; at least 1."""
        return max(1, round((tokens - self.fixed) / self.per_word))

    def tokens(self, words: int) -> float:
        """Tokens of a text with this many words."""
        return self.fixed + self.per_word * words


@dataclass(frozen=True)
class TokenText:
    """Makes texts by a rule. Equal arguments give equal texts, in every process.

    Args:
        rule: How many tokens a text of words has. Default: a word is a token.
        words: Words to choose from; with a tokenizer, those that are one token each.
    """

    rule: WordRule = WordRule()
    words: Sequence[str] = WORDS
    _phrases: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.words)) < max(WORDS_LEAST, len(self.words)):
            raise SettingError(f"words: {len(set(self.words))} different of {len(self.words)}; needs {WORDS_LEAST}")
        # Whole phrases are drawn, because a text of 10,000 words must not hold up the load generator.
        rng = Random(1)
        phrases = tuple(" ".join(rng.choices(self.words, k=_PHRASE)) for _ in range(_PHRASES))
        object.__setattr__(self, "_phrases", phrases)

    def text(self, tokens: int, key: Key) -> str:
        """A text with this many tokens, the same for the same key."""
        return self.prompt(tokens, key)

    def prompt(self, tokens: int, key: Key, blocks: Sequence[Key] = (), block_tokens: int = 0) -> str:
        """A text with this many tokens that begins with blocks.

        Args:
            tokens: Tokens of the whole text, blocks included. At least one word is made.
            key: Identity of the part after the blocks.
            blocks: Ids of the blocks at its beginning. What exceeds `tokens` is cut off.
            block_tokens: Tokens of a block.
        """
        if not 1 <= tokens <= TOKENS_MAX:
            raise SettingError(f"tokens={tokens} must be between 1 and {TOKENS_MAX}")
        if blocks and block_tokens < 1:
            raise SettingError(f"block_tokens={block_tokens} must be at least 1")
        wanted, made, parts = self.rule.words(tokens), 0, []
        for number, block in enumerate(blocks, 1):
            # Ends of blocks are rounded, not their lengths, so that errors do not add up.
            end = min(wanted, max(made, round(number * block_tokens / self.rule.per_word)))
            if end > made:
                parts.append(self._words(end - made, block, shared=True))
                made = end
        if wanted > made:
            parts.append(self._words(wanted - made, key, shared=False))
        return " ".join(parts)

    def _words(self, count: int, key: Key, *, shared: bool) -> str:
        """Words of a block, or of a text of its own: first the key in words, then random ones.

        Fewer words are the beginning of more words.
        """
        leading = self._leading(_number(key), shared)
        if count <= len(leading):
            return " ".join(leading[:count])
        whole, rest = divmod(count - len(leading), _PHRASE)
        phrases = Random(f"{'block' if shared else 'text'}/{key}").choices(self._phrases, k=whole + 1)
        return " ".join((*leading, *phrases[:-1], *phrases[-1].split()[:rest]))

    def _leading(self, number: int, shared: bool) -> list[str]:
        """The key in words. The first word also says whether this is a block: the two halves of the list."""
        half = len(self.words) // 2
        number, place = divmod(number, half)
        found = [self.words[place + half if shared else place]]
        while number or len(found) < _LEADING:
            number, place = divmod(number, len(self.words))
            found.append(self.words[place])
        return found


def _number(key: Key) -> int:
    """A whole number for each key: small ones as they are, all others by a hash."""
    if isinstance(key, int) and 0 <= key < 1 << 64:
        return key
    return int.from_bytes(blake2b(str(key).encode(), digest_size=8).digest(), "big")
