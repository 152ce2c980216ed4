"""The one text of a request, for layers that cut it into chunks or compare it by meaning.

A task declares its text by the protocol `TextTask`, and by `JoiningTask` that answers to chunks can be joined. Tasks
whose meaning depends on the exact words (fill-mask, pairs to compare) declare neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.client.protocols import JoiningTask, TextTask, provides
from harness.client.types import Item, Request


def text_of(request: Request) -> str | None:
    """The one text that may be cut or compared by meaning; None if there is none, or several."""
    task = request.task
    if len(request.items) != 1 or not provides(task, TextTask):
        return None
    return task.text_of(request.items[0].data)


def rest_of(request: Request) -> bytes:
    """Everything in a request but its text: texts are only compared if the rest is equal."""
    return request.path.encode() + b"\0" + with_text(request, "").body + repr(request.headers or "").encode()


def with_text(request: Request, text: str) -> Request:
    """The same request with another text; its item keeps index and instants. `text_of` gave a text for it."""
    task, item = request.task, request.items[0]
    if not provides(task, TextTask):
        raise TypeError(f"task {task.name} does not declare its text")
    changed: Item = msgspec.structs.replace(item, data=task.with_text(item.data, text))
    made = request.task.request((changed,))
    return msgspec.structs.replace(request, items=made.items, body=made.body)


def can_join(request: Request) -> bool:
    """Whether answers to the chunks of its text make an answer to the whole: generated texts do, scores do not."""
    return len(request.items) == 1 and provides(request.task, JoiningTask)


def joined(request: Request, answers: Sequence[Any], separator: str) -> Any:
    """The answer to the whole, from the answers to the chunks; `can_join` is true for the request."""
    if not provides(request.task, JoiningTask):
        raise TypeError(f"task {request.task.name} cannot join answers")
    return request.task.joined(answers, separator)
