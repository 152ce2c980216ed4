"""Answers of the simulated model: functions of the input alone, so equal inputs get equal answers.

Answers differ between inputs, so a client that mixes up answers is caught. They are also plausible: equal texts are
similar, and a label whose words occur in the text wins. Tokens are words and single Chinese characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from zlib import crc32

from mock_server.profile import Tokens
from model_server.sampling import GREEDY, Sampling
from model_server.work import TokenOf

_TOKEN = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af]+|[\u2e80-\u9fff\uac00-\ud7af]|[^\w\s]")
# Longest input whose result is cached: thousands of longer texts would fill the memory.
_KEPT_CHARS_MAX = 4000
_PLAIN = Tokens()
_DIMENSIONS = 64
_MASK = "[MASK]"
_LABELS = ("negative", "neutral", "positive")
_VOCABULARY = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money
story fact month lot right study book eye job word business issue side kind head house service friend father power hour
"""
_WORDS = _VOCABULARY.split()


def tokens_of(text: str) -> list[str]:
    """Words, single Chinese characters and punctuation marks."""
    return _TOKEN.findall(text.lower())


def tokens_in(text: str, *, special: bool) -> list[TokenOf]:
    """Each word and punctuation mark with a hash as its id; with `special`, [CLS] and [SEP] around them."""
    found: list[TokenOf] = [
        (crc32(match.group().lower().encode()) & 0x7FFF_FFFF, match.group(), False, match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]
    return [(101, "[CLS]", True, None, None), *found, (102, "[SEP]", True, None, None)] if special else found


def count_tokens(inputs: tuple[Any, ...], per_word: float = _PLAIN.per_word, special: float = _PLAIN.special) -> int:
    """Length of one input: `special` tokens, and `per_word` for each of its words. Counts of short texts are cached."""
    characters = 0
    for part in inputs:
        characters += len(part) if isinstance(part, str) else 0
    words = _kept_words(inputs) if characters <= _KEPT_CHARS_MAX else _words(inputs)
    return max(1, round(special + per_word * words))


def _words(inputs: tuple[Any, ...]) -> int:
    total = 0
    for part in inputs:
        if isinstance(part, str):
            total += len(part.split()) if part.isascii() else len(_TOKEN.findall(part))
    return total


_kept_words = lru_cache(maxsize=4096)(_words)


def similarity(text1: str, text2: str) -> float:
    """Shared tokens over all tokens (Dice): 1.0 for equal texts, 0.0 for nothing in common. Cached if short."""
    if len(text1) + len(text2) <= _KEPT_CHARS_MAX:
        return _kept_dice(text1, text2)
    return _dice(text1, text2)


def _dice(text1: str, text2: str) -> float:
    if text1 == text2:
        return 1.0
    left, right = set(tokens_of(text1)), set(tokens_of(text2))
    if not left and not right:
        return 1.0
    return round(2 * len(left & right) / (len(left) + len(right)), 6)


_kept_dice = lru_cache(maxsize=4096)(_dice)


def embed(text: str) -> list[float]:
    """A bag of hashed tokens as a vector of length 1, so that cosine similarity is meaningful."""
    vector = [0.0] * _DIMENSIONS
    for token in tokens_of(text) or [text]:
        digest = crc32(token.encode())
        vector[digest % _DIMENSIONS] += 1.0 if digest & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(value * value for value in vector))
    # The norm is 0 if tokens cancelled each other out.
    if not norm:
        vector[0] = norm = 1.0
    return [round(value / norm, 7) for value in vector]


def nli(premise: str, hypothesis: str) -> tuple[float, float]:
    """Logits of contradiction and entailment; entailment grows with the share of the hypothesis' words that occur."""
    words = set(tokens_of(hypothesis))
    shared = len(words & set(tokens_of(premise))) / max(1, len(words))
    noise = (crc32(f"{premise}\0{hypothesis}".encode()) % 1000) / 1000
    entailment = 6 * shared - 2 + noise
    return round(-entailment, 6), round(entailment, 6)


def rerank(query: str, text: str) -> float:
    """A logit that grows with the similarity of query and text."""
    return round(8 * similarity(query, text) - 4, 6)


def classify(*texts: str) -> list[tuple[str, float]]:
    """Three labels with scores that add up to 1, best first."""
    digest = crc32("\0".join(texts).encode())
    weights = [1 + (digest >> shift & 0xFF) for shift in (0, 8, 16)]
    scores = [weight / sum(weights) for weight in weights]
    return sorted(zip(_LABELS, scores, strict=True), key=lambda pair: -pair[1])


def fill_mask(text: str, top_k: int) -> list[list[tuple[float, int, str, str]]]:
    """For each mask the best words of a small vocabulary, by a hash of the text and the mask's place."""
    parts = text.split(_MASK)
    masks = []
    for place in range(len(parts) - 1):
        digest = crc32(f"{place}\0{text}".encode())
        weights = [1 / (1 + rank) ** 1.5 for rank in range(len(_WORDS))]
        total = sum(weights)
        before, after = _MASK.join(parts[: place + 1]), _MASK.join(parts[place + 1 :])
        candidates = []
        for rank in range(min(top_k, len(_WORDS))):
            # 7 and the vocabulary's size have no common divisor, so no word repeats.
            token = (digest + rank * 7) % len(_WORDS)
            word = _WORDS[token]
            candidates.append((round(weights[rank] / total, 6), token, word, f"{before}{word}{after}"))
        masks.append(candidates)
    return masks


def pieces(prompt: str, sampling: Sampling = GREEDY) -> Iterator[str]:
    """An endless text, one token at a time; it depends on the prompt, and on the seed if sampling is random."""
    seeded = sampling.draws and sampling.seed is not None
    state = crc32((f"{prompt}\0{sampling.seed}" if seeded else prompt).encode())
    while True:
        state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        yield _WORDS[(state >> 16) % len(_WORDS)] + " "


def own_length(prompt: str, mean: float) -> int:
    """Tokens after which the answer to a prompt ends by itself: exponentially distributed over prompts, at least 1."""
    share = (crc32(f"end\0{prompt}".encode()) + 0.5) / 2**32
    return max(1, math.ceil(-mean * math.log(share)))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "similarity": similarity,
    "embed": embed,
    "nli": nli,
    "rerank": rerank,
    "classify": classify,
    "fill-mask": fill_mask,
}
KINDS = frozenset({*_FUNCTIONS, "generate"})


def answer(kind: str, inputs: tuple[Any, ...]) -> Any:
    """The output for one input of this kind of work."""
    return _FUNCTIONS[kind](*inputs)
