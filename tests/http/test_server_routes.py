"""The HTTP face on the null mock: every route, its shape, and what it refuses."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from model_server.api import ROUTES
from tests.server_helpers import PAIR, null_app, serving


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(null_app()) as session:
        yield session


async def post(client: aiohttp.ClientSession, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def events(client: aiohttp.ClientSession, path: str, body: Any) -> list[Any]:
    async with client.post(path, json={**body, "stream": True}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = (await response.read()).decode()
    assert text.endswith("data: [DONE]\n\n")
    lines = text.removesuffix("data: [DONE]\n\n").strip().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_similarity_of_a_pair(client: aiohttp.ClientSession) -> None:
    assert await post(client, "/similarity", PAIR) == (200, {"similarity_score": 0.25})
    assert await post(client, "/similarity", {"text1": "same", "text2": "same"}) == (200, {"similarity_score": 1.0})


async def test_similarity_in_tei_shape_is_recognized_by_its_body(client: aiohttp.ClientSession) -> None:
    body = {"inputs": {"source_sentence": "a cat", "sentences": ["a cat", "a dog", "no"]}}
    assert await post(client, "/similarity", body) == (200, [1.0, 0.5, 0.0])


async def test_fill_mask_gives_top_k_candidates(client: aiohttp.ClientSession) -> None:
    status, answer = await post(client, "/fill-mask", {"text": "Paris is the [MASK] of France."})
    assert status == 200
    assert len(answer) == 5
    assert set(answer[0]) == {"score", "token", "token_str", "sequence"}
    assert answer[0]["sequence"] == f"Paris is the {answer[0]['token_str']} of France."
    status, answer = await post(client, "/fill-mask", {"inputs": ["a [MASK]", "[MASK] [MASK]"], "top_k": 2})
    assert [len(answer[0]), len(answer[1]), len(answer[1][0])] == [2, 2, 2]


async def test_zero_shot_ranks_any_labels(client: aiohttp.ClientSession) -> None:
    body = {"text": "the sport season begins", "labels": ["music", "sport", "food"]}
    status, answer = await post(client, "/zero-shot", body)
    assert (status, answer["sequence"], answer["labels"][0]) == (200, body["text"], "sport")
    assert sum(answer["scores"]) == pytest.approx(1.0)
    _, multi = await post(client, "/zero-shot", {**body, "multi_label": True, "hypothesis_template": "About {}"})
    assert all(0 <= score <= 1 for score in multi["scores"])
    assert multi["labels"][0] == "sport"


async def test_annotate_plain_and_streamed_give_the_same_text(client: aiohttp.ClientSession) -> None:
    body = {"text": "Say something", "max_tokens": 7}
    status, answer = await post(client, "/annotate", body)
    assert (status, answer["tokens"], answer["finish_reason"]) == (200, 7, "length")
    *pieces, end = await events(client, "/annotate", body)
    assert "".join(piece["text"] for piece in pieces) == answer["text"]
    assert end == {"done": True, "tokens": 7, "finish_reason": "length"}


async def test_chat_plain_and_streamed_with_usage(client: aiohttp.ClientSession) -> None:
    parts = [{"type": "text", "text": "hello "}, {"type": "text", "text": "you"}]
    body = {"model": "m", "messages": [{"role": "system", "content": "be"}, {"role": "user", "content": parts}]}
    body["max_completion_tokens"] = 4
    status, answer = await post(client, "/v1/chat/completions", body)
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", "m")
    assert answer["usage"]["completion_tokens"] == 4
    chunks = await events(client, "/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    assert chunks[-1]["usage"] == answer["usage"]
    assert chunks[-1]["choices"] == []
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    assert text == answer["choices"][0]["message"]["content"]


async def test_completions_plain_and_streamed(client: aiohttp.ClientSession) -> None:
    status, answer = await post(client, "/v1/completions", {"prompt": ["once"]})
    assert (status, answer["usage"]["completion_tokens"]) == (200, 16)
    chunks = await events(client, "/v1/completions", {"prompt": "once"})
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer["choices"][0]["text"]
    assert "usage" not in chunks[0]


async def test_embeddings_as_floats_and_as_base64(client: aiohttp.ClientSession) -> None:
    _, floats = await post(client, "/v1/embeddings", {"input": ["a cat", "a dog"], "dimensions": 8})
    _, packed = await post(client, "/v1/embeddings", {"input": "a cat", "encoding_format": "base64", "dimensions": 8})
    assert [entry["index"] for entry in floats["data"]] == [0, 1]
    vector = array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(vector) == pytest.approx(floats["data"][0]["embedding"])


async def test_tei_embed_rerank_predict(client: aiohttp.ClientSession) -> None:
    _, vectors = await post(client, "/embed", {"inputs": ["a", "b"]})
    assert [len(vector) for vector in vectors] == [64, 64]
    _, ranked = await post(client, "/rerank", {"query": "red fox", "texts": ["blue", "red fox"], "return_text": True})
    assert [entry["index"] for entry in ranked] == [1, 0]
    assert ranked[0]["text"] == "red fox"
    _, raw = await post(client, "/rerank", {"query": "red fox", "texts": ["red fox"], "raw_scores": True})
    assert raw == [{"index": 0, "score": 4.0}]
    _, single = await post(client, "/predict", {"inputs": "fine"})
    _, pair = await post(client, "/predict", {"inputs": ["fine", "really"]})
    _, batch = await post(client, "/predict", {"inputs": [["fine"], ["fine", "really"]]})
    assert batch == [single, pair]


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "GET" and route.family != "jobs"])
async def test_every_get_route_answers(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path.replace("{model}", "simulated")) as response:
        assert response.status == 200
        assert "server-timing" in response.headers
        assert await response.read()


async def test_metrics_count_with_the_fields_own_names(client: aiohttp.ClientSession) -> None:
    await post(client, "/similarity", PAIR)
    await post(client, "/annotate", {"text": "x", "max_tokens": 3})
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    for line in (
        "te_request_success 2",
        'vllm:generation_tokens_total{model_name="simulated",engine="0"} 3',
        'vllm:time_to_first_token_seconds_count{model_name="simulated",engine="0"} 1',
        'paceline_exchanges_total{route="/similarity",outcome="finished"} 1',
        "te_request_duration_count 2",
    ):
        assert line in lines


async def test_a_wrong_method_on_a_work_route_is_counted_and_answered_with_the_allowed_ones(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/similarity") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
    async with client.get("/debug/counts") as response:
        counts = await response.json()
    assert counts["routes"]["/similarity"]["failed"] == 1


async def test_the_request_id_comes_back_and_a_bad_deadline_is_refused(client: aiohttp.ClientSession) -> None:
    async with client.post("/similarity", json=PAIR, headers={"X-Request-Id": "id-7"}) as response:
        assert response.headers["x-request-id"] == "id-7"
    for wrong in ("soon", "-5", "nan"):
        status, answer = await post(client, "/similarity", PAIR, **{"X-Request-Timeout-Ms": wrong})
        assert (status, answer["error"]["param"]) == (400, "X-Request-Timeout-Ms")


async def test_with_an_api_key_work_needs_it_and_health_does_not() -> None:
    async with serving(null_app(api_key="secret")) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            status, answer = await post(client, "/similarity", PAIR, **headers)
            assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert (await post(client, "/similarity", PAIR, Authorization="Bearer secret"))[0] == 200
        async with client.get("/health") as response:
            assert response.status == 200
        async with client.post("/debug/reset") as response:
            assert response.status == 401


def test_settings_of_the_face_are_checked_by_name() -> None:
    with pytest.raises(ValueError, match="items_max = 0: must be an integer >= 1"):
        null_app(items_max=0)
    with pytest.raises(ValueError, match="api_key"):
        null_app(api_key="")
    with pytest.raises(ValueError, match="body_timeout_s = 0: must be > 0"):
        null_app(body_timeout_s=0)
