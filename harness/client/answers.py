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


def consistent(usage: Usage) -> Usage:
    """The counts, without those that are larger than the count of which they are a part."""
    cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
    if cached is not None and usage.prompt_tokens is not None and cached > usage.prompt_tokens:
        cached = None
    if reasoning is not None and usage.completion_tokens is not None and reasoning > usage.completion_tokens:
        reasoning = None
    if (cached, reasoning) == (usage.cached_tokens, usage.reasoning_tokens):
        return usage
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached, reasoning)


def later(usage: Usage | None, before: Usage | None) -> Usage | None:
    """The counts of a stream after an event: each is the last one that an event had."""
    if usage is None or before is None:
        return usage or before
    counts = [getattr(usage, name) for name in Usage.__struct_fields__]
    if None not in counts:
        return usage
    return Usage(
        *(
            getattr(before, name) if new is None else new
            for name, new in zip(Usage.__struct_fields__, counts, strict=True)
        )
    )


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
