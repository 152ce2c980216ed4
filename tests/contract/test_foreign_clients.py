"""What clients of other projects ask of these routes: their forms, their fields, their habits with HTTP."""

from __future__ import annotations

import math
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.work import Sequence, StopTexts
from tests.contract.servers import Caller, Server

CHAT = {"messages": [{"role": "user", "content": "tell me about paris"}], "max_tokens": 12}
MASKED = ["paris is the [MASK] of france", "a [MASK]"]


def test_huggingface_hub_reads_the_answer_of_zero_shot(server: Server) -> None:
    """Its client wants a list of labels with scores, best first."""
    hub = pytest.importorskip("huggingface_hub", reason="comes with the model extra")
    client = hub.InferenceClient(model=f"{server.url}/zero-shot", token=None)
    found = client.zero_shot_classification("sport and music", ["music", "sport", "food"], multi_label=True)
    assert {entry.label for entry in found} == {"music", "sport", "food"}
    assert [entry.score for entry in found] == sorted([entry.score for entry in found], reverse=True)


def test_a_bare_list_of_texts_is_a_batch(call: Caller) -> None:
    """As its object form with the default task."""
    bare, full = call.post("/submit_batch", MASKED), call.post("/submit_batch", {"texts": MASKED})
    assert bare.status == full.status
    if bare.status == 200:
        assert set(bare.json) == {"task_id", "message"}


def test_one_model_is_found_by_its_name(call: Caller) -> None:
    """Also when the name holds slashes; it holds no blank."""
    (model,) = call.get("/v1/models").json["data"]
    assert " " not in model["id"]
    assert call.get(f"/v1/models/{model['id']}").json == model


def test_head_of_a_get_route_has_its_head_alone(call: Caller) -> None:
    for path in ("/health", "/v1/models", "/openapi.json"):
        answer = call("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


def test_a_stop_text_ends_plain_and_streamed_answers_alike(call: Caller) -> None:
    """Before the stop text; the reason is `stop`."""
    whole = call.post("/v1/chat/completions", CHAT).json["choices"][0]["message"]["content"]
    stop = whole[len(whole) // 2 :][:3]
    choice = call.post("/v1/chat/completions", {**CHAT, "stop": [stop, "never there"]}).json["choices"][0]
    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"
    events = call.post("/v1/chat/completions", {**CHAT, "stop": stop, "stream": True}).events
    pieces = [event["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(pieces) == choice["message"]["content"]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_echo_begins_with_the_prompt(call: Caller) -> None:
    plain = call.post("/v1/completions", {"prompt": "a small cat", "max_tokens": 4}).json["choices"][0]["text"]
    echoed = call.post("/v1/completions", {"prompt": "a small cat", "max_tokens": 4, "echo": True})
    assert echoed.json["choices"][0]["text"] == "a small cat" + plain


def test_fields_that_ask_for_nothing_are_accepted(call: Caller) -> None:
    """As many clients send them."""
    more = {"n": 1, "tools": [], "response_format": {"type": "text"}, "logprobs": False, "temperature": 0, "seed": 1}
    assert call.post("/v1/chat/completions", {**CHAT, **more, "presence_penalty": 0.0}).status == 200
    assert call.post("/embed", {"inputs": "a", "truncate": None, "normalize": True}).status == 200


def test_vectors_that_are_cut_have_length_one(call: Caller) -> None:
    (cut,) = call.post("/embed", {"inputs": "a small cat", "dimensions": 4}).json
    assert math.fsum(value * value for value in cut) == pytest.approx(1.0, rel=1e-6)


def exchange(server: Server, sent: bytes) -> bytes:
    """Send these bytes on a connection of their own and read until its end."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_a_transfer_coding_that_is_not_chunked_is_refused(server: Server) -> None:
    head = b"POST /similarity HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    assert exchange(server, head).startswith(b"HTTP/1.1 501 ")


def test_a_read_that_ends_inside_the_next_head_is_no_large_head(server: Server) -> None:
    """Two requests at once, the first with a body of 200 kB."""
    body = b'{"text1": "a", "text2": "b", "x": "' + b"y" * 200_000 + b'"}'
    first = b"POST /similarity HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    second = b"GET /health HTTP/1.1\r\nhost: x\r\ncookie: " + b"z" * 20_000 + b"\r\nconnection: close\r\n\r\n"
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=30) as connection:
        connection.sendall(first + second[:9_000])
        connection.sendall(second[9_000:])
        said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert said.count(b"HTTP/1.1 200 ") == 2


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_a_stop_text_is_found_however_the_text_is_split(text: str, stops: list[str], data: st.DataObject) -> None:
    """The result is the text before the first place at which any of them begins, as soon as one is whole."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    splitter = StopTexts(tuple(stops))
    kept = ""
    for piece in pieces:
        kept += splitter.feed(piece)
        if splitter.met:
            break
    else:
        kept += splitter.rest()
    assert splitter.met == any(stop in text for stop in stops)
    assert text.startswith(kept)
    assert not any(stop in kept for stop in stops)
    if not splitter.met:
        assert kept == text


def test_a_sequence_that_met_its_stop_text_ends_with_that_reason() -> None:
    """Tokens that the engine emits after it are dropped."""
    sequence = Sequence("prompt", 1, 9, 0.0)
    sequence.shape_text(("END",), "")
    for piece in ("one E", "ND", " two"):
        sequence.emit(piece, 1.0)
    sequence.finish("cancelled", 2.0)
    assert "".join(sequence.pieces) == "one "
    assert (sequence.finish_reason, sequence.tokens) == ("stop", 2)
