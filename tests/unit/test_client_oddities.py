"""Answers with something odd about them: what the answer is stays strict, all else is read past and counted."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.client.errors import BadResponse
from harness.client.task_calls import answers_of
from harness.client.tasks.chat import Completion, ToolCall, Usage
from harness.client.transport.event_stream import SseSplitter, is_content
from harness.client.types import Answers, Item, Outcome, Request, Response, Task

USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def asked(spec: str = "chat", count: int = 1) -> Request:
    task: Task = plugins.make("task", spec)
    return task.request([Item(index, task.parse({"text": "t"}), task) for index in range(count)])


def said(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}


def delta(reason: Any = None, **pieces: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": pieces, "finish_reason": reason}]}


def whole(value: Any, spec: str = "chat") -> Any:
    request = asked(spec)
    return request.task.answer(request, json.dumps(value).encode())


def wire(*events: Any) -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def streamed(data: bytes, spec: str = "chat:stream=true") -> Any:
    """As both transports read it."""
    splitter, request = SseSplitter(), asked(spec)
    events = splitter.feed(data)
    splitter.close()
    return answers_of(request, splitter, events)


HI = Completion("hi", "stop", Usage(3, 4))


@pytest.mark.parametrize(
    ("usage", "read", "odd"),
    [
        (USAGE, Usage(3, 4), 0),
        (None, None, 0),
        ({}, None, 1),
        ([], None, 1),
        ("many", None, 1),
        ({"completion_tokens": 4}, Usage(None, 4), 0),
        ({"prompt_tokens": 3.0, "completion_tokens": 4}, Usage(3, 4), 1),
        ({"prompt_tokens": 3.5, "completion_tokens": "4"}, None, 3),
        ({"prompt_tokens": -1, "completion_tokens": 4}, Usage(None, 4), 1),
        ({**USAGE, "prompt_tokens_details": None, "cost": 0.1}, Usage(3, 4), 0),
        (
            {
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(3, 4, 2, 1),
            0,
        ),
        (
            {
                "input_tokens": 3,
                "output_tokens": 4,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(3, 4, 0, 3),
            0,
        ),
        ({**USAGE, "prompt_cache_hit_tokens": 1}, Usage(3, 4, 1), 0),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": "2"}}, Usage(3, 4), 1),
        ({"prompt_tokens": 1e308, "completion_tokens": 2**31}, None, 3),
        ({"prompt_tokens": 10**18, "completion_tokens": 4}, Usage(None, 4), 1),
        ({"prompt_tokens": True, "completion_tokens": [4]}, None, 3),
        # A part that is larger than its whole.
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(3, 4), 1),
        ({**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}}, Usage(3, 4), 1),
    ],
)
def test_usage_is_read_as_far_as_it_goes(usage: Any, read: Usage | None, odd: int) -> None:
    """What is unknown is None, never 0; in both forms."""
    answers = whole({**said(content="hi"), "usage": usage})
    assert (answers[0].usage, answers.oddities) == (read, odd)
    last = {"choices": [], "usage": usage}
    answers = streamed(wire(delta(content="hi"), delta("stop"), last, b"[DONE]"))
    assert (answers[0].usage, answers.oddities) == (read, odd)


ODD_STREAMS: list[tuple[bytes, int]] = [
    (wire({"id": "x"}), 1),
    (wire({"choices": None}), 1),
    (wire({"choices": [{"index": 0, "delta": None}]}), 1),
    (wire({"choices": [{"index": 0}]}), 1),
    (wire({"choices": [None]}), 1),
    (wire({"type": "ping"}), 1),
    (wire(b""), 1),
    (wire(b"{}"), 1),
    (wire(b"null"), 1),
    (b"event: ping\ndata: 17\n\n", 1),
    (b"event: ping\ndata: are you there\n\n", 1),
    (b"event: ping\n\n", 0),
    (b"data\n\n", 1),
    (wire(delta("")), 1),
    (wire({**delta(), "error": None}), 0),
    (b": comment\n\nid: 3\nretry: 9\n\n", 0),
]


@pytest.mark.parametrize(("between", "odd"), ODD_STREAMS)
def test_odd_events_are_read_past_wherever_they_stand(between: bytes, odd: int) -> None:
    """Before, between and after the pieces of the answer; and they are no first token."""
    pieces = [wire(delta(role="assistant", content="")), wire(delta(content="h")), wire(delta(content="i"))]
    end = wire(delta("stop"), {"choices": [], "usage": USAGE}, b"[DONE]")
    for place in range(4):
        data = b"".join([*pieces[:place], between, *pieces[place:]]) + end
        answers = streamed(data)
        assert (answers, answers.oddities) == ((HI,), odd)
    assert not any(map(is_content, SseSplitter().feed(between)))


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: [DONE]\n", b"data: [DONE]", b"data:[DONE]\r\n",
                                 b"data: [DONE]\n\ndata: {\"x\"", b"data: [DONE]\n\n: bye"])  # fmt: skip
def test_the_end_mark_is_the_end_with_or_without_its_blank_line(end: bytes) -> None:
    data = wire(delta(content="hi"), delta("stop"), {"choices": [], "usage": USAGE}) + end
    assert streamed(data) == (HI,)
    splitter, request, events = SseSplitter(), asked("chat:stream=true"), []
    for byte in data:
        events += splitter.feed(bytes([byte]))
    splitter.close()
    assert answers_of(request, splitter, events) == (HI,)


@pytest.mark.parametrize("reason", [3, "stop", "eos_token"])
def test_a_finish_reason_may_be_a_number(reason: Any) -> None:
    value = said(content="hi")
    value["choices"][0]["finish_reason"] = reason
    expected = (Completion("hi", str(reason), Usage(3, 4)),)
    assert whole(value) == expected
    assert streamed(wire(delta(content="hi"), delta(reason), {"choices": [], "usage": USAGE}, b"[DONE]")) == expected


def test_plain_json_in_place_of_a_stream_and_a_stream_in_place_of_plain_json() -> None:
    """Each is the answer that it is."""
    plain = json.dumps(said(content="hi")).encode()
    for data in (
        plain,
        b"\xef\xbb\xbf" + plain,
        b"\r\n\r\n" + plain,
        json.dumps(said(content="hi"), indent=1).encode(),
    ):
        answers = streamed(data)
        assert (answers, answers.oddities) == ((HI,), 1)
    request = asked()
    events = wire(delta(content="hi"), delta("stop"), {"choices": [], "usage": USAGE}, b"[DONE]")
    answers = request.task.answer(request, b": hello\n\n" + events)
    assert (answers, answers.oddities) == ((HI,), 1)  # type: ignore[attr-defined]
    assert streamed(b'{"text": "a b"}', "annotate:stream=true") == ("a b",)
    request = asked("annotate")
    assert request.task.answer(request, wire({"text": "a"}, {"text": " b"}, b"[DONE]")) == ("a b",)


SHAPES: list[tuple[dict[str, Any], list[dict[str, Any]], Completion]] = [
    ({"content": "a b"}, [{"content": "a"}, {"content": " b"}], Completion("a b")),
    ({"content": ""}, [{"role": "assistant", "content": ""}], Completion("")),
    ({"content": None}, [{}], Completion("")),
    ({}, [{"role": "assistant"}], Completion("")),
    (
        {"content": None, "reasoning": "hm so"},
        [{"reasoning": "hm"}, {"reasoning": " so"}],
        Completion("", reasoning="hm so"),
    ),
    (
        {"content": "x", "reasoning_content": "hm so"},
        [{"reasoning_content": "hm", "content": None}, {"reasoning_content": " so"}, {"content": "x"}],
        Completion("x", reasoning="hm so"),
    ),
    (
        {"content": "x", "reasoning_content": "hm", "reasoning": "hm"},
        [{"reasoning_content": "hm", "reasoning": "hm"}, {"content": "x"}],
        Completion("x", reasoning="hm"),
    ),
    ({"content": "x", "reasoning": {"a": 1}}, [{"reasoning": {"a": 1}}, {"content": "x"}], Completion("x")),
    ({"content": None, "refusal": "no, no"}, [{"refusal": "no,"}, {"refusal": " no"}], Completion("no, no")),
    (
        {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        [{"content": [{"type": "text", "text": "a"}]}, {"content": "b"}],
        Completion("ab"),
    ),
    (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "b"},
            ]
        },
        [{"content": [{"type": "thinking", "thinking": "hm"}]}, {"content": "b"}],
        Completion("b", reasoning="hm"),
    ),
    (
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
        [
            {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        ],
        Completion("", tool_calls=(ToolCall("f", '{"a":1}', "1"),)),
    ),
    (
        {
            "content": "x",
            "tool_calls": [{"id": "1", "function": {"name": "f"}}, {"id": "2", "function": {"name": "g"}}],
        },
        [
            {"content": "x"},
            {"tool_calls": [{"index": 1, "id": "2", "function": {"name": "g"}}]},
            {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f"}}]},
        ],
        Completion("x", tool_calls=(ToolCall("f", "", "1"), ToolCall("g", "", "2"))),
    ),
    (
        {"function_call": {"name": "f", "arguments": "{}"}},
        [{"function_call": {"name": "f"}}, {"function_call": {"arguments": "{}"}}],
        Completion("", tool_calls=(ToolCall("f", "{}"),)),
    ),
]


@pytest.mark.parametrize(("message", "deltas", "value"), SHAPES)
def test_plain_and_streamed_forms_of_one_answer_give_one_value(
    message: dict[str, Any], deltas: list[dict[str, Any]], value: Completion
) -> None:
    """Thinking is never glued to the answer, whatever field it comes in."""
    expected = Completion(value.text, "stop", Usage(3, 4), value.reasoning, value.tool_calls)
    assert whole(said(**message)) == (expected,)
    events = [*(delta(**pieces) for pieces in deltas), delta("stop"), {"choices": [], "usage": USAGE}]
    assert streamed(wire(*events, b"[DONE]")) == (expected,)


texts = st.text(max_size=12)


@given(texts | st.none(), texts, texts, st.lists(st.tuples(texts, texts), max_size=3), st.integers(1, 5))
def test_however_an_answer_is_cut_it_is_the_same(
    content: str | None, thinking: str, refusal: str, calls: list[tuple[str, str]], size: int
) -> None:
    """Any message, cut into deltas of any size, gives the value of the plain form."""
    tools = [{"id": f"i{n}", "function": {"name": f, "arguments": a}} for n, (f, a) in enumerate(calls)]
    message = {"content": content, "reasoning": thinking, "refusal": refusal, "tool_calls": tools}
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for field, text in (("reasoning", thinking), ("content", content), ("refusal", refusal)):
        deltas += [{field: (text or "")[i : i + size]} for i in range(0, len(text or ""), size)]
    for n, (name, arguments) in enumerate(calls):
        deltas.append({"tool_calls": [{"index": n, "id": f"i{n}", "function": {"name": name}}]})
        for i in range(0, len(arguments), size):
            deltas.append({"tool_calls": [{"index": n, "function": {"arguments": arguments[i : i + size]}}]})
    events = [*(delta(**pieces) for pieces in deltas), delta("stop"), {"choices": [], "usage": USAGE}]
    assert streamed(wire(*events, b"[DONE]")) == whole(said(**message))


@pytest.mark.parametrize(
    "pieces",
    [{"content": "a"}, {"reasoning": "a"}, {"reasoning_content": "a"}, {"refusal": "a"}, {"tool_calls": [{"index": 0}]},
     {"content": [{"type": "text", "text": "a"}]}],
)  # fmt: skip
def test_the_first_thought_is_the_first_token(pieces: dict[str, Any]) -> None:
    """The server is at work for the caller from then on, whatever the field is called."""
    assert is_content(json.dumps(delta(**pieces)).encode())
    assert not is_content(json.dumps(delta("stop")).encode())
    assert not is_content(json.dumps(delta(role="assistant", content="")).encode())


WRONG: list[dict[str, Any]] = [
    said(content=3),
    said(content=[3]),
    said(content=[{"type": "image_url", "image_url": {}}]),
    said(tool_calls={"a": 1}),
    said(tool_calls=[3]),
    said(tool_calls=[{"function": {"name": 3}}]),
    {"choices": {}},
    {"choices": [{"finish_reason": "stop"}]},
    {"choices": [3]},
    {"error": {"message": "oom"}, "choices": [{"message": {"content": "a"}}]},
]


@pytest.mark.parametrize("value", WRONG)
def test_what_the_answer_is_stays_strict(value: dict[str, Any]) -> None:
    with pytest.raises(BadResponse):
        whole(value)
    choices = value["choices"] if isinstance(value["choices"], list) else []
    pieces = [choice["message"] for choice in choices if isinstance(choice, dict) and "message" in choice]
    if pieces and "error" not in value:
        with pytest.raises(BadResponse):
            streamed(wire(*(delta(**piece) for piece in pieces), delta("stop"), b"[DONE]"))


@pytest.mark.parametrize(
    "data",
    [
        b"event: error\ndata: it broke\n\n" + wire(delta("stop"), b"[DONE]"),
        b'event: error\ndata: {"message": "it broke"}\n\n' + wire(delta("stop"), b"[DONE]"),
        wire(delta(content="a"), delta("stop")),
        wire(delta(content="a"), b"[DONE]"),
        wire(delta(content="a"), b'{"choices": [{"delta": {"con', delta("stop"), b"[DONE]"),
        b'{"choices": [{"message": {"content": "hi"',
        b"",
    ],
)
def test_a_stream_that_broke_is_no_answer(data: bytes) -> None:
    with pytest.raises(BadResponse):
        streamed(data)


def test_annotate_ends_at_once_and_reads_past_what_is_odd() -> None:
    """An empty text is an answer in both forms; no event at all is none."""
    assert whole({"text": "", "model": 3}, "annotate") == ("",)
    for events in ([{"done": True}], [{"text": ""}, b"[DONE]"], [{"text": None}, {"text": ""}, {"done": True}]):
        assert streamed(wire(*events), "annotate:stream=true") == ("",)
    answers = streamed(wire({"tokens": 3}, b"", {"text": "a"}, b"1", {"done": True}), "annotate:stream=true")
    assert (answers, answers.oddities) == (("a",), 3)
    wrong: list[list[Any]] = [[b"[DONE]"], [{"tokens": 3}, b"[DONE]"], [{"text": ["a"]}, b"[DONE]"]]
    for some in wrong:
        with pytest.raises(BadResponse):
            streamed(wire(*some), "annotate:stream=true")


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_embeddings_without_index_and_in_base64() -> None:
    """In the order of the items, and as float32."""
    request = asked("embed", 2)
    expected = ((1.0, 2.5), (3.0, 4.0))

    def answer(*rows: dict[str, Any]) -> Any:
        return request.task.answer(request, json.dumps({"data": rows, "usage": {}}).encode())

    for odd, rows in (
        (0, [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2.5]}]),
        (2, [{"embedding": [1, 2.5]}, {"embedding": [3, 4]}]),
        (2, [{"index": None, "embedding": [1, 2.5]}, {"index": None, "embedding": [3, 4]}]),
        (2, [{"index": 0, "embedding": packed(1, 2.5)}, {"index": 1, "embedding": packed(3, 4)}]),
        (1, [{"index": 0.0, "embedding": [1, 2.5]}, {"index": 1, "embedding": [3, 4]}]),
    ):
        answers = answer(*rows)
        assert (answers, answers.oddities) == (expected, odd)
    for wrong in (
        [{"index": 0, "embedding": [1, 2]}, {"embedding": [3, 4]}],
        [{"embedding": [1, 2]}],
        [{"embedding": "?"}, {"embedding": "?"}],
        [{"embedding": "AAA="}, {"embedding": "AAA="}],
        [{"embedding": packed(float("nan"))}, {"embedding": packed(1)}],
        [{"embedding": [True, 2]}, {"embedding": [3, 4]}],
        [{"embedding": [[1, 2]]}, {"embedding": [3, 4]}],
        [{"embedding": [10**400]}, {"embedding": [3]}],
        [{"embedding": ""}, {"embedding": ""}],
        [{"index": "0", "embedding": [1]}, {"index": 1, "embedding": [1]}],
    ):
        with pytest.raises(BadResponse):
            answer(*wrong)


def test_oddities_reach_the_response_but_not_the_copy_of_a_cache() -> None:
    assert Response(Outcome.ok, answers=Answers((1,), 2)).oddities == 2
    assert Response(Outcome.ok, answers=Answers((1,), 2), from_cache=True).oddities == 0
    assert Response(Outcome.ok, answers=(1,)).oddities == 0
