"""Completions, responses, embeddings in base64, images, thinking and tool calls, in the forms of OpenAI's API."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.errors import BadResponse, ItemError
from harness.client.tasks._said import ToolCall
from harness.client.transport.event_stream import SseSplitter, event_form
from harness.client.types import Item, Request, Task
from tests.http.foreign import PIXEL


def request(spec: str, *rows: dict[str, Any]) -> Request:
    task: Task = plugins.make("task", spec)
    return task.request([Item(index, task.parse(row), task) for index, row in enumerate(rows)])


def body(request: Request) -> Any:
    return json.loads(request.body)


def answer(request: Request, value: Any) -> Any:
    return request.task.answer(request, json.dumps(value).encode())[0]


def streamed(request: Request, text: str) -> tuple[Any, list[bool]]:
    """The answer of a stream, and which of its events carry content."""
    events = SseSplitter().feed(text.encode())
    form = event_form(request)
    return request.task.answer_stream(request, events)[0], [form.is_content(event) for event in events]


def sse(*events: Any) -> str:
    """Named events, as the Responses API sends them, or plain ones."""
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        lines.append(f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
    return "".join(lines)


# Completions.

COMPLETION = {
    "id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7",
    "object": "text_completion",
    "created": 1589478378,
    "model": "gpt-3.5-turbo-instruct",
    "system_fingerprint": "fp_44709d6fcb",
    "choices": [{"text": "\n\nThis is indeed a test", "index": 0, "logprobs": None, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
}


def test_a_completion_is_asked_for_and_read() -> None:
    """With the parameters of the row, and of the task."""
    row = {"prompt": "Say this is a test", "suffix": "!", "temperature": 0, "note": "mine"}
    asked = request("complete:model=m,max_tokens=7", row)
    assert asked.path == "/v1/completions"
    expected = {"prompt": "Say this is a test", "max_tokens": 7, "model": "m", "suffix": "!", "temperature": 0}
    assert body(asked) == expected
    assert body(request("complete", {"prompt": [1, 2], "max_tokens": 3})) == {"prompt": [1, 2], "max_tokens": 3}
    found = answer(asked, COMPLETION)
    assert (found.text, found.finish_reason) == ("\n\nThis is indeed a test", "length")
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (5, 7)


def test_a_streamed_completion_has_the_usage_of_its_last_event() -> None:
    """Which has no choices and is no content."""
    asked = request("complete:stream=true", {"text": "Say this is a test"})
    assert body(asked)["stream_options"] == {"include_usage": True}
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    pieces = [{**head, "choices": [{"text": text, "index": 0, "finish_reason": None}]} for text in ("This", " is")]
    end = {**head, "choices": [{"text": "", "index": 0, "finish_reason": "stop"}]}
    usage = {**head, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    found, content = streamed(asked, sse(*pieces, end, usage, "[DONE]"))
    assert (found.text, found.finish_reason, found.usage.completion_tokens) == ("This is", "stop", 2)
    assert content == [True, True, False, False, False]
    with pytest.raises(BadResponse, match="broke off"):
        streamed(asked, sse(*pieces))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "choices: is missing or empty"),
        ({"choices": [{"index": 0}]}, r"choices\[0\].text: is missing"),
        ({"choices": [{"text": 5}]}, r"choices\[0\].text: is int"),
        ({"error": {"message": "no such model"}}, "no such model"),
    ],
)
def test_what_is_no_completion_is_named(wrong: Any, said: str) -> None:
    """It is never a default."""
    with pytest.raises(BadResponse, match=said):
        answer(request("complete", {"text": "a"}), wrong)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": []}, "prompt: must be a text, or a list of 1 to"),
        ({"prompt": ["a", "b"]}, "prompt: must be a text, or a list of 1 to"),
        ({"prompt": "a", "echo": True}, "echo: the answer is kept without its prompt"),
        ({"prompt": "a", "extra_body": [1]}, "extra_body: is list, not an object"),
        ({"prompt": "a", "extra_body": {"n": 2}}, "extra_body.n: one answer a row is kept"),
        ({"prompt": "a", "extra_body": {"stream": True}}, "extra_body.stream: it is set by the task"),
        ({}, "text: is missing"),
    ],
)
def test_a_row_that_is_no_prompt_is_named(row: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ItemError, match=said):
        request("complete", row)


@pytest.mark.parametrize("task", ["chat", "complete", "responses"])
def test_extra_body_is_merged_into_the_body(task: str) -> None:
    """As OpenAI's client does it."""
    sent = body(request(task, {"prompt": "a", "extra_body": {"mm_processor_kwargs": {"fps": 1}, "top_k": 3}}))
    assert (sent["mm_processor_kwargs"], sent["top_k"]) == ({"fps": 1}, 3)
    assert "extra_body" not in sent


