"""Cuts long texts at sentence ends, Chinese and English, to a bound of tokens; pure.

Rules of this file
  1. Nothing is lost or added: the pieces joined are the text, white space and line ends included.
  2. No piece exceeds the bound. A sentence that does is cut at a clause, else at a space, else between two
     characters.
  3. A full stop ends a sentence only if white space follows and no abbreviation, initial or number is before it;
     。！？ and similar marks always end one, and closing quotes and brackets belong to the sentence they close.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from harness.client.errors import SettingError
from harness.client.text.tokens import estimate_tokens

Count = Callable[[str], int]

_CLOSING = "\"'”’»)\\]}」』）】》〉"
_SENTENCE_END = re.compile(rf"(?:[。！？｡…‼⁇⁈⁉]+[{_CLOSING}]*\s*|[.!?]+[{_CLOSING}]*(?:\s+|$)|\n\s*)")
_CLAUSE_END = re.compile(r"[，、；：,;:—–]+\s*|\n")
_SPACE = re.compile(r"\s+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:[A-Z]|[Mm]rs?|[Mm]s|[Dd]rs?|[Pp]rof|[Ss]t|[Ss]r|[Jj]r|[Ff]ig|[Nn]o|[Vv]ol|[Cc]h|[Ss]ec|[Ee]q|"
    r"vs|etc|al|cf|e\.g|i\.e|approx|dept|est|[Ii]nc|[Ll]td|[Cc]o|[Cc]orp|[Uu]\.[Ss]|[Uu]\.[Kk]|a\.m|p\.m|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)


def sentences(text: str) -> list[str]:
    """The text's sentences, each with the white space after it."""
    return list(_cut(text, _SENTENCE_END, _ends_sentence))


def chunks(text: str, tokens_max: int, count: Count = estimate_tokens) -> list[str]:
    """The text in pieces of whole sentences where they fit, in order; `[text]` if it fits as it is.

    Args:
        text: Text in English or Chinese.
        tokens_max: Upper bound of tokens in a piece.
        count: Counts the tokens of a text; the count of a text may exceed the sum over its parts by 1 at most. Default
            estimate_tokens: 4 letters or 1 Chinese character a token.
    """
    if tokens_max < 1:
        raise SettingError(f"tokens_max={tokens_max!r} must be at least 1")
    if count(text) <= tokens_max:
        return [text]
    pieces: list[str] = []
    for part in _fitting(text, tokens_max, count):
        if pieces and count(pieces[-1] + part) <= tokens_max:
            pieces[-1] += part
        else:
            pieces.append(part)
    return pieces


def _fitting(text: str, tokens_max: int, count: Count) -> Iterator[str]:
    """Sentences; of one that is too long its clauses, of those its words, of those as many characters as fit."""
    for sentence in sentences(text):
        if count(sentence) <= tokens_max:
            yield sentence
            continue
        for clause in _cut(sentence, _CLAUSE_END):
            if count(clause) <= tokens_max:
                yield clause
                continue
            for word in _cut(clause, _SPACE):
                yield from _characters(word, tokens_max, count)


def _characters(word: str, tokens_max: int, count: Count) -> Iterator[str]:
    while word:
        fits = len(word)
        if count(word) > tokens_max:
            low, high = 1, len(word)  # the first always goes: a piece must not be empty
            while low < high - 1:
                middle = (low + high) // 2
                low, high = (middle, high) if count(word[:middle]) <= tokens_max else (low, middle)
            fits = low
        yield word[:fits]
        word = word[fits:]


def _cut(text: str, end: re.Pattern[str], holds: Callable[[str, re.Match[str]], bool] | None = None) -> Iterator[str]:
    """Split the text after each match, unless `holds` rejects it."""
    start = 0
    for match in end.finditer(text):
        if match.end() > start and (holds is None or holds(text, match)):
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark = text[match.start()]
    if mark != ".":
        return True
    if match.end() < len(text) and text[match.end()].islower():
        return False  # "approx. three", whatever the word before
    return not _ABBREVIATION.search(text[max(0, match.start() - 12) : match.start() + 1])
