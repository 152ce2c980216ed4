"""How a text is to be generated: every field that a route takes changes the answer as it says, on both servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.servers import Caller, checked_error

PROMPT = "tell me about paris"


def completion(call: Caller, **fields: Any) -> Any:
    answer = call.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 12, **fields})
    assert answer.status == 200, answer.body[:300]
    return answer.json


def text(call: Caller, **fields: Any) -> str:
    return str(completion(call, **fields)["choices"][0]["text"])


def test_a_seed_draws_the_same_text_again_and_another_seed_another(call: Caller) -> None:
    drawn = [text(call, temperature=1.5, seed=seed) for seed in (1, 2, 3)]
    assert len(set(drawn)) == 3
    assert [text(call, temperature=1.5, seed=seed) for seed in (1, 2, 3)] == drawn
    assert text(call, seed=1) == text(call, seed=1, temperature=1.0) != text(call)
    body = {"prompt": PROMPT, "max_tokens": 12, "seed": 2, "temperature": 1.5, "stream": True}
    events = call.post("/v1/completions", body).events
    assert "".join(event["choices"][0]["text"] for event in events) == drawn[1]


def test_at_temperature_zero_no_seed_matters(call: Caller) -> None:
    assert {text(call, temperature=0, seed=seed) for seed in (1, 2)} == {text(call)}
    assert text(call, top_p=1) == text(call)


@pytest.mark.parametrize("path", ["/annotate", "/v1/chat/completions", "/v1/completions"])
def test_every_generating_route_takes_the_same_fields(call: Caller, path: str) -> None:
    prompt: dict[str, Any] = {"/annotate": {"text": "a"}, "/v1/completions": {"prompt": "a"}}.get(
        path, {"messages": [{"role": "user", "content": "a"}]}
    )
    fields = {"temperature": 0.7, "top_p": 0.9, "seed": 5, "ignore_eos": True, "min_tokens": 3, "stop": ["zzz"]}
    neutral = {"top_k": -1, "repetition_penalty": 1.0, "stop_token_ids": [], "user": "u", "guided_json": None}
    answer = call.post(path, {**prompt, **fields, **neutral, "max_tokens": 5}).json
    assert answer.get("usage", {"completion_tokens": answer.get("tokens")})["completion_tokens"] == 5
    error = checked_error(call.post(path, {**prompt, "top_k": 5}), 400, "unsupported_parameter")
    assert error["param"] == "top_k"


def test_no_stop_text_counts_before_min_tokens(call: Caller) -> None:
    whole = text(call)
    stop = whole.strip()[:2]
    assert whole.index(stop) < 3
    assert len(text(call, stop=stop)) < 3
    later = completion(call, stop=stop, min_tokens=6)
    assert later["usage"]["completion_tokens"] > 6
    assert whole.startswith(later["choices"][0]["text"])


def test_a_stop_text_counts_if_it_ends_after_min_tokens(call: Caller) -> None:
    whole = text(call)
    places = [len(text(call, max_tokens=tokens)) for tokens in range(1, 8)]
    edge = next(place for place in places[2:] if whole[place - 2 : place + 2].strip())
    stop = whole[edge - 2 : edge + 2]
    tokens = places.index(edge) + 1
    assert len(stop) == 4
    assert text(call, stop=stop, min_tokens=tokens) == whole[: whole.index(stop, edge - 3)]


def test_the_counts_so_far_are_in_every_chunk_if_asked(call: Caller) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"prompt": [PROMPT, "b"], "max_tokens": 4, "ignore_eos": True, "stream": True, "stream_options": options}
    events = call.post("/v1/completions", body).events
    for index in (0, 1):
        chunks = [event for event in events if event["choices"] and event["choices"][0]["index"] == index]
        counts = [event["usage"]["completion_tokens"] for event in chunks]
        assert counts == sorted(counts)
        assert (counts[0] > 0, counts[-1]) == (True, 4)
    assert events[-1]["usage"]["completion_tokens"] == 8
    body["stream_options"] = {"include_usage": True, "usage_stats": True}
    error = checked_error(call.post("/v1/completions", body), 400, "unsupported_parameter")
    assert error["param"] == "stream_options.usage_stats"


def test_null_is_absent_also_in_a_message(call: Caller) -> None:
    message = {"role": "user", "content": "a", "audio": None, "annotations": None}
    assert call.post("/v1/chat/completions", {"messages": [message], "audio": None}).status == 200


def test_echo_of_annotate_and_of_token_ids(call: Caller) -> None:
    plain = call.post("/annotate", {"text": PROMPT, "max_tokens": 3}).json["text"]
    echoed = call.post("/annotate", {"text": PROMPT, "max_tokens": 3, "echo": True}).json["text"]
    assert echoed.endswith(plain)
    assert PROMPT in echoed
    ids = call.post("/tokenize", {"prompt": PROMPT}).json["tokens"]
    assert text(call, prompt=ids, echo=True).endswith(text(call, prompt=ids))


def test_token_ids_are_a_prompt_or_several(call: Caller) -> None:
    found = call.post("/tokenize", {"prompt": PROMPT, "model": "m", "add_special_tokens": False}).json
    assert found["count"] == len(found["tokens"]) > 0
    one = completion(call, prompt=found["tokens"])
    several = completion(call, prompt=[found["tokens"], found["tokens"][:1]])
    assert [choice["index"] for choice in several["choices"]] == [0, 1]
    assert several["choices"][0]["text"] == one["choices"][0]["text"]
    if call.server.kind == "model":  # the mock has no vocabulary: an id is a word of its own
        plain = completion(call)
        assert (one["choices"][0]["text"], one["usage"]) == (plain["choices"][0]["text"], plain["usage"])
        error = checked_error(call.post("/v1/completions", {"prompt": [1 << 30]}), 400, "invalid_value")
        assert error["param"] == "prompt[0]"


def test_tokens_in_teis_form_are_the_text_and_give_the_same_vector(call: Caller) -> None:
    (tokens,) = call.post("/tokenize", {"inputs": "a small cat"}).json
    inside = [token for token in tokens if not token["special"]]
    assert [token["text"] for token in inside] == ["a small cat"[token["start"] : token["stop"]] for token in inside]
    assert "".join(token["text"] for token in inside).replace(" ", "") == "asmallcat"
    assert tokens[0]["special"]
    (bare,) = call.post("/tokenize", {"inputs": ["a small cat"], "add_special_tokens": False}).json
    assert bare == inside
    ids = [token["id"] for token in inside]
    given: dict[str, Any] = {"input": ids, "encoding_format": "float"}
    of_ids = call.post("/v1/embeddings", given).json
    if call.server.kind == "model":
        plain = call.post("/v1/embeddings", {**given, "input": "a small cat"}).json
        assert of_ids["usage"] == plain["usage"]
        assert of_ids["data"][0]["embedding"] == pytest.approx(plain["data"][0]["embedding"], abs=1e-5)
        complete = call.post("/v1/embeddings", {**given, "input": [[token["id"] for token in tokens]]}).json
        assert complete["usage"] == plain["usage"]


def test_what_a_message_has_beside_its_text_reaches_the_model(call: Caller) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": calls}]
    answer = call.post("/v1/chat/completions", {"messages": [*said, {"role": "tool", "content": "7"}]})
    assert answer.status == 200
    if call.server.kind == "mock":  # of a model, the template decides
        counts = [
            call.post("/tokenize", {"messages": messages}).json["count"]
            for messages in (said, [said[0], {"role": "assistant", "content": None}])
        ]
        assert counts[0] > counts[1]
