"""The mock's routes of other servers: Ollama, KServe v2 and TGI, as their clients see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from mock_server.forms import ROUTES
from model_server.http.app import App
from model_server.http.openapi import document
from model_server.http.routes import Route
from tests.contract.schema_values import near_misses, values
from tests.server_helpers import Answered, app_of, call, null_app, virtually

SLOW = """
[generation]
ttft_base_s = 0.5
itl_base_s = 0.1
"""
CHAT = [{"role": "user", "content": "Why is the sky blue?"}]
DOCUMENT = document(null_app().routes)
INFER = "/v2/models/bert/infer"


def sent(path: str, body: Any = None, app: App | None = None, method: str = "POST") -> Answered:
    """One exchange in virtual time."""
    return virtually(call(app or null_app(), path, body, method=method))


def tensor(*texts: str, name: str = "text") -> dict[str, Any]:
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}


def test_ollama_streams_lines_and_the_last_one_has_counts_and_times(tmp_path: Path) -> None:
    """Times are in nanoseconds, and the tokens come when they are generated."""
    body = {"model": "llama3.2", "prompt": "Why is the sky blue?", "options": {"num_predict": 3}}
    answer = sent("/api/generate", body, app_of(tmp_path, SLOW))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [round(at, 6) for at, piece in answer.pieces if piece] == [0.5, 0.6, 0.7, 0.7]
    *pieces, last = [json.loads(line) for line in answer.body.splitlines()]
    assert all(piece["response"] and not piece["done"] for piece in pieces)
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "length")
    assert (last["prompt_eval_count"], last["eval_count"]) == (7, 3)
    assert (last["total_duration"], last["prompt_eval_duration"]) == (700_000_000, 500_000_000)
    assert last["model"] == "llama3.2"


def test_ollama_answers_whole_if_no_stream_is_wanted() -> None:
    """The same text as in the stream."""
    body: dict[str, Any] = {"model": "m", "messages": CHAT, "options": {"num_predict": 4}}
    lines = [json.loads(line) for line in sent("/api/chat", body).body.splitlines()]
    whole = sent("/api/chat", {**body, "stream": False}).json
    assert whole["message"] == {"role": "assistant", "content": "".join(line["message"]["content"] for line in lines)}
    assert (whole["done"], whole["eval_count"]) == (True, 4)


def test_ollama_embeds_and_lists_its_model() -> None:
    """One vector a text."""
    answer = sent("/api/embed", {"model": "m", "input": ["a", "b", "a"]}).json
    assert answer["embeddings"][0] == answer["embeddings"][2] != answer["embeddings"][1]
    assert answer["prompt_eval_count"] == 9
    assert sent("/api/tags", method="GET").json["models"][0]["name"] == "simulated"
    assert sent("/api/version", method="GET").json["version"]


def test_tgi_answers_whole_with_details_if_they_are_asked_for() -> None:
    """And without them by default."""
    asked = {"inputs": "Why?", "parameters": {"max_new_tokens": 3, "details": True}}
    answer = sent("/generate", asked).json
    assert answer["details"] == {"finish_reason": "length", "generated_tokens": 3, "input_length": 3, "seed": None}
    assert sent("/generate", {"inputs": "Why?"}).json["details"] is None


@pytest.mark.parametrize("stop", [None, "word"])
def test_tgi_streams_tokens_and_the_last_event_has_the_whole_text(stop: str | None, tmp_path: Path) -> None:
    """Each token leaves when it is generated, also the last one."""
    parameters = {"max_new_tokens": 3, **({"stop": [stop]} if stop else {})}
    answer = sent("/generate_stream", {"inputs": "Why?", "parameters": parameters}, app_of(tmp_path, SLOW))
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(event.removeprefix("data:")) for event in answer.body.decode().split("\n\n") if event]
    assert (
        events[-1]["generated_text"]
        == "".join(event["token"]["text"] for event in events)
        == "number question " + ("" if stop else "word ")
    )
    assert events[-1]["details"]["finish_reason"] == ("stop_sequence" if stop else "length")
    assert [event["generated_text"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert round(answer.pieces[0][0], 6) == 0.5


def test_kserve_gives_a_tensor_for_all_texts_of_a_request() -> None:
    """Flat in row-major order; two inputs are pairs."""
    answer = sent(INFER, {"id": "7", "inputs": [tensor("a b", "c")]}).json
    (output,) = answer["outputs"]
    assert (answer["model_name"], answer["id"]) == ("bert", "7")
    assert (output["name"], output["shape"], len(output["data"])) == ("embedding", [2, 64], 128)
    pairs = [tensor("a b", "c", name="x"), tensor("a b", "d", name="y")]
    assert sent("/v2/models/org/bert/versions/2/infer", {"inputs": pairs}).json == {
        "model_name": "org/bert",
        "model_version": "2",
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [2], "data": [1.0, 0.0]}],
    }
    assert sent("/v2/models/bert", method="GET").json["inputs"] == [
        {"name": "text", "datatype": "BYTES", "shape": [-1]}
    ]
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/bert/ready"):
        assert sent(path, method="GET").status == 200


def test_ollama_answers_in_json_on_request() -> None:
    answer = sent("/api/generate", {"model": "m", "prompt": "x", "format": "json", "stream": False}).json
    assert isinstance(json.loads(answer["response"]), dict)


REFUSED = [
    ("/api/generate", {"model": "m", "prompt": "x", "format": "xml"}, 400, {"error": "format: "}),
    ("/api/chat", {"model": "m", "messages": []}, 400, {"error": "messages: must hold at least one item"}),
    ("/api/chat", {"messages": CHAT}, 400, {"error": "model: is required"}),
    ("/generate", {"inputs": "x", "parameters": {"top_k": 3}}, 422, {"error": "top_k: is", "error_type": "validation"}),
    ("/generate", {"inputs": "x", "parameters": {"max_new_tokens": 0}}, 422, {"error_type": "validation"}),
    (INFER, {"inputs": [{**tensor("a"), "shape": [3]}]}, 400, {"error": "inputs: text has shape [3], 3 elements"}),
    (INFER, {"inputs": [{**tensor("a"), "shape": [9] * 5000}]}, 400, {"error": "inputs"}),
    (INFER, {"inputs": [tensor("a"), tensor("a", "b")]}, 400, {"error": "inputs: have 1 and 2 texts"}),
    (INFER, {"inputs": [tensor("a")], "outputs": [{"name": "score"}]}, 400, {"error": "outputs: 1 inputs give embed"}),
]


@pytest.mark.parametrize(("path", "body", "status", "said"), REFUSED)
def test_a_refusal_is_a_text_as_that_server_writes_it(path: str, body: Any, status: int, said: dict[str, str]) -> None:
    """`{"error": "..."}`, with TGI's `error_type`."""
    answer = sent(path, body)
    assert answer.status == status
    assert all(answer.json[key].startswith(text) for key, text in said.items()), answer.json