# Responses.

MESSAGE = {
    "type": "message",
    "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e6",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "In a peaceful grove", "annotations": []}],
}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A story."}]}
CALL = {
    "type": "function_call",
    "id": "fc_67ca09c6bedc8190a7abfec07b1a1332",
    "call_id": "call_unLAR8MvFNptuiZK6K6HCy5k",
    "name": "get_current_weather",
    "arguments": '{"location":"Boston, MA","unit":"celsius"}',
    "status": "completed",
}
RESPONSE = {
    "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "object": "response",
    "created_at": 1741476542,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "model": "gpt-4.1-2025-04-14",
    "output": [REASONING, MESSAGE],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 123,
    },
    "user": None,
    "metadata": {},
}


def test_a_response_is_asked_for_in_the_words_of_its_api() -> None:
    """Rows of the task chat are turned into its items."""
    asked = request("responses:model=gpt-4.1", {"input": "Tell me a story", "max_output_tokens": 9, "store": False})
    assert asked.path == "/v1/responses"
    expected = {"input": "Tell me a story", "max_output_tokens": 9, "model": "gpt-4.1", "store": False}
    assert body(asked) == expected
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert body(request("responses", {"messages": messages}))["input"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "https://a/b.png"},
            ],
        },
    ]
    text = {"format": {"type": "json_object"}}
    assert body(request("responses", {"input": "a", "text": text}))["text"] == text


def test_a_whole_response_is_read() -> None:
    """Text, thinking, calls and counts; unknown fields and items of the server's own tools are ignored."""
    asked = request("responses", {"text": "Tell me a story"})
    found = answer(asked, RESPONSE)
    assert (found.text, found.reasoning, found.finish_reason) == ("In a peaceful grove", "A story.", "stop")
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (36, 87)
    assert (found.usage.cached_tokens, found.usage.reasoning_tokens) == (0, 12)
    found = answer(asked, {**RESPONSE, "output": [{"type": "web_search_call", "id": "ws_1"}, CALL]})
    assert found.tool_calls == (ToolCall(CALL["name"], CALL["arguments"], CALL["call_id"]),)
    cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert answer(asked, cut).finish_reason == "length"


