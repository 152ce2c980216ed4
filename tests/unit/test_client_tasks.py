"""The tasks: a row in, a request out, and an answer that is checked or refused."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.client.answers import Usage, usage_of
from harness.client.errors import BadResponse, ItemError
from harness.client.hooks import BadRow, SkippedRows
from harness.client.task_calls import items, request_for
from harness.client.tasks._decode import TEXT_MAX
from harness.client.types import Item, Request, Task
from harness.load.workloads.synthetic import Synthetic

SPECS = [
    "similarity",
    "fill-mask",
    "zero-shot",
    "annotate",
    "annotate:stream=true",
    "chat",
    "chat:stream=true",
    "embed",
    "complete",
    "complete:stream=true",
    "responses",
    "responses:stream=true",
]


@cache
def task_of(spec: str) -> Task:
    made: Task = plugins.make("task", spec)
    return made


def request(spec: str, *rows: dict[str, Any]) -> Request:
    task = task_of(spec)
    return task.request([Item(index, task.parse(row), task) for index, row in enumerate(rows)])


def body(request: Request) -> Any:
    return json.loads(request.body)


def answer(request: Request, value: Any) -> Any:
    return request.task.answer(request, json.dumps(value).encode())[0]


def events(*values: Any) -> list[bytes]:
    return [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]


@pytest.mark.parametrize("spec", SPECS)
def test_a_task_has_its_plug_ins_name_and_makes_its_own_items(spec: str) -> None:
    """What `synthetic` gives can be sent, at any length, and is a function of the seed."""
    task: Task = plugins.make("task", spec)
    assert task.name == spec.partition(":")[0]
    assert plugins.summary("task", task.name).strip()
    for length in (1, 2, 3, 50):
        data = task.synthetic(lambda count: " ".join(Random(1).choices(["a", "b"], k=count)), length)
        sent = task.request([Item(0, data, task)])
        assert sent.path.startswith("/")
        assert sent.stream is spec.endswith("stream=true")
        assert body(sent)
    assert Synthetic().data(task, 3, 7) == Synthetic().data(task, 3, 7)


def test_similarity_sends_the_pair_and_reads_the_score() -> None:
    asked = request("similarity", {"text1": "早上好", "text2": "b", "more": 1})
    assert (asked.path, body(asked)) == ("/similarity", {"text1": "早上好", "text2": "b"})
    assert answer(asked, {"similarity_score": -1, "model": "x"}) == -1.0
    assert answer(asked, {"similarity_score": 1.0000001}) == 1.0000001


def test_fill_mask_reads_one_mask_and_several() -> None:
    word = {"score": 0.5, "token": 1, "token_str": "a", "sequence": "a"}
    one = request("fill-mask:top_k=2", {"text": "[MASK] b"})
    assert body(one) == {"text": "[MASK] b", "top_k": 2}
    assert [[c.token_str for c in mask] for mask in answer(one, [word, word])] == [["a", "a"]]
    two = request("fill-mask", {"text": "[MASK] [MASK]"})
    assert [len(mask) for mask in answer(two, [[word], [word, word]])] == [1, 2]
    for asked, wrong in [
        (one, []),
        (one, [word] * 3),
        (one, [[word], [word]]),
        (one, [[]]),
        (one, [{**word, "score": 1.2}]),
        (one, [{**word, "score": None}]),
        (two, [word, word]),
        (two, [[word], word]),
        (two, [[word]]),
    ]:
        with pytest.raises(BadResponse):
            answer(asked, wrong)


def test_zero_shot_takes_labels_from_the_row_or_the_settings() -> None:
    own = request("zero-shot:labels=x|y,template=About {}.", {"text": "t"})
    assert body(own) == {"text": "t", "labels": ["x", "y"], "hypothesis_template": "About {}.", "multi_label": False}
    asked = request("zero-shot", {"text": "t", "labels": ["a", "b"]})
    assert answer(asked, {"labels": ["b", "a"], "scores": [0.75, 0.25]}) == {"b": 0.75, "a": 0.25}
    for wrong in [
        {"labels": ["b", "c"], "scores": [0.7, 0.3]},
        {"labels": ["b"], "scores": [1.0]},
        {"labels": ["b", "b"], "scores": [0.7, 0.3]},
        {"labels": ["b", "a"], "scores": [1.0]},
        {"labels": ["b", "a"], "scores": [0.7, 0.7]},
        {"labels": ["b", "a"], "scores": [1.5, -0.5]},
    ]:
        with pytest.raises(BadResponse):
            answer(asked, wrong)
    many = request("zero-shot:multi_label=true", {"text": "t", "labels": ["a", "b"]})
    assert answer(many, {"labels": ["b", "a"], "scores": [0.9, 0.8]}) == {"b": 0.9, "a": 0.8}


def test_annotate_reads_whole_answers_and_streams() -> None:
    asked = request("annotate:max_tokens=7,stream=true", {"text": "t"})
    assert body(asked) == {"text": "t", "max_tokens": 7, "stream": True}
    assert answer(asked, {"text": "a b"}) == "a b"
    read = asked.task.answer_stream
    assert read(asked, events({"text": "a"}, {"text": " b"}, {"done": True}, b"[DONE]")) == ("a b",)
    assert read(asked, events({"text": "a"}, b"[DONE]")) == ("a",)
    assert read(asked, events({"text": "a"}, {"done": True})) == ("a",)
    for wrong in [
        [],
        [{"text": "a"}],
        [b"[DONE]"],
        [{"tokens": 3}, b"[DONE]"],
        [{"text": "a"}, {"error": {"message": "oom"}}],
        [{"text": 3}, b"[DONE]"],
        [b"{", b"[DONE]"],
        [b"\xff"],
    ]:
        with pytest.raises(BadResponse):
            read(asked, events(*wrong))


def delta(content: Any = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": reason}]}


def test_chat_reads_whole_answers() -> None:
    asked = request("chat:max_tokens=7,model=m,temperature=0", {"messages": [{"role": "system", "content": "s"}]})
    assert body(asked) == {
        "messages": [{"role": "system", "content": "s"}],
        "max_tokens": 7,
        "model": "m",
        "temperature": 0.0,
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    whole = answer(asked, {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage})
    assert (whole.text, whole.finish_reason, whole.usage.completion_tokens) == ("hi", "stop", 4)
    assert answer(asked, {"choices": [{"message": {"content": None, "refusal": "no"}}]}).text == "no"
    assert answer(asked, {"choices": [{"message": {"tool_calls": [{}]}}]}).text == ""
    for wrong in [{}, {"choices": []}, {"choices": [{"message": {}}]}, {"choices": [{"message": {"content": 3}}]}]:
        with pytest.raises(BadResponse):
            answer(asked, wrong)


def test_chat_reads_streams_and_asks_for_the_count_of_tokens() -> None:
    asked = request("chat:stream=true", {"prompt": "p"})
    assert body(asked)["stream_options"] == {"include_usage": True}
    assert body(asked)["messages"] == [{"role": "user", "content": "p"}]
    read = asked.task.answer_stream
    count = {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 2}}
    (whole,) = read(
        asked, events(delta("", role="assistant"), delta("a"), delta(" b"), delta(None, "stop"), count, b"[DONE]")
    )
    assert (whole.text, whole.finish_reason, whole.usage.prompt_tokens) == ("a b", "stop", 2)
    for wrong in [
        [],
        [delta("a"), b"[DONE]"],
        [delta("a", "stop")],
        [delta("a"), {"error": {"message": "oom"}}, b"[DONE]"],
        [{"object": "x"}, b"[DONE]"],
        [{"choices": [{}]}, b"[DONE]"],
    ]:
        with pytest.raises(BadResponse):
            read(asked, events(*wrong))


def test_embed_takes_several_items_and_puts_vectors_in_their_order() -> None:
    asked = request("embed:model=m", {"text": "a"}, {"input": "b"})
    assert body(asked) == {"input": ["a", "b"], "model": "m"}
    assert body(request("embed", {"text": "a"})) == {"input": "a"}
    rows = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    assert asked.task.answer(asked, json.dumps({"data": rows}).encode()) == ((1.0, 2.0), (3.0, 4.0))
    for wrong in [
        [],
        rows[:1],
        [rows[0], rows[0]],
        [rows[0], {"index": 2, "embedding": [1, 2]}],
        [rows[0], {"index": -1, "embedding": [1, 2]}],
        [rows[0], {"index": 0, "embedding": []}],
        [rows[0], {"index": 0, "embedding": [1]}],
        [rows[0], {"index": 0, "embedding": ["1", 2]}],
    ]:
        with pytest.raises(BadResponse):
            answer(asked, {"data": wrong})
    with pytest.raises(BadResponse):
        asked.task.answer(
            asked, b'{"data": [{"index": 0, "embedding": [1e999, 2]}, {"index": 1, "embedding": [1, 2]}]}'
        )


BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("similarity", {"text1": "a"}, "text2: is missing"),
    ("similarity", {"text1": 3, "text2": "b"}, "text1: is int, not a text"),
    ("similarity", {"text1": "\ud800", "text2": "b"}, "text1: .*surrogate"),
    ("similarity", {"text1": "a" * (TEXT_MAX + 1), "text2": "b"}, "text1: has 1000001 characters"),
    ("fill-mask", {"text": "no mask"}, r"text: has no \[MASK\]"),
    ("fill-mask", {"text": "a [mask]"}, r"text: has no \[MASK\]"),
    ("zero-shot", {"text": "a", "labels": "b"}, "labels: must be a list"),
    ("zero-shot", {"text": "a", "labels": []}, "labels: must be a list of 1"),
    ("zero-shot", {"text": "a", "labels": ["b", 3]}, r"labels\[1\]: is int"),
    ("zero-shot", {"text": "a", "labels": ["b", " "]}, "labels: one of them is blank"),
    ("zero-shot", {"text": "a", "labels": ["b", "b"]}, "labels: .*twice"),
    ("annotate", {"text": " "}, "text: is blank"),
    ("chat", {}, "text: is missing"),
    ("chat", {"prompt": None}, "prompt: is missing"),
    ("chat", {"messages": []}, "messages: must be a list of 1"),
    ("chat", {"messages": ["a"]}, r"messages\[0\]: is str, not an object"),
    ("chat", {"messages": [{"role": "user", "content": 3}]}, r"messages\[0\].content: is int"),
    ("chat", {"messages": [{"content": "a"}]}, r"messages\[0\].role: is missing"),
    ("embed", {"input": ""}, "input: is blank"),
]


@pytest.mark.parametrize(("spec", "row", "message"), BAD_ROWS)
def test_a_row_that_is_no_item_names_its_field(spec: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ItemError, match=message):
        plugins.make("task", spec).parse(row)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["text", "text1", "text2", "labels", "messages", "prompt", "input", "choices", "data", "similarity_score"]


@given(row=st.dictionaries(st.sampled_from(FIELDS), json_values))
@settings(max_examples=200)
def test_any_row_is_an_item_or_an_item_error(row: dict[str, Any]) -> None:
    """Of every task. And an item can always be encoded. To draw a row takes longer than to parse it twelve times."""
    for spec in SPECS:
        task = task_of(spec)
        try:
            data = task.parse(row)
        except ItemError:
            continue
        assert task.request([Item(0, data, task)]).body, spec


GOOD_ROW = {"text1": "a", "text2": "b", "text": "[MASK]"}


@given(value=st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values, raw=st.binary(max_size=30))
@settings(max_examples=200)
def test_any_body_is_an_answer_or_a_bad_response(value: Any, raw: bytes) -> None:
    """Servers answer anything; nothing else is ever raised, whatever the task."""
    for spec in SPECS:
        asked = request(spec, GOOD_ROW)
        for content in (json.dumps(value).encode(), raw):
            for read in (asked.task.answer, lambda r, b: r.task.answer_stream(r, [b, b"[DONE]"])):
                try:
                    assert len(read(asked, content)) == 1, spec
                except BadResponse:
                    continue


@pytest.mark.parametrize("spec", ["zero-shot:template=none of it", "zero-shot:labels=a|a", "annotate:max_tokens=0",
                                  "chat:temperature=3", "fill-mask:top_k=101"])  # fmt: skip
def test_settings_out_of_range_are_named(spec: str) -> None:
    with pytest.raises(plugins.UsageError, match=spec.partition(":")[2].partition("=")[0]):
        plugins.make("task", spec)


@pytest.mark.parametrize("spec", ["similarity", "zero-shot", "chat"])
def test_tasks_of_one_item_refuse_several(spec: str) -> None:
    with pytest.raises(ValueError, match="one item"):
        request(spec, GOOD_ROW, GOOD_ROW)
    with pytest.raises(ValueError, match="at least one"):
        request("embed")


async def test_rows_become_items_with_numbers_and_priorities() -> None:
    """From any iterable, asynchronous or not, one by one."""
    task: Task = plugins.make("task", "annotate")
    rows = [{"text": "a"}, {"text": "b", "priority": -1}]

    async def later() -> Any:
        for row in rows:
            yield row

    for source in (rows, later()):
        got = [item async for item in items(task, source)]
        assert [(item.index, item.data, item.priority) for item in got] == [(0, "a", 0), (1, "b", -1)]
    assert body(request_for(got[1]))["text"] == "b"


@pytest.mark.parametrize(
    ("row", "message"),
    [({"text": 3}, "row 1: text: is int"), ({"text": "a", "priority": "high"}, "row 1: priority='high'"),
     ({"text": "a", "priority": True}, "row 1: priority=True")],
)  # fmt: skip
async def test_the_first_bad_row_is_named(row: dict[str, Any], message: str) -> None:
    got = items(plugins.make("task", "annotate"), [{"text": "a"}, row])
    assert (await anext(got)).index == 0
    with pytest.raises(ItemError, match=message):
        await anext(got)


async def test_bad_rows_can_be_skipped_and_counted() -> None:
    """Each is handed over with its position and reason; the items keep the positions of their rows."""
    rows: list[Any] = [
        {"text": "a"},
        {"text": 3},
        ["no", "object"],
        None,
        {"text": "b", "priority": "high"},
        {"text": "c"},
    ]
    task, bad, skipped = plugins.make("task", "annotate"), list[BadRow](), SkippedRows()
    got = [item async for item in items(task, rows, on_bad_row=bad.append)]
    assert [(item.index, item.data) for item in got] == [(0, "a"), (5, "c")]
    assert [(one.index, one.row) for one in bad] == list(enumerate(rows))[1:5]
    assert "row 2: is list, not an object" in str(bad[1].error)
    assert [item.index async for item in items(task, rows, on_bad_row=skipped)] == [0, 5]
    assert skipped.last is not None
    assert (skipped.count, skipped.last.index) == (4, 4)
    with pytest.raises(ItemError, match="row 0: is NoneType, not an object"):
        await anext(items(task, [None]))  # type: ignore[list-item] # the mistake under test


def test_the_front_door_holds_what_it_names() -> None:
    """Every name of `harness.client` loads; others are attribute errors."""
    from harness import client

    for name in client.__all__:
        assert getattr(client, name).__name__ == name
        assert name in dir(client)
    assert callable(client.items)
    with pytest.raises(AttributeError, match="Nonsense"):
        client.Nonsense  # noqa: B018 - the access is the test


def test_embeddings_carry_the_servers_count_of_the_whole_request() -> None:
    """OpenAI's usage; without one there is none."""
    asked = request("embed", {"text": "a b"}, {"text": "c"})
    rows = [{"embedding": [1.0], "index": index} for index in range(2)]
    body = {"data": rows, "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    assert usage_of(asked.task.answer(asked, json.dumps(body).encode())) == Usage(prompt_tokens=8)
    assert usage_of(asked.task.answer(asked, json.dumps({"data": rows}).encode())) is None
