"""The tasks that are shipped as TOML files: request and answer as the vendors' documentation has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.client.answers import Usage
from harness.client.errors import BadResponse, ItemError, SettingError
from harness.client.tasks._said import Completion
from harness.client.tasks.http import Counted, Http, shipped
from harness.client.types import Item, Request

QUERY = "What is Deep Learning?"
TEXTS = ["Deep Learning is not...", "Deep learning is...", "Cheese is made of milk."]
RANKED = [{"index": 1, "score": 0.9987}, {"index": 0, "score": 0.0225}, {"index": 2, "score": 0.0001}]
RESULTS = [{"index": entry["index"], "relevance_score": entry["score"]} for entry in RANKED]
CLASSES = [{"score": 0.9, "label": "admiration"}, {"score": 0.1, "label": "neutral"}]


@dataclass(frozen=True)
class Form:
    """Rows, the request that they make, and an answer with what is read from it."""

    name: str
    rows: list[dict[str, Any]]
    path: str
    body: dict[str, Any]
    answer: Any
    read: Any


FORMS = [
    Form(
        "tei-rerank",
        [{"query": QUERY, "texts": TEXTS, "raw_scores": False, "note": "mine"}],
        "/rerank",
        {"query": QUERY, "texts": TEXTS, "raw_scores": False},
        [{**entry, "text": TEXTS[entry["index"]]} for entry in RANKED],
        (RANKED,),
    ),
    Form(
        "rerank",
        [{"model": "jina-reranker-v2-base-multilingual", "query": QUERY, "documents": TEXTS, "top_n": 2}],
        "/v1/rerank",
        {
            "model": "jina-reranker-v2-base-multilingual",
            "query": QUERY,
            "documents": TEXTS,
            "top_n": 2,
            "return_documents": False,
        },
        {
            "model": "jina-reranker-v2-base-multilingual",
            "usage": {"total_tokens": 815, "prompt_tokens": 815},
            "results": [{**entry, "document": {"text": TEXTS[entry["index"]]}} for entry in RESULTS[:2]],
        },
        (RANKED[:2],),
    ),
    Form(
        "cohere-rerank",
        [{"model": "rerank-v4.0-pro", "query": QUERY, "documents": TEXTS}],
        "/v2/rerank",
        {"model": "rerank-v4.0-pro", "query": QUERY, "documents": TEXTS},
        {
            "results": RESULTS,
            "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
            "meta": {"api_version": {"version": "2", "is_experimental": False}, "billed_units": {"search_units": 1}},
        },
        (RANKED,),
    ),
    Form(
        "tei-predict",
        [{"text": "I like you."}, {"text": "I hate pineapples"}],
        "/predict",
        {"inputs": [["I like you."], ["I hate pineapples"]]},
        [CLASSES, CLASSES],
        ([{"label": "admiration", "score": 0.9}, {"label": "neutral", "score": 0.1}],) * 2,
    ),
    Form(
        "classify",
        [{"text": "Loved the new café"}, {"text": "This was a waste"}],
        "/classify",
        {"input": ["Loved the new café", "This was a waste"]},
        {
            "id": "classify-7c87cac407b749a6935d8c7ce2a8fba2",
            "object": "list",
            "created": 1745383065,
            "model": "jason9693/Qwen2.5-1.5B-apeach",
            "data": [
                {"index": 1, "label": "Spoiled", "probs": [0.26448, 0.73552], "num_classes": 2},
                {"index": 0, "label": "Default", "probs": [0.56597, 0.43403], "num_classes": 2},
            ],
            "usage": {"prompt_tokens": 20, "total_tokens": 20, "completion_tokens": 0, "prompt_tokens_details": None},
        },
        ({"label": "Default", "probs": [0.56597, 0.43403]}, {"label": "Spoiled", "probs": [0.26448, 0.73552]}),
    ),
    Form(
        "tei-embed",
        [{"text": "What is Deep Learning?"}],
        "/embed",
        {"inputs": ["What is Deep Learning?"]},
        [[0.0149, -0.0051, 0.025]],
        ([0.0149, -0.0051, 0.025],),
    ),
    Form(
        "anthropic",
        [{"prompt": "Hello, Claude", "max_tokens": "1024", "model": "claude-opus-4-6", "system": "Be brief."}],
        "/v1/messages",
        {
            "model": "claude-opus-4-6",
            "max_tokens": 1024,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hello, Claude"}],
        },
        {
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "Hello!"}],
            "model": "claude-opus-4-6",
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 12, "output_tokens": 6},
        },
        (Counted("Hello!", Usage(12, 6)),),
    ),
]
ANTHROPIC_EVENTS = b"""event: message_start
data: {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 25, "output_tokens": 1}}}

