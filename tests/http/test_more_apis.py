"""Every form of the tasks beyond chat, over HTTP against the mock: request, answer, and the instants of streams."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.tasks.http import Http
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.lean import LeanTransport
from harness.client.types import Item, Response, Send, Task
from tests.http.foreign import PIXEL
from tests.server_helpers import null_app, served

DOCUMENTS = ["the cat sleeps", "a small cat", "cheese is made of milk"]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The mock."""
    async with served(null_app()) as found:
        yield found


def transport(kind: str, url: str) -> AbstractAsyncContextManager[Send]:
    """One of the transports."""
    kinds = {"aiohttp": HttpTransport, "lean": LeanTransport, "blocking": BlockingTransport}
    return kinds[kind](url, timeout_s=20)


async def sent(kind: str, url: str, task: Task, *rows: dict[str, Any]) -> Response:
    items = [Item(number, task.parse(row), task) for number, row in enumerate(rows)]
    async with transport(kind, url) as send:
        response = await send(task.request(items))
    assert response.outcome.name == "ok", response.error
    return response


@pytest.mark.parametrize("kind", ["aiohttp", "lean", "blocking"])
async def test_the_forms_of_rerank_and_classification(kind: str, url: str) -> None:
    """Each by the name of its file."""
    row = {"query": "a small cat", "texts": DOCUMENTS, "documents": DOCUMENTS, "text": "a small cat"}
    for name in ("tei-rerank", "rerank", "cohere-rerank"):
        (ranked,) = (await sent(kind, url, Http(name), row)).answers
        assert [entry["index"] for entry in ranked] == [1, 0, 2]
        assert all(0 <= entry["score"] <= 1 for entry in ranked)
    (best,) = (await sent(kind, url, Http("cohere-rerank"), {**row, "top_n": 1})).answers
    assert [entry["index"] for entry in best] == [1]
    classes = (await sent(kind, url, Http("tei-predict"), row, {"text": "a dog"})).answers
    labels = (await sent(kind, url, Http("classify"), row, {"text": "a dog"})).answers
    assert [entry[0]["label"] for entry in classes] == [entry["label"] for entry in labels]
    assert math.fsum(labels[0]["probs"]) == pytest.approx(1)
    vectors = (await sent(kind, url, Http("tei-embed"), row, {"text": "a dog"})).answers
    assert [len(vector) for vector in vectors] == [64, 64]


@pytest.mark.parametrize("kind", ["aiohttp", "lean", "blocking"])
async def test_vectors_in_base64_are_those_of_numbers(kind: str, url: str) -> None:
    """To float32's precision, also shortened."""
    plain = plugins.make("task", "embed:dimensions=16")
    packed = plugins.make("task", "embed:dimensions=16,encoding_format=base64")
    (numbers,), (decoded,) = [
        (await sent(kind, url, task, {"text": "a small cat"})).answers for task in (plain, packed)
    ]
    assert len(numbers) == len(decoded) == 16
    assert decoded == pytest.approx(numbers, abs=1e-6)


@pytest.mark.parametrize("kind", ["aiohttp", "lean", "blocking"])
@pytest.mark.parametrize("name", ["complete", "responses"])
async def test_completions_and_responses_whole_and_streamed(name: str, kind: str, url: str) -> None:
    """The same text and counts; every token of the stream has an instant."""
    row = {"text": "tell me a story", "temperature": 0}
    (whole,) = (await sent(kind, url, plugins.make("task", f"{name}:max_tokens=6"), row)).answers
    response = await sent(kind, url, plugins.make("task", f"{name}:max_tokens=6,stream=true"), row)
    (pieces,) = response.answers
    assert pieces == whole
    assert whole.finish_reason == "length"
    assert whole.usage.completion_tokens == len(response.chunks) == 6
    assert response.first_byte == response.chunks[0]
    assert response.oddities == 0


async def test_a_system_message_is_an_item_of_a_response(url: str) -> None:
    """Rows of the task chat are understood."""
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    given, text = plugins.make("task", "responses"), plugins.make("task", "chat")
    (response,) = (await sent("aiohttp", url, given, {"messages": messages})).answers
    (chat,) = (await sent("aiohttp", url, text, {"messages": messages})).answers
    assert response.text == chat.text
    assert response.usage.prompt_tokens == chat.usage.prompt_tokens


async def test_images_of_files_and_addresses_reach_the_model(url: str, tmp_path: Path) -> None:
    """The answer depends on them, and the server counts their tokens."""
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    task = plugins.make("task", "chat:image=photo,max_tokens=4")
    rows = [
        {"prompt": "What is it?", "photo": photo} for photo in (None, str(tmp_path / "pixel.png"), "https://a/b.png")
    ]
    answers = [(await sent("aiohttp", url, task, row)).answers[0] for row in rows]
    assert len({answer.text for answer in answers}) == 3
    counts = [answer.usage.prompt_tokens for answer in answers]
    assert counts == [counts[0], counts[0] + 85, counts[0] + 85]


@pytest.mark.parametrize("kind", ["aiohttp", "lean", "blocking"])
async def test_thinking_and_calls_of_tools_are_output(kind: str, url: str) -> None:
    """Each of their tokens is a content event, and both are in the answer."""
    tools = [{"type": "function", "function": {"name": "get_weather"}}]
    row = {"prompt": "Weather?", "tools": tools, "tool_choice": "required", "reasoning_effort": "low"}
    (whole,) = (await sent(kind, url, plugins.make("task", "chat:max_tokens=8"), row)).answers
    response = await sent(kind, url, plugins.make("task", "chat:max_tokens=8,stream=true"), row)
    (pieces,) = response.answers
    assert len(response.chunks) == whole.usage.completion_tokens == pieces.usage.completion_tokens == 8
    assert (pieces.text, pieces.finish_reason, pieces.reasoning.split()) == ("", "tool_calls", whole.reasoning.split())
    assert len(pieces.reasoning.split()) == whole.usage.reasoning_tokens == pieces.usage.reasoning_tokens == 4
    assert [(call.name, call.arguments) for call in pieces.tool_calls] == [
        (call.name, call.arguments) for call in whole.tool_calls
    ]
