"""Conversations of each task that has them: the next turn carries what was said before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import plugins
from harness.client.conversation import ConversationTask, Exchange
from harness.client.errors import ItemError, UsageError
from harness.client.protocols import provides
from harness.client.tasks.http import Http
from harness.client.types import Item

DESCRIBED = """
path = "/talk"
answer = "/said"
body = { model = "m", dialogue = "{{ messages:list }}", top_k = "{{ top_k:integer = 3 }}" }
stream = { text = "/piece", end = "[DONE]" }
"""
ROWS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Why?"},
]


def tasks() -> dict[str, tuple[Any, str, list[bytes]]]:
    """A task, the place of the messages in its body, and the events of a stream that says "a b"."""
    chat = [json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() for text in ("a", " b")]
    named = [json.dumps({"type": "response.output_text.delta", "delta": text}).encode() for text in ("a", " b")]
    pieces = [json.dumps({"piece": text}).encode() for text in ("a", " b")]
    return {
        "chat": (plugins.make("task", "chat"), "messages", chat),
        "responses": (plugins.make("task", "responses"), "input", named),
        "described": (Http(text=DESCRIBED), "dialogue", pieces),
    }


def said(task: Any, data: Any, place: str) -> list[tuple[str, str]]:
    """Role and content of the messages in a request."""
    body = json.loads(task.request((Item(0, data, task),)).body)
    return [(message["role"], message["content"]) for message in body[place]]


@pytest.mark.parametrize("name", tasks())
def test_a_turn_carries_the_preamble_the_history_and_what_is_asked(name: str) -> None:
    task, place, events = tasks()[name]
    assert provides(task, ConversationTask)
    script = task.script_of(task.parse({"messages": ROWS}))
    assert len(script.exchanges) == 2
    heard = task.partial_answer(events)
    history = [Exchange(script.exchanges[0].asked, task.messages_of(heard))]
    data = task.turn(script, history, script.exchanges[1].asked)
    assert said(task, data, place) == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "a b"),
        ("user", "Why?"),
    ]
    if name == "described":
        assert json.loads(task.request((Item(0, data, task),)).body)["top_k"] == 3


@pytest.mark.parametrize("name", tasks())
def test_made_up_texts_are_a_conversation_of_one_turn(name: str) -> None:
    task, place, _ = tasks()[name]
    data = task.synthetic(lambda count: "word " * count, 3)
    script = task.script_of(data)
    assert said(task, task.turn(script, [], script.exchanges[0].asked), place) == [("user", "word word word ")]
    (answer,) = task.made_up(data)
    again = task.turn(script, [Exchange(script.exchanges[0].asked, (answer,))], script.exchanges[0].asked)
    assert [role for role, _ in said(task, again, place)] == ["user", "assistant", "user"]


def test_a_described_api_without_messages_has_no_conversations() -> None:
    """Nor has a row whose messages are something else."""
    task = Http(text='path = "/a"\nanswer = ""\nbody = { t = "{{ text }}" }')
    with pytest.raises(UsageError, match=r"sessions need a field \{\{ messages:list \}\}"):
        task.script_of(task.parse({"text": "a"}))
    described = Http(text=DESCRIBED)
    with pytest.raises(ItemError, match="messages: must be a list of objects with role"):
        described.script_of(described.parse({"messages": ["a"]}))