event: content_block_start
data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}

event: content_block_delta
data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}}

event: content_block_stop
data: {"type": "content_block_stop", "index": 0}

event: message_delta
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}

event: message_stop
data: {"type": "message_stop"}

"""
"""As the vendor's documentation has them."""


def request(name: str, *rows: dict[str, Any]) -> Request:
    task = Http(name)
    return task.request([Item(number, task.parse(row), task) for number, row in enumerate(rows)])


def read(asked: Request, answer: Any) -> Any:
    return asked.task.answer(asked, json.dumps(answer).encode())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_request_and_answer_have_the_published_form(form: Form) -> None:
    """Fields that are not read are ignored."""
    asked = request(form.name, *form.rows)
    assert (asked.path, json.loads(asked.body)) == (form.path, form.body)
    assert read(asked, form.answer) == form.read


def test_each_count_of_a_stream_is_the_last_one_that_an_event_has() -> None:
    """The tokens of the prompt come first, those of the answer last; pings and block marks are no pieces."""
    asked = request("anthropic-stream", {"prompt": "Hello, Claude"})
    assert (asked.path, asked.headers, json.loads(asked.body)["stream"]) == (
        "/v1/messages",
        {"anthropic-version": "2023-06-01"},
        True,
    )
    form = asked.events
    assert form is not None
    events = form.splitter().feed(ANTHROPIC_EVENTS)
    assert [form.is_content(event) for event in events].count(True) == 2
    assert asked.task.answer_stream(asked, events) == (Completion("Hello!", usage=Usage(25, 15)),)
    with pytest.raises(BadResponse, match="broke off after 2 pieces"):
        asked.task.answer_stream(asked, events[:-1])
    overloaded = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    with pytest.raises(BadResponse, match="Overloaded"):
        asked.task.answer_stream(asked, [*events[:-1], overloaded])


def test_every_shipped_file_has_a_line_for_the_list() -> None:
    """A name is what the user types."""
    assert {form.name for form in FORMS} <= set(shipped.names())
    for name in shipped.names():
        assert Http(name).name == name
        assert shipped.summary(name).endswith(".")
        task = Http(name)
        assert task.request([Item(0, task.synthetic(lambda count: "word " * count, 5), task)]).body


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("rerank", {}, "/results is missing"),
        ("rerank", {"results": {}}, "/results: is an object, not a list"),
        ("rerank", {"results": [{"index": 0, "score": 1}] * 3}, "/results/0: /relevance_score is missing"),
        ("rerank", {"results": RESULTS[:2]}, "/results: 2 elements, expected 3: documents has 3"),
        ("rerank", {"results": [RESULTS[0]] * 3}, "/results/1: index 1 is twice, or no position among 3 documents"),
        ("rerank", {"results": [{**RESULTS[0], "index": 3}, *RESULTS[1:]]}, "/results/0: index 3 is twice, or no"),
        ("rerank", {"results": [{**RESULTS[0], "index": None}]}, "/results/0: /index is missing: it is null"),
        ("tei-rerank", [{"index": 0, "score": "high"}], "/0: /score: is a text 'high', not a number"),
        ("tei-rerank", {"error": "overloaded"}, "the answer: is an object, not a list"),
        ("tei-predict", [[{"label": "a"}]], "answer 1 of 1: /0: /score is missing"),
        ("classify", {"data": [{"index": 0, "label": "a"}]}, "answer 1 of 1: /probs is missing"),
        ("classify", {"data": [{"index": 0, "label": "a", "probs": [1.5]}]}, "is not at least 0 and at most"),
        ("classify", {"data": []}, "/data: 0 answers for 1 items"),
        ("tei-embed", [["a"]], "/0: is a text 'a', not a number"),
    ],
)
def test_an_answer_that_lacks_something_names_it(name: str, answer: Any, said: str) -> None:
    """Place and reason."""
    row = {"query": QUERY, "documents": TEXTS, "texts": TEXTS, "text": "a"}
    with pytest.raises(BadResponse, match=None) as refused:
        read(request(name, row), answer)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"documents": TEXTS}, "query: is missing"),
        ({"query": QUERY}, "documents: is missing"),
        ({"query": QUERY, "documents": "one"}, "documents: is a text that is no JSON"),
        ({"query": QUERY, "documents": TEXTS, "top_n": "two"}, "top_n: 'two' is not a number"),
    ],
)
def test_a_row_that_lacks_something_names_it(row: dict[str, Any], said: str) -> None:
    """A list may also be JSON in a text, as CSV has it."""
    with pytest.raises(ItemError) as refused:
        request("rerank", row)
    assert said in str(refused.value)
    assert json.loads(request("rerank", {"query": "a", "documents": '["b"]', "top_n": "1"}).body)["documents"] == ["b"]


