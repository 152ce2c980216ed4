"""How many tokens a text has, estimated without a tokenizer; pure.

Four characters of an alphabet make a token, and each Chinese, Japanese or Korean character is one: a little more than
what common tokenizers make of them, so that a budget kept by this estimate is kept. Give your own counter where the
exact number matters.
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
    """What a request may cost: its body's tokens, and the most that its task lets a model answer."""
    body = request.body
    text = len(body) // _CHARACTERS_A_TOKEN if body.isascii() else estimate_tokens(body.decode(errors="replace"))
    return float(text + sum(_most(item) for item in request.items))


def _most(item: Item) -> int:
    """The tokens that the answer to an item may have; 0 where no text is made."""
    return max_tokens_of(item)


def tokens_used(response: Response) -> float | None:
    """What a request did cost, where the answers say so."""
    total = 0.0
    for answer in response.answers:
        usage = answer.usage if provides(answer, CountedAnswer) else None
        if usage is None:
            return None
        total += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    return total or None