def test_a_server_that_takes_no_work_answers_as_tgi_does(tmp_path: Path) -> None:
    """429, where the others answer 503."""
    for path, status in (("/generate", 429), ("/api/generate", 503)):
        app = app_of(tmp_path, SLOW)
        app.drain()
        answer = sent(path, {"inputs": "x", "model": "m", "prompt": "x"}, app)
        assert (answer.status, type(answer.json["error"])) == (status, str)


def test_requests_of_a_path_with_a_parameter_are_counted() -> None:
    """Under the path of the route, so that a client's count can be compared."""
    app = null_app()
    assert sent(INFER, {"inputs": [tensor("a")]}, app).status == 200
    assert app.counts.as_dict()["routes"] == {
        "/v2/models/{model}/infer": {
            "seen": 1, "finished": 1, "refused": 0, "failed": 0, "broken": 0, "disconnected": 0, "in_flight": 0,
        }
    }  # fmt: skip


@pytest.mark.parametrize("route", [route for route in ROUTES if route.request], ids=lambda route: route.path)
def test_no_body_finds_a_mistake_of_the_server(route: Route) -> None:
    """Bodies that fit the document, and some that almost do."""
    schema = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    seen: set[int] = set()

    @settings(max_examples=15, derandomize=True, deadline=None)
    @given(values(schema, DOCUMENT) | near_misses(schema, DOCUMENT))
    def run(body: Any) -> None:
        seen.add(sent(route.path.replace("{model}", "m"), body).status)

    run()
    assert seen <= {200, 400, 404, 413, 422}, seen
