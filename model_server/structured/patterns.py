"""Texts that match a regular expression, made from its parsed form; no expression is ever run."""

from __future__ import annotations

import re
import string
import warnings
from collections.abc import Iterator
from functools import lru_cache
from random import Random
from re import _constants as op  # type: ignore[attr-defined] # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined] # as above
from typing import Any

from model_server.structured.bounds import PATTERN_MAX, SchemaError

_MORE = 3
"""An open repetition is repeated at most so many times more than it has to be."""
_PIECES_MAX = 2_000
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


def matching(tree: Any, random: Random, path: str) -> str:
    """A text that matches."""
    made: list[str] = []
    for piece in _pieces(tree, random, path, {}):
        made.append(piece)
        if len(made) > _PIECES_MAX:
            raise SchemaError(path, f"asks for more than {_PIECES_MAX} characters")
    return "".join(made)


def _pieces(tree: Any, random: Random, path: str, groups: dict[int, str]) -> Iterator[str]:
    for code, argument in tree:
        name = str(code)
        if name == "SUBPATTERN":
            number, _, _, inner = argument
            said = []
            for piece in _pieces(inner, random, path, groups):
                said.append(piece)
                yield piece
            groups[number] = "".join(said)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = argument
            for _ in range(random.randint(least, min(most, least + _MORE))):
                yield from _pieces(inner, random, path, groups)
        elif name == "BRANCH":
            yield from _pieces(random.choice(argument[1]), random, path, groups)
        elif name == "ATOMIC_GROUP":
            yield from _pieces(argument, random, path, groups)
        elif name == "GROUPREF":
            yield groups.get(argument, "")
        elif name == "AT" and str(argument) in ("AT_BEGINNING", "AT_END", "AT_BEGINNING_STRING", "AT_END_STRING"):
            continue
        else:
            yield _character(name, argument, random, path)


def _character(name: str, argument: Any, random: Random, path: str) -> str:
    if name == "LITERAL":
        return chr(argument)
    if name == "ANY":
        return random.choice(_LETTERS)
    if name == "NOT_LITERAL":
        return random.choice([letter for letter in _LETTERS if ord(letter) != argument])
    if name == "IN":
        return _one_of(argument, random, path)
    raise SchemaError(path, "looks ahead, back or at the edges of words, which is not supported by this server")


def _one_of(members: Any, random: Random, path: str) -> str:
    if members[0][0] is op.NEGATE:
        barred = list(members[1:])
        left = [letter for letter in _PRINTED if not any(_has(member, letter) for member in barred)]
        if not left:
            raise SchemaError(path, "excludes every printed character")
        return random.choice([letter for letter in left if letter in _LETTERS] or left)
    code, argument = random.choice(members)
    if code is op.LITERAL:
        return chr(argument)
    if code is op.RANGE:
        return chr(random.randint(*argument))
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
