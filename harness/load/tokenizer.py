"""Words that are one token each for a tokenizer, so that a text has as many tokens as words. Needs `tokenizers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from harness.client.errors import UsageError
from harness.load.token_text import WORDS_LEAST
from harness.load.workloads.synthetic import WORDS

WORDS_MAX = 256
_CANDIDATES = 20_000
_CHECKED = (1, 7, 60, 400, 4_000)
"""Lengths of texts on which the words are checked together."""

Count = Callable[[str], int]


def words_of(path: str) -> tuple[str, ...]:
    """Words whose texts have a token a word. Raises UsageError if the file is no tokenizer, or has no such words.

    Args:
        path: A file tokenizer.json, or a folder with one, such as that of a model.
    """
    tokenizer = _tokenizer(path)
    return one_token_words(
        lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), _candidates(tokenizer), path
    )


def one_token_words(count: Count, candidates: Iterable[str], path: str = "") -> tuple[str, ...]:
    """The candidates that are one token each, at the beginning of a text and within it."""
    single = (word for word in candidates if count(word) == 1 and count(f"{word} {word} {word}") == 3)
    found = tuple(islice(single, WORDS_MAX))
    if len(found) < WORDS_LEAST:
        raise UsageError(f"--tokenizer {path}: only {len(found)} of its words are one token each; needs {WORDS_LEAST}")
    _check(count, found, path)
    return found


def _check(count: Count, words: Sequence[str], path: str) -> None:
    """Refuse words whose tokens depend on their neighbours."""
    rng = Random(1)
    for length in _CHECKED:
        tokens = count(" ".join(rng.choices(words, k=length)))
        if tokens != length:
            text = f"--tokenizer {path}: a text of {length} words, each of them one token, has {tokens} tokens"
            raise UsageError(f"{text}, so lengths would not be exact; leave it out to calibrate by the server's count")


def _candidates(tokenizer: Any) -> Iterable[str]:
    """Our own words first, then plain words of the vocabulary, the frequent ones first."""
    found = dict.fromkeys(WORDS)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    for token, _ in islice(sorted(vocabulary.items(), key=lambda pair: pair[1]), _CANDIDATES):
        word = token.lstrip("\u0120\u2581 ")
        if len(word) > 1 and word.isascii() and word.isalpha() and word.islower():
            found.setdefault(word)
    return found


def _tokenizer(path: str) -> Any:
    file = Path(path)
    file = file / "tokenizer.json" if file.is_dir() else file
    if not file.is_file():
        raise UsageError(f"--tokenizer {path}: no such file; give the tokenizer.json of the model, or its folder")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError(
            '--tokenizer needs the package tokenizers: pip install "paceline[tokens]"; without it, lengths are '
            "calibrated by the server's own count"
        ) from error
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise UsageError(f"--tokenizer {file}: is no tokenizer.json: {error}") from error
