"""Responses, rerank and classification in the forms of OpenAI, Jina, Cohere and vLLM, on both servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.servers import Caller, Server, checked_error
from tests.lazily import Lazy

openai = Lazy("openai")

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


TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def asked(more: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 6, **more}


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "high", "stop": "no such text"},
    ],
)
def test_the_mock_thinks_and_calls_tools_whole_and_in_pieces(call: Caller, more: dict[str, Any]) -> None:
    """The pieces make the whole message; each token is one piece. The models of the model server refuse it by name."""
    answer = call.post("/v1/chat/completions", asked(more))
    if answer.status == 400:
        assert checked_error(answer, 400, "unsupported_parameter")["param"] in more
        return
    (choice,) = answer.json["choices"]
    message, usage = choice["message"], answer.json["usage"]
    events = call.post("/v1/chat/completions", asked({**more, "stream": True})).events
    deltas = [event["choices"][0]["delta"] for event in events]
    assert len([delta for delta in deltas if delta]) == 6
    thinks = "reasoning_effort" in more or "chat_template_kwargs" in more
    thinking = "".join(delta.get("reasoning_content", "") for delta in deltas)
    assert thinking.strip() == message.get("reasoning_content", "").strip()
    assert bool(thinking) is thinks
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 3 if thinks else 0}
    if "tools" not in more:
        assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
        assert choice["finish_reason"] == events[-1]["choices"][0]["finish_reason"] == "length"
        return
    (called,) = message["tool_calls"]
    pieces = [delta["tool_calls"][0] for delta in deltas if delta.get("tool_calls")]
    assert pieces[0]["function"]["name"] == called["function"]["name"] == "get_weather"
    assert "".join(piece["function"]["arguments"] for piece in pieces) == called["function"]["arguments"]
    assert set(json.loads(called["function"]["arguments"])) == {"text"}
    assert choice["finish_reason"] == events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert message["content"] is None


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"reasoning_effort": "some"}, "reasoning_effort"),
        ({"chat_template_kwargs": [1]}, "chat_template_kwargs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": "all"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
    ],
)
def test_what_asks_for_thinking_or_tools_wrongly_is_refused_by_name(
    call: Caller, more: dict[str, Any], param: str
) -> None:
    """By both servers; to the model server the first of them is a parameter that it does not support."""
    error = checked_error(call.post("/v1/chat/completions", asked(more)), 400)
    assert error["param"] == (next(iter(more)) if error["code"] == "unsupported_parameter" else param)


def test_a_call_that_a_stop_text_cuts_short_is_still_json(call: Caller) -> None:
    """Its last piece closes it."""
    more = {"tools": [TOOL], "tool_choice": "required"}
    first = call.post("/v1/chat/completions", asked(more))
    if first.status == 400:
        return
    words = json.loads(first.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])["text"].split()
    events = call.post("/v1/chat/completions", asked({**more, "stop": words[2], "stream": True})).events
    pieces = [event["choices"][0]["delta"].get("tool_calls", []) for event in events]
    text = "".join(piece["function"]["arguments"] for found in pieces for piece in found)
    assert json.loads(text)["text"].split() == words[:2]


def test_without_a_choice_of_a_tool_the_mock_answers_in_text(call: Caller) -> None:
    """As a model may."""
    answer = call.post("/v1/chat/completions", asked({"tools": [TOOL], "tool_choice": "auto"}))
    assert answer.status == 400 or answer.json["choices"][0]["finish_reason"] == "length"
