"""Anthropic's messages API as its documentation describes it, by a small server that shares no code with ours.

Written from platform.claude.com: Messages, Streaming messages, Extended thinking, Prompt caching, Errors (2026-11).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from harness.client import Http, HttpTransport
from harness.client.answers import Usage
from harness.client.types import Item, Outcome, Response

KEY = "sk-ant-api03-0123456789"
CACHED = {"input_tokens": 50, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1_000}
"""Tokens after the last mark of the cache, those written to it, and those read from it: together the prompt."""


def refusal(status: int, kind: str, message: str, **headers: str) -> web.Response:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    return web.json_response(body, status=status, headers={"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy", **headers})


def message(content: list[dict[str, Any]], reason: str | None, **usage: Any) -> dict[str, Any]:
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-6",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


THOUGHT = {"type": "thinking", "thinking": "A greeting.", "signature": "EqQBCgIYAhIM"}
SAID = [{"type": "text", "text": "Hello"}, {"type": "text", "text": " there!"}]
TOOL = {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {}}
WHOLE: dict[str, dict[str, Any]] = {
    "plain": message(SAID[:1], "end_turn", input_tokens=12, output_tokens=6),
    "thinks": message(
        [THOUGHT, *SAID, TOOL],
        "max_tokens",
        **CACHED,
        output_tokens=90,
        output_tokens_details={"thinking_tokens": 80},
    ),
    "refuses": message([], "refusal", input_tokens=12, output_tokens=1),
}


def delta(index: int, **inner: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": inner}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


BEGIN = {"type": "message_start", "message": message([], None, **CACHED, output_tokens=1)}
PING = {"type": "ping"}
THINKING = [
    start(0, type="thinking", thinking="", signature=""),
    delta(0, type="thinking_delta", thinking="A gree"),
    PING,
    delta(0, type="thinking_delta", thinking="ting."),
    delta(0, type="signature_delta", signature="EqQBCgIYAhIM"),
    {"type": "content_block_stop", "index": 0},
]
TEXT = [
    start(1, type="text", text=""),
    delta(1, type="text_delta", text="Hello"),
    {"type": "a_type_of_next_year", "delta": {"novelty": 1}},
    delta(1, type="text_delta", text=" there!"),
    {"type": "content_block_stop", "index": 1},
]
TOOLS = [
    start(2, type="tool_use", id="toolu_01", name="get_weather", input={}),
    delta(2, type="input_json_delta", partial_json='{"location":'),
    {"type": "content_block_stop", "index": 2},
]


def end(**usage: Any) -> list[dict[str, Any]]:
    changed = {"stop_reason": "end_turn", "stop_sequence": None}
    return [{"type": "message_delta", "delta": changed, "usage": usage}, {"type": "message_stop"}]


STREAMS: dict[str, list[dict[str, Any]]] = {
    "plain": [BEGIN, PING, *TEXT, *end(output_tokens=15)],
    "thinks": [
        BEGIN,
        *THINKING,
        *TEXT,
        *TOOLS,
        # The counts of the prompt may come again.
        *end(**CACHED, output_tokens=90, output_tokens_details={"thinking_tokens": 80}),
    ],
    "only-thinks": [BEGIN, *THINKING, *end(output_tokens=15)],
    "overloads": [BEGIN, *TEXT[:2], {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}],
    "breaks": [BEGIN, *TEXT],
}


async def messages(request: web.Request) -> web.StreamResponse:
    if request.headers.get("x-api-key") != KEY:
        return refusal(401, "authentication_error", "x-api-key header is required")
    if request.headers.get("anthropic-version") != "2023-06-01":
        return refusal(400, "invalid_request_error", "anthropic-version: header is required")
    body = await request.json()
    known = {"model", "max_tokens", "messages", "system", "temperature", "stream"}
    if missing := {"model", "max_tokens", "messages"} - body.keys():
        return refusal(400, "invalid_request_error", f"{missing.pop()}: Field required")
    if extra := body.keys() - known:
        return refusal(400, "invalid_request_error", f"{extra.pop()}: Extra inputs are not permitted")
    wanted = body["messages"][0]["content"]
    if wanted == "overloaded":
        return refusal(529, "overloaded_error", "Overloaded")
    if wanted == "limited":
        return refusal(429, "rate_limit_error", "This request would exceed your rate limit", **{"retry-after": "7"})
    return await streamed(request, STREAMS[wanted]) if body.get("stream") else web.json_response(WHOLE[wanted])


async def streamed(request: web.Request, events: list[dict[str, Any]]) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await answer.prepare(request)
    for event in events:
        await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await asyncio.sleep(0.002)
    return answer


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/messages", messages)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def asked(url: str, task: str, prompt: str, key: str = KEY, **row: Any) -> Response:
    api = Http(task)
    async with HttpTransport(url, headers={"x-api-key": key}) as send:
        return await send(api.request([Item(0, api.parse({"prompt": prompt, **row}), api)]))


PROMPT = sum(CACHED.values())


@pytest.mark.parametrize(
    ("prompt", "text", "usage"),
    [
        ("plain", "Hello", Usage(12, 6)),
        # Blocks of text are joined, and others left out; the prompt has the cached tokens in it.
        ("thinks", "Hello there!", Usage(PROMPT, 90, 1_000, 80)),
    ],
)
async def test_a_whole_answer(url: str, prompt: str, text: str, usage: Usage) -> None:
    row = {"system": "Be brief.", "temperature": "0.5", "max_tokens": "200"}
    response = await asked(url, "anthropic", prompt, **row)
    assert response.outcome is Outcome.ok, response.error
    assert (response.answers[0].value, response.answers[0].usage) == (text, usage)


@pytest.mark.parametrize(
    ("prompt", "text", "reasoning", "usage", "pieces"),
    [
        ("plain", "Hello there!", None, Usage(PROMPT, 15, 1_000), 2),
        # Thinking counts for the time to the first token, and is no part of the text; signatures are no pieces.
        ("thinks", "Hello there!", "A greeting.", Usage(PROMPT, 90, 1_000, 80), 4),
        ("only-thinks", "", "A greeting.", Usage(PROMPT, 15, 1_000), 2),
    ],
)
async def test_a_stream(url: str, prompt: str, text: str, reasoning: str | None, usage: Usage, pieces: int) -> None:
    response = await asked(url, "anthropic-stream", prompt)
    assert response.outcome is Outcome.ok, response.error
    answer = response.answers[0]
    assert (answer.text, answer.reasoning, answer.usage) == (text, reasoning, usage)
    assert len(response.chunks) == pieces


@pytest.mark.parametrize(
    ("task", "prompt", "key", "outcome", "said"),
    [
        ("anthropic", "plain", "wrong", Outcome.client_error, "HTTP 401: .*authentication_error"),
        ("anthropic-stream", "overloaded", KEY, Outcome.rejected, "HTTP 529: .*Overloaded"),
        ("anthropic-stream", "limited", KEY, Outcome.rejected, "HTTP 429: .*rate_limit_error"),
        ("anthropic", "refuses", KEY, Outcome.bad_response, "/content: no element has a text"),
        ("anthropic-stream", "overloads", KEY, Outcome.bad_response, "an error inside the stream: .*Overloaded"),
        ("anthropic-stream", "breaks", KEY, Outcome.bad_response, "the stream broke off after 2 pieces"),
    ],
)
async def test_refusals_and_streams_that_break(
    url: str, task: str, prompt: str, key: str, outcome: Outcome, said: str
) -> None:
    response = await asked(url, task, prompt, key)
    assert response.outcome is outcome
    assert response.error is not None
    assert re.search(said, response.error), response.error
    if "limited" in prompt:
        assert response.retry_after_s == 7