def events_of_a_response(item: dict[str, Any], *deltas: dict[str, Any], last: dict[str, Any] | None = None) -> str:
    """A stream as OpenAI's reference has it."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        *({"item_id": "i", "output_index": 0, "content_index": 0, **delta} for delta in deltas),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        last or {"type": "response.completed", "response": {**RESPONSE, "output": [item]}},
    ]
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)))


@pytest.mark.parametrize("repeats", [True, False], ids=["output repeated at the end", "deltas only"])
def test_a_streamed_response_is_read_by_its_event_names(repeats: bool) -> None:
    """Thinking and text are content; the repeats of what was said are not."""
    asked = request("responses:stream=true", {"text": "Tell me a story"})
    assert body(asked)["stream"] is True
    assert "stream_options" not in body(asked)
    deltas = [
        {"type": "response.reasoning_summary_text.delta", "delta": "A story."},
        {"type": "response.output_text.delta", "delta": "In a "},
        {"type": "response.output_text.delta", "delta": "peaceful grove"},
        {"type": "response.output_text.done", "text": "In a peaceful grove"},
    ]
    last = {"type": "response.completed", "response": {**RESPONSE, "output": [REASONING, MESSAGE] if repeats else []}}
    found, content = streamed(asked, events_of_a_response(MESSAGE, *deltas, last=last))
    assert (found.text, found.reasoning, found.usage.completion_tokens) == ("In a peaceful grove", "A story.", 87)
    assert content == [False] * 3 + [True] * 3 + [False] * 3


@pytest.mark.parametrize("repeats", [True, False], ids=["output repeated at the end", "deltas only"])
def test_a_function_call_of_a_stream_is_content_and_in_the_answer(repeats: bool) -> None:
    """Its name comes with the item, its arguments in deltas."""
    halves = [CALL["arguments"][:10], CALL["arguments"][10:]]
    deltas = [{"type": "response.function_call_arguments.delta", "delta": half} for half in halves]
    last = {"type": "response.completed", "response": {**RESPONSE, "output": [CALL] if repeats else []}}
    found, content = streamed(
        request("responses:stream=true", {"text": "a"}), events_of_a_response(CALL, *deltas, last=last)
    )
    assert found.tool_calls == (ToolCall(CALL["name"], CALL["arguments"], CALL["call_id"]),)
    assert content.count(True) == 2


ERROR = {"code": "rate_limit_exceeded", "message": "Request too large"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (sse({"type": "response.created", "response": {}}), "broke off after 1 events, without response.completed"),
        (sse({"type": "error", "code": "x", "message": "Foobar"}), "Foobar"),
        (sse({"type": "response.failed", "response": {"status": "failed", "error": ERROR}}), "Request too large"),
        (sse({"type": "response.completed", "response": {"status": "completed"}}), "output: is missing"),
        (sse({"type": "response.completed", "response": {"output": []}}), "status: is missing"),
    ],
)
def test_a_stream_that_is_no_response_is_named(text: str, said: str) -> None:
    """Errors have three forms."""
    with pytest.raises(BadResponse, match=said):
        streamed(request("responses:stream=true", {"text": "a"}), text)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": "queued", "output": []}, "status: is 'queued', expected completed or incomplete"),
        ({"output": "a"}, "output: is str, not a list"),
        ({"output": [{"type": "message"}]}, r"output\[0\].content: is missing"),
        ({"output": [{**MESSAGE, "content": [{"type": "output_text"}]}]}, "has a part that is no text"),
        ({"output": []}, "output: has no message"),
        ({"status": "failed", "error": ERROR}, "Request too large"),
    ],
)
def test_what_is_no_response_is_named(wrong: dict[str, Any], said: str) -> None:
    """Field and reason."""
    with pytest.raises(BadResponse, match=said):
        answer(request("responses", {"text": "a"}), {**RESPONSE, **wrong})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"input": []}, "input: must be a text, or a list of 1 to"),
        ({"input": ["a"]}, "input: must be a text, or a list of 1 to"),
        ({"input": "a", "background": True}, "background: its answer comes later"),
        ({"input": "a", "max_tokens": 5}, "max_tokens: this API has max_output_tokens"),
        ({"input": "a", "max_output_tokens": 0}, "max_output_tokens: must be a whole number"),
        ({"messages": [{"role": "tool", "content": "a", "tool_call_id": "c"}]}, "give them as `input`"),
    ],
)
def test_a_row_that_is_no_input_is_named(row: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ItemError, match=said):
        request("responses", row)


# Embeddings.


def test_vectors_in_base64_are_decoded_and_checked() -> None:
    """As many numbers as were asked for; float32, little-endian."""
    asked = request("embed:dimensions=3,encoding_format=base64", {"text": "a"})
    assert body(asked) == {"input": "a", "dimensions": 3, "encoding_format": "base64"}
    packed = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 0.25)).decode()
    whole = {"object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    found = request_answers(asked, {**whole, "data": [{"object": "embedding", "index": 0, "embedding": packed}]})
    assert found == ((0.5, -1.0, 0.25),)
    assert (found.oddities, found.usage.prompt_tokens) == (0, 1)
    as_numbers = request_answers(asked, {**whole, "data": [{"index": 0, "embedding": [0.5, -1.0, 0.25]}]})
    assert as_numbers.oddities == 1
    for wrong, said in [(packed[:-4], "no float32 numbers in base64"), ("AAAAAA==", "vectors of 1 numbers, where 3")]:
        with pytest.raises(BadResponse, match=said):
            answer(asked, {"data": [{"index": 0, "embedding": wrong}]})


def request_answers(asked: Request, value: Any) -> Any:
    return asked.task.answer(asked, json.dumps(value).encode())


# Chat.


def test_an_image_of_a_file_is_sent_as_a_data_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its content, not its ending; URLs are sent as they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixel.dat").write_bytes(PIXEL)
    local = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(PIXEL).decode()}}
    far = {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}}
    spec = "chat:image=photo"
    (message,) = body(request(spec, {"prompt": "What is it?", "photo": "pixel.dat"}))["messages"]
    assert message == {"role": "user", "content": [{"type": "text", "text": "What is it?"}, local]}
    both = {"prompt": "Compare.", "photo": ["https://example.com/cat.jpg", "pixel.dat"]}
    assert body(request(spec, both))["messages"][0]["content"][1:] == [far, local]
    assert body(request(spec, {"prompt": "a"}))["messages"] == [{"role": "user", "content": "a"}]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    first, last = body(request(spec, {"messages": messages, "photo": "https://example.com/cat.jpg", "seed": 1}))[
        "messages"
    ]
    assert first["content"] == [{"type": "text", "text": "a"}, far]
    assert last["content"] == "b"


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        ("none.png", "photo: 'none.png': No such file or directory"),
        ("a.txt", "photo: 'a.txt': is no image"),
        ("big.png", "photo: 'big.png': has more than 20971520 bytes"),
        ("data:image/png;base64," + "A" * (30 * 1024 * 1024), "photo: the data URL: has more than 20971520 bytes"),
        (["pixel.png", 5], r"photo\[1\]: is int, not a text"),
        (["pixel.png"] * 101, "photo: has 101 images, more than 100"),
    ],
)
def test_an_image_that_cannot_be_sent_is_a_bad_row(
    photo: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Field, file and reason."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    (tmp_path / "a.txt").write_text("hello")
    with (tmp_path / "big.png").open("wb") as file:
        file.write(PIXEL)
        file.truncate(20 * 1024 * 1024 + 1)
    with pytest.raises(ItemError, match=said):
        request("chat:image=photo", {"prompt": "a", "photo": photo})


@pytest.mark.parametrize("thinking", ["reasoning_content", "reasoning"])
def test_thinking_and_tool_calls_of_a_stream_are_content_and_in_the_answer(thinking: str) -> None:
    """As vLLM and DeepSeek, or OpenRouter, send thinking, and OpenAI calls of tools."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    deltas: list[tuple[dict[str, Any], bool]] = [
        ({"role": "assistant", "content": ""}, False),
        ({thinking: "The user "}, True),
        ({thinking: "wants the weather."}, True),
        ({"tool_calls": [call]}, True),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}, True),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]}, True),
    ]
    events = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta, _ in deltas]
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    usage = {**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 17, "total_tokens": 26}}
    asked = request("chat:stream=true", {"prompt": "Weather?", "tools": [{"type": "function"}]})
    found, content = streamed(asked, sse(*events, end, usage, "[DONE]"))
    assert content == [is_content for _, is_content in deltas] + [False] * 3
    assert found.tool_calls == (ToolCall("get_weather", '{"city":"Paris"}', "call_1"),)
    assert found.reasoning == "The user wants the weather."
    assert (found.finish_reason, found.usage.completion_tokens) == ("tool_calls", 17)
