"""Conversations of a described API: its field `messages` is a list of objects with `role` and `content`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.client.conversation import Exchange, Script
from harness.client.errors import ItemError, UsageError
from harness.client.tasks._conversation import exchanges_of
from harness.client.tasks._said import Completion
from harness.client.tasks.http.answers import Counted
from harness.client.tasks.http.template import Values

FIELD = "messages"
_VALUES = "values of the row"


def script_of(values: Values, place: int | None, task: str) -> Script:
    """The conversation in a row's fields. Raises UsageError for a file without the field, ItemError for a bad row."""
    if place is None:
        raise UsageError(f"task {task}: has no conversations; sessions need a field {{{{ {FIELD}:list }}}} in the body")
    messages = values[place]
    if not isinstance(messages, list | tuple) or not messages or not all(_is_message(one) for one in messages):
        raise ItemError(f"{FIELD}: must be a list of objects with role and content")
    return exchanges_of(tuple(messages), {_VALUES: values}, lambda message: message["role"])


def _is_message(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("role"), str)


def turn(script: Script, history: Sequence[Exchange], asked: tuple[Any, ...], place: int | None) -> Values:
    """The row's fields, with the earlier messages and those of this turn in the place of its messages."""
    said = [message for exchange in history for part in exchange for message in part]
    values: Values = script.parameters[_VALUES]
    messages = [*script.preamble, *said, *asked]
    return tuple(messages if number == place else value for number, value in enumerate(values))


def messages_of(answer: Any) -> tuple[dict[str, str], ...]:
    """A text as the assistant's message; nothing for an answer of another kind."""
    value = answer.value if isinstance(answer, Counted) else answer
    text = value.text if isinstance(value, Completion) else value
    return ({"role": "assistant", "content": text},) if isinstance(text, str) else ()
