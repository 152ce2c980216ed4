"""Odd answers over real connections: all transports read them alike, and time them alike."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.tasks.chat import Completion
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Outcome, Request, Response, Task
from harness.experiment.target import embedded, remote
from tests.http.misbehaving import SSE, Misbehaving, chunked, head, misbehaving
from tests.http.test_transport_outcomes import TRANSPORTS, Transport
from tests.processes import paceline, result_of, went_well

PATH = "/v1/chat/completions"


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    async with misbehaving() as server:
        yield server


def asked(spec: str = "chat:stream=true") -> Request:
    task: Task = plugins.make("task", spec)
    return task.request([Item(0, task.parse({"prompt": "p"}), task)])


def event(reason: str | None = None, **delta: Any) -> bytes:
    value = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def answer(transport: Transport, server: Misbehaving, request: Request) -> Response:
    async with transport(server.url, timeout_s=10.0) as send:
        return await send(request)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_the_first_thought_is_the_first_token(transport: Transport, field: str, server: Misbehaving) -> None:
    """Thinking at once, the answer a second later: the time to the first token ends with the thinking."""
    pieces: list[bytes | float] = [
        chunked(event(**{field: "hm"}), end=False),
        1.0,
        chunked(event(content="a"), event("stop"), b"data: [DONE]\n\n"),
    ]
    server.on(PATH, SSE, *pieces)
    response = await answer(transport, server, asked())
    assert response.answers == (Completion("a", "stop", reasoning="hm"),)
    assert response.done - response.sent > 0.9
    assert response.first_byte - response.sent < 0.5
    assert len(response.chunks) == 2


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_plain_json_in_place_of_a_stream_is_the_answer(transport: Transport, server: Misbehaving) -> None:
    """And is counted as odd; the first byte of it is its head."""
    body = json.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {}}).encode()
    server.on(PATH, head("200 OK", len(body)) + body)
    response = await answer(transport, server, asked())
    assert (response.outcome, response.answers, response.oddities) == (Outcome.ok, (Completion("a", "stop"),), 2)
    assert response.chunks == ()
    assert response.first_byte <= response.done


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_stream_without_its_last_blank_line_is_whole(transport: Transport, server: Misbehaving) -> None:
    server.on(PATH, SSE + chunked(event(content="a"), b"event: ping\ndata: 1\n\n", event("stop"), b"data: [DONE]"))
    response = await answer(transport, server, asked())
    assert (response.answers, response.oddities) == ((Completion("a", "stop"),), 1)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.slow
async def test_a_base_url_may_end_in_v1(transport: Transport) -> None:
    """As OpenAI's clients have it; what lies beside the API is still found."""
    with embedded("null") as mock:
        for base in (mock.url, mock.url + "/v1", mock.url + "/v1/"):
            async with transport(base, timeout_s=10.0) as send:
                assert (await send(asked("chat"))).outcome is Outcome.ok
        assert remote(mock.url + "/v1").seen() == 3


@pytest.mark.slow
async def test_an_embedded_mock_takes_no_key_of_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """PACELINE_API_KEY is for servers of one's own: with it, each request to the mock would end as 401."""
    for value in ("k", ""):
        monkeypatch.setenv("PACELINE_API_KEY", value)
        with embedded("null") as mock:
            async with HttpTransport(mock.url, timeout_s=10.0) as send:
                assert (await send(asked("chat"))).outcome is Outcome.ok


class Oddly(http.server.BaseHTTPRequestHandler):
    """Answers chats with a usage of nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Good, but odd."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"choices": [{"message": {"content": "a"}}], "usage": {}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.slow
def test_a_run_and_a_bulk_run_tell_how_much_was_odd(tmp_path: Path) -> None:
    """In the warnings of the case, and in the counts of the summary."""
    (tmp_path / "in.jsonl").write_text('{"prompt": "p"}\n' * 7)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Oddly)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        to = ["--task", "chat", "--target", url, "-s", "queue-stream:concurrency=2"]
        quick = ["--no-calibrate", "--no-report", "--quiet"]
        done = paceline("compare", "--input", "in.jsonl", *to, *quick, "--out", "run", cwd=tmp_path)
        went_well(done, tmp_path / "run")
        bulk = paceline("process", "in.jsonl", "--output", "out.jsonl", *to, "--json", cwd=tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    warnings = result_of(tmp_path / "run")["cases"][0]["warnings"]
    assert any("answers had 7 harmless deviations from the API" in warning for warning in warnings)
    summary = json.loads(bulk.stdout)
    assert (summary["counts"]["ok"], summary["counts"]["oddities"]) == (7, 7)
    assert "answers held 7 things" in bulk.stderr
