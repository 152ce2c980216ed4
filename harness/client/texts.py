"""The one text of a request: what it is, the request with another one, and answers joined; for layers that work on it.

Understood are tasks whose data is a text (annotate, embed), a conversation that ends with the user (chat), and a text
with labels (zero-shot). Where the meaning hangs on the very words (fill-mask, pairs to compare) there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.client.tasks._conversation import parameters_of
from harness.client.tasks.annotate import Asked
from harness.client.tasks.chat import Completion, Conversation, Message, Usage
from harness.client.tasks.zero_shot import Labelled
from harness.client.types import Item, Request


def text_of(request: Request) -> str | None:
    """The text that may be cut or compared by its meaning; None where there is none, or several."""
    if len(request.items) != 1:
        return None
    item = request.items[0]
    data = item.data
    if isinstance(data, str):
        return data if item.task.name != "fill-mask" else None
    if isinstance(data, Labelled):
        return data.text
    if _conversation(data) and data[-1].role == "user" and isinstance(data[-1].content, str):
        return data[-1].content
    return None


def rest_of(request: Request) -> bytes:
    """All of a request but its text, so that texts are only compared where the rest is the same."""
    return request.path.encode() + b"\0" + with_text(request, "").body + repr(request.headers or "").encode()


def with_text(request: Request, text: str) -> Request:
    """The same with another text; its item keeps index and instants."""
    item = request.items[0]
    data: Any = text
    if isinstance(item.data, Labelled):
        data = msgspec.structs.replace(item.data, text=text)
    elif _conversation(item.data):
        last = msgspec.structs.replace(item.data[-1], content=text)
        data = Conversation((*item.data[:-1], last), parameters_of(item.data))
    elif isinstance(item.data, Asked):
        data = Asked(text, item.data.parameters)
    changed: Item = msgspec.structs.replace(item, data=data)
    made = request.task.request((changed,))
    return msgspec.structs.replace(request, items=made.items, body=made.body)


def can_join(request: Request) -> bool:
    """Whether answers to the parts of its text make an answer to the whole: generated texts do, scores do not."""
    data = request.items[0].data if len(request.items) == 1 else None
    return _conversation(data) or (isinstance(data, str) and request.task.name not in ("embed", "fill-mask"))


def joined(answers: Sequence[Any], between: str) -> Any:
    """The answer to the whole: texts one after another, tokens added up; raises TypeError for other answers."""
    if all(isinstance(answer, Completion) for answer in answers):
        used = [answer.usage for answer in answers if answer.usage is not None]
        usage = Usage(_sum(u.prompt_tokens for u in used), _sum(u.completion_tokens for u in used)) if used else None
        thinking = [answer.reasoning for answer in answers if answer.reasoning]
        calls = tuple(call for answer in answers for call in answer.tool_calls)
        reasons = [answer.finish_reason for answer in answers]
        reason = next((reason for reason in reasons if reason != "stop"), "stop")
        text = between.join(answer.text for answer in answers)
        return Completion(text, reason, usage, between.join(thinking) or None, calls)
    if all(isinstance(answer, str) for answer in answers):
        return between.join(answers)
    raise TypeError(f"answers of type {type(answers[0]).__name__} cannot be joined")


def _sum(counts: Iterable[int | None]) -> int | None:
    """Of what was counted; None if one of them was not."""
    known = list(counts)
    return None if None in known else sum(filter(None, known))


def _conversation(data: Any) -> bool:
    return isinstance(data, tuple) and bool(data) and isinstance(data[-1], Message)
