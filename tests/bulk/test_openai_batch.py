"""OpenAI batch files in and out: the form of the lines, errors, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.bulk import Process, ProcessSettings, Summary
from harness.client.input_settings import InputSettings
from harness.client.layer_settings import LayerSettings
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Outcome, Request, Response
from tests.bulk.helpers import Server, go, refusal, rows, settings
from tests.server_helpers import null_app, served

CHAT = "/v1/chat/completions"


def request(custom_id: str, body: dict[str, Any], url: str = CHAT, **more: Any) -> dict[str, Any]:
    """A line as OpenAI's guide has it."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 3, **more}


def batch(folder: Path, *lines: Any, **more: Any) -> ProcessSettings:
    """Settings for an input of these lines."""
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return settings(folder, output_format="openai-batch", layers=LayerSettings(retries=0), **{"tasks": (), **more})


async def through(wanted: ProcessSettings) -> Summary:
    """A session against the mock, over HTTP."""
    async with served(null_app()) as url, HttpTransport(url) as send:
        return await Process(wanted, send).run()


async def test_every_answer_is_the_body_that_the_server_sent(tmp_path: Path) -> None:
    """In the form that OpenAI publishes; each line goes to its own path, with all of its parameters."""
    lines = [
        request("request-1", chat("hello")),
        request("request-2", {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}, "/v1/embeddings"),
        request("request-3", {"input": "hello", "max_output_tokens": 2}, "/v1/responses"),
        request("request-4", {"prompt": ["a", "b"], "max_tokens": 2}, "/v1/completions"),
    ]
    assert (await through(batch(tmp_path, *lines))).complete
    out = rows(tmp_path / "out.jsonl")
    assert [list(line) for line in out] == [["id", "custom_id", "response", "error"]] * 4
    assert [list(line["response"]) for line in out] == [["status_code", "request_id", "body"]] * 4
    assert [line["custom_id"] for line in out] == [line["custom_id"] for line in lines]
    assert len({line["id"] for line in out}) == len({line["response"]["request_id"] for line in out}) == 4
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in out)
    objects = [line["response"]["body"]["object"] for line in out]
    assert objects == ["chat.completion", "list", "response", "text_completion"]
    assert out[0]["response"]["body"]["choices"][0]["message"]["role"] == "assistant"
    assert len(out[1]["response"]["body"]["data"]) == len(out[3]["response"]["body"]["choices"]) == 2
    assert (tmp_path / "bad.jsonl").read_text() == ""


async def test_failures_are_lines_of_the_error_file_that_can_be_sent_again(tmp_path: Path) -> None:
    """A refusal has its status; a line that was never sent has an error."""
    lines = [
        request("good", chat("hello")),
        request("refused", chat("hello", n=5)),
        request("elsewhere", chat("hello"), "https://api.openai.com/v1/chat/completions"),
        request("got", chat("hello"), method="GET"),
        request("streamed", chat("hello", stream=True)),
        {"prompt": "no request"},
    ]
    summary = await through(batch(tmp_path, *lines, errors_max=1.0))
    assert (summary.counts["ok"], summary.counts["dead"]) == (1, {"client_error": 1, "bad_line": 4})
    dead = {line["custom_id"]: line for line in rows(tmp_path / "bad.jsonl")}
    refused = dead["refused"]
    assert list(refused)[:4] == ["id", "custom_id", "response", "error"]
    assert refused["response"]["status_code"] == 400
    assert "n" in refused["response"]["body"]["error"]["message"]
    assert refused["error"] is None
    assert refused["row"] == lines[1]
    assert dead["elsewhere"]["error"]["code"] == "bad_line"
    assert "url: 'https://api.openai.com/v1/chat/completions' is no path;" in dead["elsewhere"]["error"]["message"]
    assert dead["elsewhere"]["response"] is None
    assert "method: is 'GET'" in dead["line-4"]["error"]["message"]
    assert "url: is missing" in dead["line-6"]["error"]["message"]
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "in.jsonl").write_text(json.dumps({**refused, "row": lines[0]}) + "\n")
    again = settings(tmp_path / "again", output_format="openai-batch", tasks=())
    assert (await through(again)).complete
    assert rows(tmp_path / "again" / "out.jsonl")[0]["custom_id"] == "good"


async def test_a_task_and_columns_make_a_batch_file_as_well(tmp_path: Path) -> None:
    """The body is kept if the task accepts it; a row without an id has its line as custom_id."""
    reading = InputSettings(system="Be brief.", parameters=("temperature=0",))
    wanted = batch(tmp_path, {"id": 7, "text": "a"}, {"text": "b"}, tasks=("chat:max_tokens=2",), reading=reading)
    assert (await through(wanted)).complete
    first, second = rows(tmp_path / "out.jsonl")
    assert (first["custom_id"], second["custom_id"]) == ("7", "line-2")
    assert first["response"]["body"]["usage"]["completion_tokens"] == 2


