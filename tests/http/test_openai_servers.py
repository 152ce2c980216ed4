"""Streams of OpenAI's API and of servers that speak it, as their documentation and sources show them.

The server shares no code with ours. What differs between them stands beside the answer: fields that pad an event,
filters, timings, thinking, and where the counts of tokens come.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from harness import plugins
from harness.client import Http, HttpTransport
from harness.client.answers import Usage
from harness.client.transport.lean.transport import LeanTransport
from harness.client.types import Item, Outcome, Response, Task

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_000_000, "model": "m"}


def chunk(reason: str | None = None, *, usage: Any = None, beside: dict[str, Any] | None = None, **delta: Any) -> Any:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**HEAD, "choices": [choice], "usage": usage, **(beside or {})}


def counts(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **details,
    }


def last(usage: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """The event with the counts, which has no choice."""
    return {**HEAD, "choices": [], "usage": usage, **beside}


OPENAI = counts(
    9,
    12,
    prompt_tokens_details={"cached_tokens": 4, "audio_tokens": 0},
    completion_tokens_details={"reasoning_tokens": 10, "audio_tokens": 0, "accepted_prediction_tokens": 0},
)
PAD = {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb", "obfuscation": "aB3dE"}
FILTERS = {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
CHATS: dict[str, list[Any]] = {
    "openai": [
        chunk(role="assistant", content="", refusal=None, beside=PAD),
        chunk(content="Hel", beside=PAD),
        chunk(content="lo", beside=PAD),
        chunk("stop", beside=PAD),
        last(OPENAI, **PAD),
    ],
    # Azure: filters first, before anything was generated.
    "azure": [
        {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [FILTERS]},
        chunk(role="assistant", content=""),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk("stop"),
        last(OPENAI),
    ],
    # vLLM: thinking, counts with every event, and measurements of its own with the last one.
    "vllm": [
        chunk(role="assistant", content="", usage=counts(9, 0)),
        chunk(reasoning="Hm", reasoning_content="Hm", usage=counts(9, 1)),
        chunk(content="Hel", usage=counts(9, 2)),
        chunk(content="lo", usage=counts(9, 3)),
        chunk("stop", content="", usage=counts(9, 4), beside={"stop_reason": None}),
        last(counts(9, 4), metrics={"time_to_first_token_ms": 12.5}, kv_transfer_params=None),
    ],
    "vllm-null-choices": [
        chunk(role="assistant", content=""),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk("length"),
        {**HEAD, "choices": None, "usage": counts(9, 2), "metrics": {"mean_itl_ms": 3.0}},
    ],
    # llama.cpp: timings beside the counts.
    "llama.cpp": [
        chunk(role="assistant", content=None),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk("stop"),
        last(counts(9, 2), timings={"prompt_n": 9, "predicted_per_second": 80.1}),
    ],
    "error": [chunk(role="assistant", content=""), chunk(content="Hel"), {"error": {"message": "gone", "code": 500}}],
    "cut": [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo")],
}
READ = {
    "openai": (Usage(9, 12, 4, 10), 2),
    "azure": (Usage(9, 12, 4, 10), 2),
    "vllm": (Usage(9, 4), 3),
    "vllm-null-choices": (Usage(9, 2), 2),
    "llama.cpp": (Usage(9, 2), 2),
}


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "error": None, "output": [], **more}


PART = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
USED = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 21,
}


def message(*content: Any, status: str) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": list(content)}


BEGUN = [
    {"type": "response.created", "response": response("in_progress")},
    {"type": "response.in_progress", "response": response("in_progress")},
    {"type": "response.output_item.added", "output_index": 0, "item": message(status="in_progress")},
    {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {**PART, "text": ""}},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel", "logprobs": [], "obfuscation": "x1"},
]
RESPONSES: dict[str, list[dict[str, Any]]] = {
    "openai": [
        *BEGUN,
        {"type": "response.output_text.delta", "output_index": 0, "delta": "lo", "logprobs": [], "obfuscation": "y"},
        {"type": "response.output_text.done", "output_index": 0, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": PART},
        {"type": "response.output_item.done", "output_index": 0, "item": message(PART, status="completed")},
        {
            "type": "response.completed",
            "response": response("completed", output=[message(PART, status="completed")], usage=USED),
        },
    ],
    "error": [*BEGUN, {"type": "error", "code": "server_error", "message": "gone", "param": None}],
    "failed": [
        *BEGUN,
        {
            "type": "response.failed",
            "response": response("failed") | {"error": {"code": "server_error", "message": "gone"}},
        },
    ],
}


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if body.get("stream_options") != {"include_usage": True} or not body["stream"]:
        return web.json_response({"error": {"message": "no counts were asked for"}}, status=400)
    which = body["messages"][-1]["content"]
    ends = b"" if which in ("error", "cut") else b"data: [DONE]\n\n"
    return await streamed(request, [b"data: %s\n\n" % json.dumps(one).encode() for one in CHATS[which]] + [ends])


async def responses(request: web.Request) -> web.StreamResponse:
    events = RESPONSES[(await request.json())["input"]]
    named = request.query.get("named") != "no"
    pieces = []
    for number, event in enumerate(events):
        data = json.dumps({**event, "sequence_number": number})
        pieces.append(f"{'event: ' + event['type'] + chr(10) if named else ''}data: {data}\n\n".encode())
    return await streamed(request, pieces)


async def tgi(request: web.Request) -> web.StreamResponse:
    """Without a blank behind `data:`, and with details only where they are asked for."""
    asked = (await request.json())["parameters"]
    details = {"finish_reason": "length", "generated_tokens": 2, "input_length": 9, "seed": None}
    events = [
        {"index": 1, "token": {"id": 1, "text": "Hel", "logprob": -0.1, "special": False}, "generated_text": None},
        {
            "index": 2,
            "token": {"id": 2, "text": "lo", "logprob": -0.1, "special": False},
            "generated_text": "Hello",
            "details": details if asked.get("details") else None,
        },
    ]
    return await streamed(request, [b"data:%s\n\n" % json.dumps(one).encode() for one in events])


async def streamed(request: web.Request, pieces: list[bytes]) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for piece in filter(None, pieces):
        await answer.write(piece)
        await asyncio.sleep(0.002)
    return answer


async def embeddings(request: web.Request) -> web.Response:
    body = await request.json()
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    rows = [{"object": "embedding", "index": n, "embedding": [0.5, -0.5]} for n in range(len(texts))]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return web.json_response({"object": "list", "data": rows[::-1], "model": "m", "usage": usage})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/responses", responses)
    app.router.add_post("/v1/embeddings", embeddings)
    app.router.add_post("/generate_stream", tgi)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def asked(url: str, task: Task, *texts: str, transport: Any = HttpTransport) -> Response:
    items = [Item(n, task.parse({"text": text, "prompt": text}), task) for n, text in enumerate(texts)]
    async with transport(url) as send:
        found: Response = await send(task.request(items))
    return found


def built(spec: str) -> Task:
    task: Task = plugins.make("task", spec)
    return task


@pytest.mark.parametrize("transport", [HttpTransport, LeanTransport])
@pytest.mark.parametrize("server", READ)
async def test_a_chat_of_each_server(url: str, server: str, transport: Any) -> None:
    """Only events with a piece of the answer are content."""
    found = await asked(url, built("chat:stream=true"), server, transport=transport)
    assert found.outcome is Outcome.ok, found.error
    usage, pieces = READ[server]
    assert (found.answers[0].text, found.answers[0].usage) == ("Hello", usage)
    assert len(found.chunks) == pieces
    assert found.answers[0].reasoning == ("Hm" if server == "vllm" else None)


@pytest.mark.parametrize(("server", "said"), [("error", "gone"), ("cut", "broke off")])
async def test_a_chat_that_breaks(url: str, server: str, said: str) -> None:
    found = await asked(url, built("chat:stream=true"), server)
    assert found.outcome is Outcome.bad_response
    assert said in (found.error or "")


async def test_a_response(url: str) -> None:
    found = await asked(url, built("responses:stream=true"), "openai")
    assert found.outcome is Outcome.ok, found.error
    assert (found.answers[0].text, found.answers[0].usage) == ("Hello", Usage(9, 12, 4, 10))
    assert len(found.chunks) == 2


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("server", ["error", "failed"])
async def test_a_response_that_fails(url: str, server: str, named: bool) -> None:
    """With and without names of events, which some servers leave out."""
    task = built("responses:stream=true")
    request = task.request([Item(0, task.parse({"text": server}), task)])
    async with HttpTransport(url) as send:
        if not named:
            request = msgspec.structs.replace(request, path=f"{request.path}?named=no")
        found = await send(request)
    assert found.outcome is Outcome.bad_response
    assert "gone" in (found.error or "")


async def test_the_stream_of_text_generation_inference(url: str) -> None:
    found = await asked(url, Http("tgi-stream"), "hello")
    assert found.outcome is Outcome.ok, found.error
    assert (found.answers[0].text, found.answers[0].usage) == ("Hello", Usage(9, 2))
    assert len(found.chunks) == 2


async def test_vectors_out_of_order(url: str) -> None:
    found = await asked(url, built("embed"), "a", "b")
    assert found.outcome is Outcome.ok, found.error
    assert found.answers == ((0.5, -0.5), (0.5, -0.5))
