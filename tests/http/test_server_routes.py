"""The HTTP face on the null mock: every route, its shape, and what it refuses."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
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


async def test_similarity_in_tei_shape_is_told_apart_by_its_body(client: aiohttp.ClientSession) -> None:
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


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "GET"])
async def test_every_get_route_answers(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as response:
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


async def test_the_openapi_document_names_every_route_and_its_references_resolve(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/openapi.json") as response:
        document = await response.json()
    for route in ROUTES:
        assert route.method.lower() in document["paths"][route.path]
    assert "/debug/reset" in document["paths"]
    names = {part.rsplit("/", 1)[-1] for part in _references(document)}
    assert names <= set(document["components"]["schemas"])
    body = document["paths"]["/similarity"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert [form["$ref"].rsplit("/", 1)[1] for form in body["anyOf"]] == ["Pair", "TeiSimilarity"]


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {value for key, value in node.items() if key == "$ref"}.union(*map(_references, node.values()))
    return set[str]().union(*map(_references, node)) if isinstance(node, list) else set()


DEEP = b'{"unknown":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/similarity", b"", 400, "invalid_json", None),
        ("/similarity", b"{", 400, "invalid_json", None),
        ("/similarity", b'{"text1": "\xff"}', 400, "invalid_json", None),
        ("/similarity", DEEP, 400, "invalid_json", None),
        ("/similarity", b"[]", 400, "invalid_value", None),
        ("/similarity", b'{"text1": 5, "text2": ""}', 400, "invalid_value", "text1"),
        ("/similarity", b'{"text2": ""}', 400, "missing_field", "text1"),
        ("/similarity", b'{"text1": ""}', 400, "missing_field", "text2"),
        ("/similarity", {"text1": "a" * 2001, "text2": ""}, 400, "text_too_long", "text1"),
        ("/similarity", {"text1": "w " * 900, "text2": "w " * 900}, 400, "context_length_exceeded", "input"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "empty", "inputs.sentences"),
        ("/similarity", {"inputs": {"source_sentence": "a"}}, 422, "missing_field", "inputs.sentences"),
        ("/fill-mask", {"text": "no mask"}, 400, "mask_missing", "text"),
        ("/fill-mask", {"text": "a [mask]"}, 400, "mask_misspelled", "text"),
        ("/fill-mask", {"text": "a <mask>"}, 400, "mask_misspelled", "text"),
        ("/fill-mask", {}, 400, "missing_field", "text"),
        ("/fill-mask", {"text": []}, 400, "empty", "text"),
        ("/fill-mask", {"text": "[MASK]", "top_k": 0}, 400, "invalid_value", "top_k"),
        ("/zero-shot", {"text": "a", "labels": []}, 400, "empty", "labels"),
        ("/zero-shot", {"text": "a", "labels": "b"}, 400, "invalid_value", "labels"),
        ("/zero-shot", {"text": "a", "labels": ["b", " "]}, 400, "empty", "labels[1]"),
        ("/zero-shot", {"text": "a", "labels": ["b"] * 11}, 400, "too_many_items", "labels"),
        (
            "/zero-shot",
            {"text": "a", "labels": ["b"], "hypothesis_template": "x"},
            400,
            "invalid_template",
            "hypothesis_template",
        ),
        ("/annotate", {"text": "", "max_tokens": 1}, 400, "empty", "text"),
        ("/annotate", {"text": "a", "max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ("/annotate", {"text": "a", "max_tokens": 51}, 400, "invalid_value", "max_tokens"),
        ("/annotate", {"text": "a", "max_tokens": "1"}, 400, "invalid_value", "max_tokens"),
        ("/v1/chat/completions", {"messages": []}, 400, "empty", "messages"),
        ("/v1/chat/completions", {"messages": [{"content": "x"}]}, 400, "missing_field", "messages[0].role"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 2}, 400, "invalid_value", "n"),
        ("/v1/completions", {"prompt": [1, 2]}, 400, "invalid_value", "prompt[0]"),
        ("/v1/embeddings", {"input": [1, 2]}, 400, "invalid_value", "input[0]"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "x"}, 400, "invalid_value", "encoding_format"),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}, 400, "invalid_value", "dimensions"),
        ("/embed", {"inputs": ""}, 400, "empty", "inputs[0]"),
        ("/embed", {"inputs": "a", "dimensions": 0}, 422, "invalid_value", "dimensions"),
        ("/embed", {}, 422, "missing_field", "inputs"),
        ("/rerank", {"query": "a", "texts": []}, 400, "empty", "texts"),
        ("/predict", {"inputs": []}, 400, "empty", "inputs"),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422, "invalid_value", "inputs"),
        ("/predict", {"inputs": [["a", "b", "c"]]}, 422, "invalid_value", "inputs"),
        ("/nowhere", {}, 404, "not_found", None),
        ("/health", {}, 405, "method_not_allowed", None),
        ("/similarity", b" " * 5000, 413, "body_too_large", None),
    ],
)
async def test_what_is_wrong_is_told_by_status_code_and_parameter(
    path: str, body: Any, status: int, code: str, param: str | None
) -> None:
    bounds = {"text_max_chars": 2000, "items_max": 10, "tokens_max": 50, "body_max_bytes": 200_000}
    if isinstance(body, bytes) and body.isspace():
        bounds["body_max_bytes"] = 4096
    app = null_app(**bounds)
    app.engine.info = msgspec.structs.replace(app.engine.info, input_tokens_max=1000)  # type: ignore[misc] # the mock's
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with serving(app) as client, client.post(path, data=raw) as response:
        answer = await response.json()
        assert (response.status, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        is_tei = path in ("/embed", "/rerank", "/predict") or (param or "").startswith("inputs")
        assert ("error_type" in answer) == is_tei
        assert response.headers["server-timing"].startswith("queue;dur=0.000, batch;dur=0.000;desc=")


async def test_a_wrong_method_on_a_work_route_is_counted_and_told_what_is_allowed(
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
