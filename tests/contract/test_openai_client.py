"""The official client against both servers: what it sends is understood, what it gets it understands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mock_server.app import create
from mock_server.profile import Limits, Profile
from tests.contract.conftest import Serve
from tests.contract.servers import Host, Server
from tests.lazily import Lazy

openai = Lazy("openai")

CHAT: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}]


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    settings = {"api_key": "any", "max_retries": 0, "timeout": 60, **options}
    return openai.OpenAI(base_url=f"{server.url}/v1", **settings)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    (model,) = client.models.list().data
    assert model.object == "model"
    return model.id


def test_chat(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=CHAT, max_tokens=6, temperature=0, seed=1)
    (choice,) = answer.choices
    assert answer.model == model
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("length", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 1 <= answer.usage.completion_tokens <= 6
    again = client.chat.completions.create(model=model, messages=CHAT, max_completion_tokens=6, temperature=0, seed=1)
    assert again.choices[0].message.content == choice.message.content
    assert again.id != answer.id


def test_a_stream_of_chat_is_the_same_text_and_ends_with_the_usage_if_asked(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=CHAT, max_tokens=6)
    with client.chat.completions.create(
        model=model, messages=CHAT, max_tokens=6, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    *parts, last = chunks
    assert (last.choices, last.usage) == ([], whole.usage)
    assert all(part.usage is None for part in parts)
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert text == whole.choices[0].message.content
    with client.chat.completions.create(model=model, messages=CHAT, max_tokens=3, stream=True) as stream:
        assert all(chunk.choices and chunk.usage is None for chunk in stream)


def test_completions_of_one_prompt_and_of_several(client: openai.OpenAI, model: str) -> None:
    prompts = ["once upon a time", "the weather is", "two and two"]
    single = [client.completions.create(model=model, prompt=prompt, max_tokens=5) for prompt in prompts]
    several = client.completions.create(model=model, prompt=prompts, max_tokens=5)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert [choice.text for choice in several.choices] == [answer.choices[0].text for answer in single]
    assert several.usage is not None
    assert several.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in single if answer.usage)
    texts, ends = ["", "", ""], ["", "", ""]
    with client.completions.create(
        model=model, prompt=prompts, max_tokens=5, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
                ends[choice.index] += choice.finish_reason or ""
            usage = chunk.usage
    assert texts == [choice.text for choice in several.choices]
    assert ends == [choice.finish_reason for choice in several.choices]
    assert usage == several.usage


def test_embeddings_come_as_the_client_asks_for_them_and_are_the_same(client: openai.OpenAI, model: str) -> None:
    texts = ["a small cat", "a dog"]
    packed = client.embeddings.create(model=model, input=texts)  # the client asks for base64 by itself
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1]
    for left, right in zip(packed.data, plain.data, strict=True):
        assert left.embedding == pytest.approx(right.embedding, rel=1e-6)
        assert sum(value * value for value in right.embedding) == pytest.approx(1.0, rel=1e-3)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0
    short = client.embeddings.create(model=model, input="a small cat", dimensions=8)
    assert len(short.data[0].embedding) == 8


def test_mistakes_are_the_exceptions_that_the_client_has_for_them(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=CHAT, max_tokens=0)
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "invalid_value",
        "max_tokens",
        "invalid_request_error",
    )
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, prompt="word " * 3000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.images.generate(prompt="x")
    answer = client.models.with_raw_response.list()
    assert answer.headers["server-timing"]


def test_a_wrong_key_is_an_authentication_error(serve: Serve) -> None:
    with client_of(serve(api_key="secret")) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    with client_of(serve(api_key="secret"), api_key="secret") as client:
        assert client.models.list().data


def test_the_client_comes_back_when_a_full_server_said(crowd: Any) -> None:
    with crowd(queue_max=1, name="client") as many:
        many.server.app.lane.rate.add(1, 0.2)  # as if one had taken so long
        first = many.send("/annotate", {"text": "x", "max_tokens": 2})
        many.held(1)
        second = many.send("/annotate", {"text": "x", "max_tokens": 2})
        many.queued(1)
        with client_of(many.server) as client, pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="m", messages=CHAT)
        assert (caught.value.status_code, caught.value.code) == (503, "server_full")
        hint_s = int(caught.value.response.headers["retry-after-ms"]) / 1000
        assert hint_s == 0.2
        with client_of(many.server, max_retries=5) as client:
            tries: list[float] = []
            client._client.event_hooks["request"].append(lambda request: tries.append(time.monotonic()))
            client._client.event_hooks["response"].append(lambda response: many.open_gate())
            answer = client.chat.completions.create(model="m", messages=CHAT, max_tokens=2)
        assert answer.choices
        assert len(tries) >= 2
        assert tries[1] - tries[0] >= hint_s
        assert [first.result(60).status, second.result(60).status] == [200, 200]


def test_a_stream_that_breaks_is_an_error_and_no_end(crowd: Any, caplog: pytest.LogCaptureFixture) -> None:
    with crowd(name="broken-stream") as many:
        many.server.app.engine.failing = True
        with client_of(many.server) as client:
            stream = client.chat.completions.create(model="m", messages=CHAT, stream=True)
            text: list[str | None] = []
            with pytest.raises(openai.APIError, match="generation failed"):
                text.extend(chunk.choices[0].delta.content for chunk in stream)
            stream.close()
        assert text == ["two ", "words "]


async def test_the_asynchronous_client_streams_side_by_side(server: Server) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:

        async def one(number: int) -> str:
            messages: Any = [{"role": "user", "content": f"tell me {number}"}]
            stream = await client.chat.completions.create(model="m", messages=messages, max_tokens=5, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        alone = [await one(number) for number in range(3)]
        together = await asyncio.gather(*[one(number % 3) for number in range(12)])
    assert together == alone * 4


def test_a_caller_over_its_own_limit_is_a_rate_limit_error_and_comes_back_in_time(host: Host) -> None:
    limited = Profile(limits=Limits(rate_per_s=4.0, burst=1))
    server = host.serve("mock", "limited", lambda: create(limited))
    with client_of(server) as client:
        client.embeddings.create(model="m", input="a")
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="m", input="a")
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(caught.value.response.headers["retry-after-ms"]) <= 250
    assert caught.value.response.headers["retry-after"] == "1"
    with client_of(server, max_retries=5) as client:
        answers = [client.embeddings.with_raw_response.create(model="m", input="a") for _ in range(3)]
    assert sum(answer.retries_taken for answer in answers) >= 2
