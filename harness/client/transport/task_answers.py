"""The answers that a task reads from a body or a stream, with the server's token counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from harness.client.answers import Answers, Usage, is_count, oddities_of, summed, usage_of
from harness.client.conversation import ConversationTask
from harness.client.errors import BadResponse
from harness.client.protocols import CountedAnswer, provides
from harness.client.transport.claimed_tokens import UNKNOWN_MAX, believed
from harness.client.types import EventSplitter, Outcome, Request, Response


def answers_of(request: Request, splitter: EventSplitter, events: Sequence[bytes]) -> tuple[Any, ...]:
    """The answers of a finished stream, or of the plain answer that came in its place; raises BadResponse."""
    if splitter.plain is None:
        return checked_answers(request, request.task.answer_stream, events)
    answers = plain_answers_of(request, bytes(splitter.plain))
    return Answers(answers, 1 + oddities_of(answers), usage_of(answers))


def plain_answers_of(request: Request, body: bytes) -> tuple[Any, ...]:
    """The answers in a body; raises BadResponse."""
    return checked_answers(request, request.task.answer, body)


def stopped(request: Request, response: Response, events: Sequence[bytes]) -> None:
    """Fill in the response to a stream that the client ended on purpose: the answer as far as it came."""
    response.outcome = Outcome.cancelled
    if provides(request.task, ConversationTask):
        response.answers = (request.task.partial_answer(events),)


def checked_answers(request: Request, read: Callable[[Request, Any], tuple[Any, ...]], what: Any) -> tuple[Any, ...]:
    """The answers that a method of the task reads; an exception of a user-defined task is a bad response."""
    try:
        answers = read(request, what)
        found = len(answers)
    except BadResponse:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise BadResponse(f"task {request.task.name} cannot read the answer: {why}") from error
    if request.items and found != len(request.items):  # requests about jobs have no items
        raise BadResponse(f"task {request.task.name} read {found} answers for {len(request.items)} items")
    if type(answers) is not Answers:
        if not answers or type(answers[0]) is float or not provides(answers[0], CountedAnswer):
            return answers
        answers = Answers(answers, usage=summed(_usage(answer) for answer in answers))
    return answers if answers.usage is None else _believed(answers, answers.usage, request, what)


def _believed(answers: Answers, usage: Usage, request: Request, what: bytes | Sequence[bytes]) -> Answers:
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


def _usage(answer: Any) -> Usage | None:
    """The counts of an answer of a user-defined task, which may have a form of their own."""
    counts = answer.usage
    if counts is None or isinstance(counts, Usage):
        return counts
    return Usage(counts.prompt_tokens, counts.completion_tokens)