def test_a_file_of_the_user_takes_precedence_over_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown name shows the known ones."""
    monkeypatch.chdir(tmp_path)
    Path("rerank").write_text('name = "mine"\nanswer = "/x"\nbody = { a = "{{ a }}" }\n')
    assert Http("rerank").name == "mine"
    with pytest.raises(SettingError) as refused:
        Http("tei_rerank")
    assert "tei_rerank: No such file or directory; did you mean tei-rerank" in str(refused.value)
    with pytest.raises(SettingError, match=r"rerank.toml: No such file or directory$"):
        Http("rerank.toml")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{ at = "/r", each = "/s", type = "number" }', "type = 'number': excludes `each`"),
        ('{ at = "/r", index = "/i" }', "one_for: is missing"),
        ('{ at = "/r", one_for = "b" }', "one_for = 'b': is not a field of the templates; fields: a"),
        ('{ at = "/r", one_for = "a", most = 3 }', "most = 3: is a whole number, not a text"),
        ('{ at = "/r", each = {} }', "each: is a table; expected a JSON Pointer"),
        ('{ at = "/r", each = { x = { at = "/y", tpe = "text" } } }', "unknown key; did you mean type"),
    ],
)
def test_a_mistake_in_the_keys_of_a_list_is_one_line(answer: str, said: str) -> None:
    """With the file and the key."""
    with pytest.raises(SettingError) as refused:
        Http(text=f'answer = {answer}\nbody = {{ a = "{{{{ a:list }}}}" }}\n')
    assert said in str(refused.value)


def test_one_for_is_about_one_item() -> None:
    """Not about a batch."""
    text = 'answer = { at = "/r", one_for = "a" }\nbody = { a = ["{{ a }}"] }\nbatch = { over = "/a" }\n'
    with pytest.raises(SettingError, match=r"one_for excludes \[batch\]"):
        Http(text=text)


def test_the_name_of_an_event_may_end_a_stream() -> None:
    """Its data is read for the counts, and what comes after it is ignored."""
    text = """
body = { prompt = "{{ prompt }}" }
usage = { completion_tokens = "/n" }
[stream]
text = "/t"
end = { event = "End" }
"""
    task = Http(text=text)
    form = task.made.stream
    assert form is not None
    asked = task.request([Item(0, task.parse({"prompt": "a"}), task)])
    events = form.splitter().feed(
        b'event: token\ndata: {"t": "a"}\n\nevent: end\ndata: {"n": 1}\n\ndata: {"t": "b"}\n\n'
    )
    assert [(form.is_content(event), form.is_end(event)) for event in events] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    (found,) = task.answer_stream(asked, events)
    assert (found.text, found.usage.completion_tokens) == ("a", 1)
    plain = Http(text='body = { prompt = "{{ prompt }}" }\nstream = { end = { event = "end" } }\n')
    assert plain.made.stream is not None
    events = plain.made.stream.splitter().feed(b"data: a\n\nevent: end\ndata: bye\n\n")
    assert plain.answer_stream(asked, events) == ("a",)
    events = plain.made.stream.splitter().feed(b"data: a\n\nevent: end\n\n")
    assert plain.answer_stream(asked, events) == ("a",)
    with pytest.raises(BadResponse, match="broke off"):
        plain.answer_stream(asked, [b"a"])
    for wrong, said in [('{ event = " " }', "is blank"), ('{ event = "end", at = "/x" }', "unknown key")]:
        with pytest.raises(SettingError, match=said):
            Http(text=f'body = {{ prompt = "{{{{ prompt }}}}" }}\nstream = {{ end = {wrong} }}\n')
