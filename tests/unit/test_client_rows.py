"""Rows of users: what changes the answer or the load is sent as it came, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import plugins
from harness.client.cache.equality import repeatable
from harness.client.errors import ItemError
from harness.client.text.request_text import text_of, with_text
from harness.client.text.tokens import tokens_of
from harness.client.types import Item, Request, Task


def request(spec: str, row: dict[str, Any]) -> Request:
    task: Task = plugins.make("task", spec)
    return task.request([Item(0, task.parse(row), task)])


def body(spec: str, row: dict[str, Any]) -> Any:
    return json.loads(request(spec, row).body)


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "a", "name": "bob"}],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ],
    [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}],
    [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,xxxx"}},
            ],
        }
    ],
    [{"role": "assistant", "content": "x", "reasoning_content": "hm"}, {"role": "user", "content": "go on"}],
]


@pytest.mark.parametrize("messages", MESSAGES)
def test_messages_are_sent_as_they_came(messages: list[dict[str, Any]]) -> None:
    """Names, calls of tools and their results, parts, and null beside calls."""
    assert body("chat", {"messages": messages})["messages"] == messages


PARAMETERS: dict[str, Any] = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["\n"],
    "seed": 7,
    "ignore_eos": True,
    "min_tokens": 2,
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "model": "m",
}


@pytest.mark.parametrize("text", ["prompt", "text"])
def test_parameters_of_a_row_win_over_the_settings(text: str) -> None:
    row = {text: "p", **PARAMETERS, "id": 3, "topic": "its owner's", "top_k": None}
    assert body("chat:max_tokens=9,temperature=0,model=x", row) == {
        "messages": [{"role": "user", "content": "p"}],
        **PARAMETERS,
    }
    assert body("chat", {"prompt": "p", "max_completion_tokens": 3}) == {
        "messages": [{"role": "user", "content": "p"}],
        "max_completion_tokens": 3,
    }


def test_a_row_says_whether_it_is_streamed() -> None:
    streamed = request("chat", {"prompt": "p", "stream": True})
    assert streamed.stream
    assert json.loads(streamed.body)["stream_options"] == {"include_usage": True}
    plain = request("chat:stream=true", {"prompt": "p", "stream": False})
    assert not plain.stream
    assert "stream" not in json.loads(plain.body)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"prompt": "p", "n": 2}, "n: one answer a row is kept"),
    ("chat", {"prompt": "p", "logprobs": True}, "logprobs: "),
    ("chat", {"prompt": "p", "modalities": ["text", "audio"]}, "modalities: only text"),
    ("chat", {"prompt": "p", "dimensions": 3}, "dimensions: "),
    ("chat", {"prompt": "p", "max_tokens": 0}, "max_tokens: must be a whole number between 1"),
    ("chat", {"prompt": "p", "max_tokens": "9"}, "max_tokens: must be"),
    ("chat", {"prompt": "p", "temperature": 3}, "temperature: must be a number between 0 and 2"),
    ("chat", {"prompt": "p", "stream": "yes"}, "stream: is str, not a boolean"),
    ("chat", {"prompt": "p", "model": 3}, "model: is int, not a text"),
    ("chat", {"messages": [{"role": "user", "content": "a", "weight": 1}]}, r"messages\[0\].weight: is not sent"),
    ("chat", {"messages": [{"role": "user", "content": None}]}, r"messages\[0\].content: is missing"),
    ("chat", {"messages": [{"role": "user", "content": []}]}, r"messages\[0\].content: must be a list of objects"),
    (
        "chat",
        {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
        r"content\[0\].type: is missing",
    ),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"content\[0\].text: is missing"),
    ("chat", {"messages": [{"role": "assistant", "content": None, "tool_calls": "f"}]}, r"messages\[0\].tool_calls: "),
    (
        "chat",
        {"messages": [{"role": "tool", "content": "a", "tool_call_id": 3}]},
        r"\.tool_call_id: is int",
    ),
    ("annotate", {"text": "a", "max_tokens": -1}, "max_tokens: must be"),
    ("embed", {"text": "a", "dimensions": 64}, "dimensions: .*--task embed:dimensions="),
    ("embed", {"text": "a", "model": "m"}, "model: .*--task embed:model="),
    ("embed", {"text": "a", "encoding_format": "base64"}, "encoding_format: "),
    ("embed:dimensions=8", {"text": "a", "dimensions": 64}, "dimensions: "),
    ("zero-shot", {"text": "a", "hypothesis_template": "x"}, "hypothesis_template: must contain"),
    ("zero-shot", {"text": "a", "multi_label": 1}, "multi_label: is int, not a boolean"),
    ("fill-mask", {"text": "[MASK]", "top_k": 9}, "top_k: .*--task fill-mask:top_k=9"),
    ("fill-mask", {"text": "[MASK]", "targets": ["a"]}, "targets: "),
]


@pytest.mark.parametrize(("spec", "row", "message"), REFUSED)
def test_what_is_not_sent_is_refused_by_name(spec: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ItemError, match=message):
        plugins.make("task", spec).parse(row)


def test_neutral_values_and_those_of_the_settings_pass() -> None:
    sent = {"prompt": "p", "n": 1, "logprobs": False, "modalities": ["text"], "audio": None}
    assert body("chat", sent) == body("chat", {"prompt": "p"})
    row = {"text": "a", "dimensions": 8, "encoding_format": "float", "model": "m"}
    assert body("embed:dimensions=8,model=m", row) == {"input": "a", "model": "m", "dimensions": 8}
    assert body("annotate:max_tokens=9", {"text": "a", "max_tokens": 3}) == {
        "text": "a",
        "max_tokens": 3,
        "stream": False,
    }


def test_zero_shot_takes_template_and_kind_from_the_row() -> None:
    row = {"text": "a", "labels": ["x", "y"], "hypothesis_template": "{}!", "multi_label": True}
    asked = request("zero-shot", row)
    assert json.loads(asked.body) == row
    answers = asked.task.answer(asked, b'{"labels": ["x", "y"], "scores": [0.9, 0.9]}')
    assert answers == ({"x": 0.9, "y": 0.9},)


def test_layers_see_what_the_row_asks_for() -> None:
    """A row's own temperature is sampled again, its tokens are reserved, and another text keeps its parameters."""
    assert repeatable(request("chat", {"prompt": "p", "temperature": 0}), sampled=False)
    assert not repeatable(request("chat", {"prompt": "p", "temperature": 1}), sampled=False)
    assert tokens_of(request("chat", {"prompt": "p", "max_tokens": 1000})) > 1000
    assert tokens_of(request("annotate", {"text": "p", "max_tokens": 1000})) > 1000
    for spec, row in (("chat", {"prompt": "p", "max_tokens": 5}), ("annotate", {"text": "p", "max_tokens": 5})):
        asked = with_text(request(spec, row), "q")
        assert (text_of(asked), json.loads(asked.body)["max_tokens"]) == ("q", 5)
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    assert text_of(request("chat", {"messages": parts})) is None
