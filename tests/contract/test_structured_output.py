"""Answers that have to be JSON: both servers give what fits the schema, whole and in pieces, and count its tokens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.contract.servers import Caller, checked_error
from tests.server_helpers import Answered, null_app, serving

# Few tokens: the servers of these tests give at most 64.
TICKET = {
    "type": "object",
    "properties": {"label": {"enum": ["bug", "billing"]}, "score": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET, "strict": True}}
FORMS: list[tuple[dict[str, Any], dict[str, Any]]] = [(FORM, TICKET), ({"type": "json_object"}, {"type": "object"})]


def chat(form: dict[str, Any], prompt: str = "Which label?", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "response_format": form, **more}


@pytest.mark.parametrize(("form", "schema"), FORMS)
def test_a_chat_answers_with_json_that_fits_whole_and_streamed(
    call: Caller, form: dict[str, Any], schema: dict[str, Any]
) -> None:
    answer = call.post("/v1/chat/completions", chat(form, temperature=0)).json
    (choice,) = answer["choices"]
    made = json.loads(choice["message"]["content"])
    jsonschema.validate(made, schema)
    assert choice["finish_reason"] == "stop"
    options = {"stream": True, "stream_options": {"include_usage": True}}
    events = call.post("/v1/chat/completions", chat(form, temperature=0, **options)).events
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == choice["message"]["content"]
    assert events[-1]["usage"]["completion_tokens"] == answer["usage"]["completion_tokens"]
    assert [event["choices"][0]["finish_reason"] for event in events if event["choices"]][-1] == "stop"


def test_the_answer_depends_on_the_prompt_and_on_the_seed_where_tokens_are_drawn(call: Caller) -> None:
    def said(**more: Any) -> str:
        answer = call.post("/v1/chat/completions", chat(FORM, **more)).json
        return str(answer["choices"][0]["message"]["content"])

    assert said(seed=1, temperature=1) == said(seed=1, temperature=1)
    assert len({said(seed=seed, temperature=1) for seed in range(4)}) > 1
    assert said(seed=1, temperature=0) == said(seed=2, temperature=0)
    assert said(prompt="Which?") != said(prompt="Why?")


def test_fewer_tokens_than_the_answer_has_cut_it_and_say_so(call: Caller) -> None:
    answer = call.post("/v1/chat/completions", chat(FORM, max_tokens=3)).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    with pytest.raises(ValueError, match=r"."):
        json.loads(answer["choices"][0]["message"]["content"])


def test_a_response_has_a_format_too(call: Caller) -> None:
    form = {"type": "json_schema", "name": "ticket", "schema": TICKET}
    answer = call.post("/v1/responses", {"input": "Which label?", "text": {"format": form}}).json
    assert answer["status"] == "completed"
    jsonschema.validate(json.loads(answer["output"][0]["content"][0]["text"]), TICKET)
    wrong = call.post("/v1/responses", {"input": "Which?", "text": {"format": {"type": "json_schema"}}})
    assert checked_error(wrong, 400, "missing_field")["param"] == "text.format.schema"


@pytest.mark.parametrize("more", [{}, {"reasoning_effort": "low"}, {"stream": True}])
def test_a_call_of_a_tool_has_arguments_that_fit_its_parameters(call: Caller, more: dict[str, Any]) -> None:
    """The model server's models call no tools."""
    function = {"name": "label", "parameters": TICKET}
    body = chat({"type": "text"}, tools=[{"type": "function", "function": function}], tool_choice="required", **more)
    answer = call.post("/v1/chat/completions", body | {"max_tokens": 62})
    if answer.status == 400:
        assert checked_error(answer, 400, "unsupported_parameter")["param"] in ("tools", "reasoning_effort")
        return
    choices = [event["choices"][0] for event in answer.events] if more.get("stream") else answer.json["choices"]
    messages = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    calls = [called for message in messages for called in message.get("tool_calls", ())]
    jsonschema.validate(json.loads("".join(called["function"]["arguments"] for called in calls)), TICKET)
    assert choices[-1]["finish_reason"] == "tool_calls"
    if "reasoning_effort" in more:
        assert len(messages[0]["reasoning_content"].split()) == 31


def test_the_routes_of_ollama_take_a_schema_as_their_format(call: Caller) -> None:
    body = {"model": "any", "prompt": "Which label?", "stream": False, "format": TICKET}
    answer = call.post("/api/generate", body)
    if answer.status != 404:
        jsonschema.validate(json.loads(answer.json["response"]), TICKET)
        assert json.loads(call.post("/api/generate", body | {"format": "json"}).json["response"])


def test_a_trained_model_is_not_constrained_and_says_so() -> None:
    """Its text would not be what was asked for."""

    async def asked() -> Answered:
        app = null_app()
        app.engine.info = msgspec.structs.replace(app.engine.info, scripts=False)  # type: ignore[misc] # of the mock
        async with serving(app) as session, session.post("/v1/chat/completions", json=chat(FORM)) as answer:
            return Answered(answer.status, body=await answer.read())

    answer = asyncio.run(asked())
    assert answer.status == 400
    error = answer.json["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "response_format")
    assert "does not constrain the output of a trained model" in error["message"]
