"""The choices of OpenAI's completions: the first one is the answer, and the others are ignored."""

from __future__ import annotations

from typing import Any

from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.tasks._said import Completion, Oddities
from harness.client.types import Answers


def first_choice(answer: dict[str, Any]) -> Any:
    """The choice with index 0, else the first; raises BadResponse if there is none."""
    refuse_error(answer)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise BadResponse("choices: is missing or empty" if choices in (None, []) else "choices: is not a list")
    return next((choice for choice in choices if isinstance(choice, dict) and choice.get("index") == 0), choices[0])


def pieces_of(event: dict[str, Any], odd: Oddities) -> list[dict[str, Any]]:
    """The pieces of the first choice in an event."""
    choices = event.get("choices")
    if not isinstance(choices, list):
        odd.count += 1
        return []
    found = [choice for choice in choices if isinstance(choice, dict)]
    odd.count += len(choices) - len(found)
    return [choice for choice in found if choice.get("index") in (0, None)]


def refuse_error(answer: dict[str, Any]) -> None:
    """Raise BadResponse for an error in place of an answer."""
    if answer.get("error"):
        raise BadResponse(f"an error in place of an answer: {excerpt(str(answer['error']), 200)}")


def one_answer(completion: Completion, oddities: int, first_tokens: int | None = None) -> tuple[Completion]:
    """The answers of a request for one item, with the server's counts of tokens."""
    return Answers((completion,), oddities, completion.usage, first_tokens)
