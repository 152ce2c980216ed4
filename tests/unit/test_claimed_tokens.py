"""Counts of tokens that cannot be true are left out and counted as a deviation; unusual ones that can be, stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client import Http
from harness.client.task_calls import answers_of, plain_answers_of
from harness.client.tasks.chat import Usage
from harness.client.transport.event_stream import SseSplitter
from harness.client.types import Answers, Item, Request, Task


def asked(spec: str, **row: Any) -> Request:
    task: Task = plugins.make("task", spec)
    return task.request([Item(0, task.parse({"text": "hello", **row}), task)])


def chat(usage: dict[str, Any], text: str = "hi", **row: Any) -> Answers:
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    found = plain_answers_of(asked("chat", **row), json.dumps(body).encode())
    assert isinstance(found, Answers)
    assert found[0].usage == found.usage
    return found


@pytest.mark.parametrize(
    ("usage", "row", "kept", "odd"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2_000_000_000}, {}, Usage(3), 1),
        ({"prompt_tokens": 3, "completion_tokens": 5_000}, {}, Usage(3), 1),
        ({"prompt_tokens": 2_000_000_000, "completion_tokens": 2}, {}, Usage(None, 2), 1),
        ({"prompt_tokens": 3, "completion_tokens": 60}, {}, Usage(3, 60), 0),
        # Tokens without a text, such as those of hidden reasoning, up to the number that was asked for.
        ({"prompt_tokens": 3, "completion_tokens": 5_000}, {"max_tokens": 5_000}, Usage(3, 5_000), 0),
        ({"prompt_tokens": 3, "completion_tokens": 5_000}, {"max_completion_tokens": 6_000}, Usage(3, 5_000), 0),
        ({"prompt_tokens": 3, "completion_tokens": 5_001}, {"max_tokens": 5_000}, Usage(3), 1),
        # A picture that is a URL, or instructions that the server adds.
        ({"prompt_tokens": 90_000, "completion_tokens": 2}, {}, Usage(90_000, 2), 0),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 9_000,
                "completion_tokens_details": {"reasoning_tokens": 8_990},
            },
            {},
            Usage(3),
            1,
        ),
    ],
)
def test_a_claim_is_held_against_the_answer(usage: dict[str, Any], row: dict[str, Any], kept: Usage, odd: int) -> None:
    found = chat(usage, **row)
    assert found.usage == kept
    assert found.oddities == odd


def test_a_long_answer_may_have_more_tokens_than_were_asked_for() -> None:
    """A server that does not know `max_tokens`."""
    assert chat({"prompt_tokens": 3, "completion_tokens": 900}, "word " * 900).usage == Usage(3, 900)


def test_a_stream_counts_its_events_in_place_of_a_false_claim() -> None:
    request, splitter = asked("chat:stream=true"), SseSplitter()
    piece = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    claim = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2_000_000_000}}
    data = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in (piece, piece, end, claim))
    found = answers_of(request, splitter, splitter.feed(data + b"data: [DONE]\n\n"))
    assert isinstance(found, Answers)
    assert (found.usage, found.oddities, found[0].text) == (Usage(3), 1, "aa")


@pytest.mark.parametrize(("asked_for", "kept"), [("", 900_000), ("max_tokens = 500", None)])
def test_a_described_task_is_held_to_what_its_request_says(tmp_path: Path, asked_for: str, kept: int | None) -> None:
    """Without a bound in the request, a million: no answer has more."""
    (tmp_path / "t.toml").write_text(
        'path = "/x"\nanswer = "/text"\nusage = { completion_tokens = "/n" }\n'
        f'[body]\nprompt = "{{{{ prompt }}}}"\n[body.options]\n{asked_for}\n'
    )
    task = Http(str(tmp_path / "t.toml"))
    request = task.request([Item(0, task.parse({"prompt": "a"}), task)])
    for claim in (900_000, 2_000_000_000):
        found = plain_answers_of(request, json.dumps({"text": "a", "n": claim}).encode())
        assert isinstance(found, Answers)
        wanted = kept if claim == 900_000 else None
        assert found.usage == Usage(None, wanted)
        assert found[0].usage == found.usage
