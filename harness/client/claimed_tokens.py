"""Token counts that a server claims, held against what was sent and received.

A count that cannot be true is left out, so that one wrong answer does not spoil the sums of a run. A model may make
tokens without a text (those of hidden reasoning, or of its end, with `ignore_eos`), so an answer may have more tokens
than bytes, up to the number that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from harness.client.answers import Answers, Usage, is_count
from harness.client.protocols import CountedAnswer, provides
from harness.client.types import Request

UNKNOWN_MAX = 1_000_000
"""Tokens that an answer may have beyond its bytes where the request names no number, and a prompt beyond its own."""
_decode = msgspec.json.Decoder().decode
_NAMES = ("tokens", "predict")
"""Parts of the names of the fields that bound an answer: max_tokens, max_output_tokens, num_predict ..."""


def believed_answers(answers: Answers, usage: Usage, request: Request, what: bytes | Sequence[bytes]) -> Answers:
    """The answers without counts of tokens that cannot be true, which are a deviation from the API."""
    # Nearly always: no token is without a byte, and no event either.
    if _claim(usage.completion_tokens) <= len(what) and _claim(usage.prompt_tokens) <= UNKNOWN_MAX:
        return answers
    received = len(what) if isinstance(what, bytes | bytearray) else sum(map(len, what))
    kept = believed(usage, request, received)
    if kept == usage:
        return answers
    return Answers([_with(one, usage, kept) for one in answers], answers.oddities + 1, kept, answers.first_tokens)


def _claim(count: Any) -> int:
    """A task of the user's own may count anything."""
    return count if is_count(count) else 0


def _with(answer: Any, usage: Usage, kept: Usage) -> Any:
    """An answer that has the usage itself."""
    has = isinstance(answer, msgspec.Struct) and provides(answer, CountedAnswer) and answer.usage == usage
    return msgspec.structs.replace(answer, usage=kept) if has else answer


def believed(usage: Usage, request: Request, received: int) -> Usage:
    """The counts that can be true, of an answer with so many bytes."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if prompt is not None and prompt > len(request.body or b"") + UNKNOWN_MAX:
        usage = msgspec.structs.replace(usage, prompt_tokens=None, cached_tokens=None)
    if completion is not None and completion > received and completion > asked_for(request):
        usage = msgspec.structs.replace(usage, completion_tokens=None, reasoning_tokens=None)
    return usage


def asked_for(request: Request) -> int:
    """The largest number of tokens that the request allows its answers, `UNKNOWN_MAX` if it names none."""
    try:
        bounds = list(_bounds(_decode(request.body or b"")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        bounds = []
    return max(bounds, default=UNKNOWN_MAX) * max(1, len(request.items))


def _bounds(value: Any) -> Iterator[int]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        if type(inner) is int and inner > 0 and any(part in name for part in _NAMES):
            yield inner
        yield from _bounds(inner)
