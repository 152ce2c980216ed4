"""A body nested deeper than the interpreter's stack is a bad response, not a crash of the client."""

from __future__ import annotations

import pytest

from harness.client.errors import BadResponse
from harness.client.task_calls import request_for
from harness.client.tasks.annotate import Annotate
from harness.client.tasks.chat import Chat
from harness.client.tasks.embed import Embed
from harness.client.tasks.fill_mask import FillMask
from harness.client.tasks.similarity import Similarity
from harness.client.tasks.zero_shot import ZeroShot
from harness.client.transport.event_stream import is_content
from harness.client.types import Item, Task

DEEP = b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ROW = {"text": "a [MASK] b", "text1": "a", "text2": "b", "labels": ["x", "y"], "prompt": "a"}
TASKS: list[Task] = [Similarity(), FillMask(), ZeroShot(), Annotate(), Chat(), Embed()]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("body", [DEEP, b"[" * 100_000], ids=["closed", "open"])
def test_a_body_nested_too_deeply_is_a_bad_response(task: Task, body: bytes) -> None:
    request = request_for(Item(0, task.parse(ROW), task))
    with pytest.raises(BadResponse):
        task.answer(request, body)


@pytest.mark.parametrize("task", [Annotate(stream=True), Chat(stream=True)], ids=lambda task: task.name)
def test_so_is_an_event_of_a_stream(task: Task) -> None:
    request = request_for(Item(0, task.parse(ROW), task))
    assert is_content(DEEP)
    with pytest.raises(BadResponse):
        task.answer_stream(request, [DEEP, b"[DONE]"])
