"""The answers of a request, with facts beside them: token counts, and harmless deviations from the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

TOKENS_MAX = 2**31 - 1
"""A count above it is no count: records hold 32 bits, and no model has such an answer."""


def is_count(value: Any) -> bool:
    """Whether a value is a number of tokens."""
    return type(value) is int and 0 <= value <= TOKENS_MAX


class Usage(msgspec.Struct, frozen=True):
    """The server's token counts; None where it did not count.

    Attributes:
        prompt_tokens: Tokens of the prompt, cached ones included. Default None.
        completion_tokens: Generated tokens, reasoning included. Default None.
        cached_tokens: Of the prompt, tokens that the server had in its prefix cache. Default None.
        reasoning_tokens: Of the generated tokens, those of the reasoning. Default None.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


def summed(counts: Iterable[Usage | None]) -> Usage | None:
    """The counts of several answers together; a count that one of them lacks is None."""
    known = [usage for usage in counts if usage is not None]
    if not known:
        return None
    return Usage(*(_sum(getattr(usage, name) for usage in known) for name in Usage.__struct_fields__))


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of counts; None if one of them is unknown."""
    known = list(counts)
    return None if None in known else sum(filter(None, known))


class Answers(tuple[Any, ...]):
    """Answers, with the number of harmless deviations from the API in them and the server's token counts.

    The counts are of the whole request, which may have several items. `first_tokens` are the tokens in the first
    content event of a stream, if the server counts them event by event.
    """

    oddities: int
    usage: Usage | None
    first_tokens: int | None

    def __new__(
        cls, answers: Iterable[Any], oddities: int = 0, usage: Usage | None = None, first_tokens: int | None = None
    ) -> Answers:
        made = super().__new__(cls, answers)
        made.oddities = oddities
        made.usage = usage
        made.first_tokens = first_tokens
        return made


def oddities_of(answers: tuple[Any, ...]) -> int:
    """The count that `Answers` carry; 0 for a plain tuple."""
    return answers.oddities if isinstance(answers, Answers) else 0


def usage_of(answers: tuple[Any, ...]) -> Usage | None:
    """The token counts that `Answers` carry; None for a plain tuple."""
    return answers.usage if isinstance(answers, Answers) else None
