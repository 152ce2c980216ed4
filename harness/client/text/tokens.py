"""Estimates the tokens of a text without a tokenizer; pure.

Four characters of an alphabet count as one token, and so does each Chinese, Japanese or Korean character. That is
slightly more than common tokenizers give, so a bound that holds for the estimate holds. Use your own counter where
the exact number matters.
"""

from __future__ import annotations

import re

from harness.client.parameters import max_tokens_of
from harness.client.protocols import CountedAnswer, provides
from harness.client.types import Item, Request, Response

_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_CHARACTERS_A_TOKEN = 4


def estimate_tokens(text: str) -> int:
    """At least 1 for a text that is not empty."""
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + (len(text) - wide + _CHARACTERS_A_TOKEN - 1) // _CHARACTERS_A_TOKEN


def tokens_of(request: Request) -> float:
    """Upper bound of a request's tokens: those of its body, and the most that its task allows for the answer."""
    body = request.body
    text = len(body) // _CHARACTERS_A_TOKEN if body.isascii() else estimate_tokens(body.decode(errors="replace"))
    return float(text + sum(_most(item) for item in request.items))


def _most(item: Item) -> int:
    """The most tokens of the answer to an item; 0 if no text is generated."""
    return max_tokens_of(item)


def tokens_used(response: Response) -> float | None:
    """Tokens that a request used, if the answers report them."""
    total = 0.0
    for answer in response.answers:
        usage = answer.usage if provides(answer, CountedAnswer) else None
        if usage is None:
            return None
        total += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    return total or None
