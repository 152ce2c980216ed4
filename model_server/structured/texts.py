"""Texts within bounds of length, of a format or a pattern."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

from model_server.structured import patterns
from model_server.structured.bounds import CHARS_MAX, TRIES, Budget, SchemaError

_SENTENCE = "the order came late and support has sent a new one today with thanks for your help in this case"
_WORDS = _SENTENCE.split()


def text(schema: dict[str, Any], random: Random, path: str, steps: Budget, *, lean: bool) -> str:
    """A text that the schema allows; a short one with `lean`. Patterns take some of `steps`."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", CHARS_MAX)
    if least > CHARS_MAX:
        raise SchemaError(f"{path}.minLength", f"{least} is over this server's limit of {CHARS_MAX} characters")
    if least > most:
        raise SchemaError(path, f"no text has at least {least} and at most {most} characters")
    if "pattern" in schema:
        return _fitting(schema["pattern"], random, f"{path}.pattern", steps, least, most)
    made = _formatted(schema.get("format", ""), random)
    if made is None:
        made = _said(random, least, most, 1 if lean else random.randint(1, 4))
    if not least <= len(made) <= most:
        raise SchemaError(path, f"the format {schema['format']} does not fit {least} to {most} characters")
    return made


def _fitting(pattern: str, random: Random, path: str, steps: Budget, least: int, most: int) -> str:
    tree = patterns.parsed(pattern, path)
    for _ in range(TRIES * 4):
        made = patterns.matching(tree, random, path, steps)
        if least <= len(made) <= most:
            return made
    raise SchemaError(path, f"found no text of {least} to {most} characters that matches")


def _said(random: Random, least: int, most: int, words: int) -> str:
    """Words, at least `least` characters; cut at `most`, never at a blank."""
    made = " ".join(random.choices(_WORDS, k=words))
    while len(made) < least:
        made += f" {random.choice(_WORDS)}"
    made = made[:most]
    return f"{made[:-1]}s" if made.endswith(" ") else made


def _formatted(name: str, random: Random) -> str | None:
    """A text of this format; None for one that has no form, which is an annotation."""
    form = _FORMS.get(name)
    return None if form is None else form(random)


def _day(random: Random) -> str:
    return f"20{random.randint(10, 29)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _clock(random: Random) -> str:
    return f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}Z"


def _uuid(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _with_word(form: str) -> Callable[[Random], str]:
    return lambda random: form.format(random.choice(_WORDS))


_FORMS: dict[str, Callable[[Random], str]] = {
    "date": _day,
    "time": _clock,
    "date-time": lambda random: f"{_day(random)}T{_clock(random)}",
    "duration": lambda random: f"P{random.randint(1, 30)}D",
    **dict.fromkeys(("email", "idn-email"), _with_word("{}@example.com")),
    **dict.fromkeys(("hostname", "idn-hostname"), _with_word("{}.example.com")),
    "ipv4": lambda random: f"192.0.2.{random.randint(1, 254)}",
    "ipv6": lambda random: f"2001:db8::{random.randint(1, 0xFFFF):x}",
    **dict.fromkeys(("uri", "iri"), _with_word("https://example.com/{}")),
    **dict.fromkeys(("uri-reference", "iri-reference", "json-pointer"), _with_word("/{}")),
    "regex": _with_word("{}"),
    "uuid": _uuid,
}
