"""Texts that match a regular expression, made from its parsed form; no expression is ever run."""

from __future__ import annotations

import re
import string
import warnings
from functools import lru_cache
from random import Random
from re import _constants as op  # type: ignore[attr-defined] # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined] # as above
from typing import Any

from model_server.structured.bounds import PATTERN_MAX, Budget, SchemaError

_MORE = 3
"""An open repetition is repeated at most so many times more than it has to be."""
_CHARACTERS_MAX = 2_000
_SURROGATES = 0xD800, 0xDFFF
_LETTERS = string.ascii_letters + string.digits
_PRINTED = _LETTERS + string.punctuation + " "
_CLASSES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": _LETTERS + "_",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_SPACE": _LETTERS,
    "CATEGORY_NOT_WORD": " -.,",
}


def parsed(pattern: str, path: str) -> Any:
    """The parsed expression; raises `SchemaError`."""
    if len(pattern) > PATTERN_MAX:
        raise SchemaError(path, f"has {len(pattern)} characters, over the limit of {PATTERN_MAX}")
    try:
        return _tree(pattern)
    except (re.error, OverflowError) as error:
        raise SchemaError(path, f"is no regular expression: {error}") from error
    except RecursionError as error:
        raise SchemaError(path, "is nested too deeply") from error


@lru_cache(maxsize=256)
def _tree(pattern: str) -> Any:
    with warnings.catch_warnings():
        # Other languages allow what Python warns of.
        warnings.simplefilter("ignore")
        return parser.parse(pattern)


def matching(tree: Any, random: Random, path: str, steps: Budget) -> str:
    """A text that matches."""
    return _Matching(random, path, steps).text(tree)


class _Matching:
    """One text. Steps and characters are counted, because repetitions and references to groups multiply them."""

    def __init__(self, random: Random, path: str, steps: Budget) -> None:
        self._random = random
        self._path = path
        self._steps = steps
        self._characters = Budget(_CHARACTERS_MAX, "characters")
        self._groups: dict[int | None, str] = {}

    def text(self, tree: Any) -> str:
        """A text for this part of the expression."""
        return "".join([self._one(str(code), argument) for code, argument in tree])

    def _one(self, name: str, argument: Any) -> str:
        self._steps.take(1, self._path)
        if name == "SUBPATTERN":
            number, _, _, inner = argument
            self._groups[number] = self.text(inner)
            return self._groups[number]
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeated(*argument)
        if name == "BRANCH":
            return self.text(self._random.choice(argument[1]))
        if name == "ATOMIC_GROUP":
            return self.text(argument)
        if name == "AT" and str(argument) in ("AT_BEGINNING", "AT_END", "AT_BEGINNING_STRING", "AT_END_STRING"):
            return ""
        if name == "GROUPREF":
            made = self._groups.get(argument, "")
        else:
            made = _character(name, argument, self._random, self._path)
        self._characters.take(len(made), self._path)
        return made

    def _repeated(self, least: int, most: int, inner: Any) -> str:
        made = []
        for _ in range(self._random.randint(least, min(most, least + _MORE))):
            self._steps.take(1, self._path)
            made.append(self.text(inner))
        return "".join(made)


def _character(name: str, argument: Any, random: Random, path: str) -> str:
    if name == "LITERAL":
        return _encodable(argument, path)
    if name == "ANY":
        return random.choice(_LETTERS)
    if name == "NOT_LITERAL":
        return random.choice([letter for letter in _LETTERS if ord(letter) != argument])
    if name == "IN":
        return _one_of(argument, random, path)
    raise SchemaError(path, "looks ahead, back or at the edges of words, which is not supported by this server")


def _encodable(code: int, path: str) -> str:
    if _SURROGATES[0] <= code <= _SURROGATES[1]:
        raise SchemaError(path, f"has the surrogate U+{code:X}, which is no character")
    return chr(code)


def _between(low: int, high: int, random: Random, path: str) -> str:
    """A character of a range, without the surrogates within it."""
    first, last = _SURROGATES
    if low < first <= high:
        high = first - 1
    elif low <= last < high:
        low = last + 1
    return _encodable(random.randint(low, high), path)


def _one_of(members: Any, random: Random, path: str) -> str:
    if members[0][0] is op.NEGATE:
        barred = list(members[1:])
        left = [letter for letter in _PRINTED if not any(_has(member, letter) for member in barred)]
        if not left:
            raise SchemaError(path, "excludes every printed character")
        return random.choice([letter for letter in left if letter in _LETTERS] or left)
    code, argument = random.choice(members)
    if code is op.LITERAL:
        return _encodable(argument, path)
    if code is op.RANGE:
        return _between(argument[0], argument[1], random, path)
    return random.choice(_CLASSES[str(argument)])


def _has(member: Any, letter: str) -> bool:
    code, argument = member
    if code is op.LITERAL:
        return bool(ord(letter) == argument)
    if code is op.RANGE:
        return bool(argument[0] <= ord(letter) <= argument[1])
    tests = {"DIGIT": letter.isdigit(), "SPACE": letter.isspace(), "WORD": letter.isalnum() or letter == "_"}
    kind = str(argument).removeprefix("CATEGORY_")
    return bool(kind.startswith("NOT_") != tests[kind.removeprefix("NOT_")])
