"""Responses, rerank and classification in the forms of OpenAI, Jina, Cohere and vLLM, on both servers."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.contract.servers import Caller, Server, checked_error

QUERY = "a small cat"
DOCUMENTS = ["some dog", "a small cat", "a cat"]


def good(call: Caller, path: str, body: Any) -> Any:
    answer = call.post(path, body)
    assert answer.status == 200, answer.body[:300]
    return answer.json


def test_a_response_is_what_the_official_client_reads(server: Server, call: Caller) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60) as client:
        whole = client.responses.create(model="m", input="hello there", instructions="be brief", max_output_tokens=5)
        assert whole.object == "response"
        assert (whole.status, whole.model) in {("incomplete", "m"), ("completed", "m")}
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
        given: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}]
        with client.responses.stream(model="m", input=given, max_output_tokens=5) as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == whole.output_text


def test_a_stream_of_a_response_has_the_published_events_in_their_order(call: Caller) -> None:
    body = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}], "max_output_tokens": 3}
    events = call.post("/v1/responses", {**body, "stream": True}).events
    kinds = [event["type"].removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", events[-1]["response"]["status"]),
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["usage"]["output_tokens"] >= deltas
    text = good(call, "/v1/responses", body)["output"][0]["content"][0]["text"]
    assert events[-4]["text"] == text


@pytest.mark.parametrize(
    ("field", "value"), [("previous_response_id", "resp_1"), ("tools", [{"type": "web_search"}]), ("background", True)]
)
def test_a_response_that_needs_more_than_text_is_refused_by_name(call: Caller, field: str, value: Any) -> None:
    answer = call.post("/v1/responses", {"input": "hello", field: value})
    assert checked_error(answer, 400, "unsupported_parameter")["param"] == field


def test_the_three_forms_of_rerank_agree(call: Caller) -> None:
    tei = good(call, "/rerank", {"query": QUERY, "texts": DOCUMENTS})
    body = {"model": "m", "query": QUERY, "documents": DOCUMENTS}
    jina, cohere = good(call, "/v1/rerank", body), good(call, "/v2/rerank", body)
    expected = [(entry["index"], entry["score"]) for entry in tei]
    for answer in (jina, cohere):
        found = [(entry["index"], entry["relevance_score"]) for entry in answer["results"]]
        assert found == [(index, pytest.approx(score, abs=0.02)) for index, score in expected]
    assert [entry["document"] for entry in jina["results"]] == [{"text": DOCUMENTS[index]} for index, _ in expected]
    assert set(jina) == {"id", "model", "usage", "results"}
    assert set(cohere) == {"id", "results", "meta"}
    assert cohere["meta"] == {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}


def test_rerank_gives_the_best_of_the_documents(call: Caller) -> None:
    body = {"query": QUERY, "documents": [{"text": text} for text in DOCUMENTS], "top_n": 2, "return_documents": False}
    whole, best = good(call, "/v1/rerank", {**body, "top_n": None}), good(call, "/v1/rerank", body)
    assert [entry["index"] for entry in best["results"]] == [entry["index"] for entry in whole["results"]][:2]
    assert set(best["results"][0]) == {"index", "relevance_score"}
    assert checked_error(call.post("/v1/rerank", {"query": "a", "documents": []}), 400, "empty")["param"] == "documents"


def test_vllms_classes_agree_with_teis(call: Caller) -> None:
    answer = good(call, "/classify", {"model": "m", "input": ["a cat", "a dog"]})
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    for entry, text in zip(answer["data"], ("a cat", "a dog"), strict=True):
        tei = good(call, "/predict", {"inputs": text})
        assert entry["label"] == tei[0]["label"]
        assert max(entry["probs"]) == pytest.approx(tei[0]["score"], abs=0.02)
        assert entry["num_classes"] == len(entry["probs"]) == len(tei)
        assert sum(entry["probs"]) == pytest.approx(1, abs=0.01)
    assert good(call, "/classify", {"input": "a cat"})["data"] == [
        {**answer["data"][0], "probs": pytest.approx(answer["data"][0]["probs"], abs=0.02)}
    ]


def test_images_in_a_chat_are_read_by_the_mock_only(call: Caller) -> None:
    """Each changes the answer and counts its tokens; the models of the model server read texts."""

    def chat(*content: dict[str, Any]) -> Any:
        return call.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "max_tokens": 4})

    text = {"type": "text", "text": "What is it?"}
    cat, dog = (
        {"type": "image_url", "image_url": {"url": f"https://example.com/{name}.png"}} for name in ("cat", "dog")
    )
    answer = chat(text, cat)
    if answer.status == 400:
        assert checked_error(answer, 400, "unsupported_parameter")["param"] == "messages[0].content[1]"
        assert "reads no images" in answer.json["error"]["message"]
        return
    assert answer.json["usage"]["prompt_tokens"] == chat(text).json["usage"]["prompt_tokens"] + 85
    said = [each.json["choices"][0]["message"]["content"] for each in (answer, chat(text, dog), chat(text, cat))]
    assert said[0] == said[2] != said[1]
    for part, param in [
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "cat.png"}}, "image_url.url"),
        ({"type": "text"}, "text"),
    ]:
        assert checked_error(chat(text, part), 400)["param"] == f"messages[0].content[1].{param}"