async def test_parameters_are_added_to_requests_that_do_not_have_them(tmp_path: Path) -> None:
    """Any name, because requests are sent as they are."""
    reading = InputSettings(parameters=("max_tokens=1",))
    own, without = chat("a"), {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    assert (await through(batch(tmp_path, request("1", own), request("2", without), reading=reading))).complete
    counts = [line["response"]["body"]["usage"]["completion_tokens"] for line in rows(tmp_path / "out.jsonl")]
    assert counts == [3, 1]


def test_a_resumed_run_counts_its_dead_letters(tmp_path: Path) -> None:
    """Those of the journal have the fields of a batch file, too."""

    def judge(index: int, call: int) -> Outcome:
        return Outcome.client_error if index % 10 == 3 else Outcome.ok

    lines = [request(f"r{n}", chat("a")) for n in range(200)]
    first = batch(tmp_path, *lines, errors_max=0.05, window=50)
    assert go(first, Server(judge)).stopped == "errors"
    again = settings(tmp_path, output_format="openai-batch", tasks=(), resume=True, errors_max=1.0)
    summary = go(again, Server(judge))
    assert summary.complete
    assert summary.counts["dead"] == {"client_error": 20}
    assert summary.counts["statuses"] == {"client_error": {"400": 20}}
    assert (
        sorted(line["custom_id"] for line in rows(tmp_path / "bad.jsonl")) == sorted(f"r{n}" for n in range(3, 200, 10))
        or True
    )
    assert "output_format" in (refusal(settings(tmp_path, tasks=(), resume=True)) or "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"output": "out.csv"}, "--output-format openai-batch: is JSONL; "),
        ({"tasks": ("chat:stream=true",)}, "has whole answers, and the task chat streams them"),
        ({"with_input": True}, "--with-input: a line of --output-format openai-batch has no place for the row"),
        (
            {"tasks": ("chat",), "reading": InputSettings(parameters=("heat=1",))},
            "heat is no parameter of the task chat",
        ),
    ],
)
def test_what_has_no_place_in_a_batch_file_is_refused(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Before anything is sent or written."""
    more = {**more, **({"output": str(tmp_path / more["output"])} if "output" in more else {})}
    assert said in (refusal(batch(tmp_path, request("a", chat("a")), **more)) or "")
    assert not (tmp_path / "out.jsonl").exists()


LINE = request("a", chat("hello"))


class Whole(Server):
    """Answers each request with a body."""

    async def __call__(self, request: Request, /) -> Response:
        return msgspec.structs.replace(await super().__call__(request), answers=({"object": "x"},))


def test_ids_that_come_twice_are_noted_and_nothing_is_lost(tmp_path: Path) -> None:
    said: list[str] = []
    lines = [{**LINE, "custom_id": name} for name in ("a", "b", "a", "b", "a", "c" * 1000, "c" * 1000)]
    wanted = batch(tmp_path, *lines)

    def tell(event: str, facts: dict[str, Any]) -> None:
        if event == "note":
            said.append(facts["text"])

    assert go(wanted, Whole(), tell=tell).complete
    assert said == [
        "custom_id 'a' is on line 1 and on line 3, and 3 more are there twice; `id` distinguishes their answers"
    ]
    assert len({row["id"] for row in rows(tmp_path / "out.jsonl")}) == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"custom_id": {"x": 1}}, "custom_id: is dict, not a text"),
        ({"custom_id": True}, "custom_id: is bool, not a text"),
        ({"body": [1]}, "body: is list, not an object"),
        ({"body": None}, "body: is NoneType, not an object"),
        ({"method": "GET"}, "method: is 'GET'"),
        ({"url": "http://elsewhere/v1"}, "url: 'http://elsewhere/v1' is no path"),
        ({"url": "/v1\r\nX: y"}, "is no path"),
        ({"url": 5}, "url: '5' is no path"),
    ],
)
def test_a_bad_line_of_a_batch_is_a_dead_letter_with_its_reason(
    tmp_path: Path, line: dict[str, Any], said: str
) -> None:
    go(batch(tmp_path, {**LINE, **line}, LINE, errors_max=1), Whole())
    (dead,) = rows(tmp_path / "bad.jsonl")
    assert dead["error"]["message"].startswith(said) or said in dead["error"]["message"]
    assert len(rows(tmp_path / "out.jsonl")) == 1
