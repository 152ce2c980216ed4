"""Sessions against a server over HTTP: what it sees of a cancelled stream, and whole runs by two kinds of transport."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from harness.client.tasks.chat import Chat
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.lean import LeanTransport
from harness.client.types import Item, Outcome, Response, Send
from tests.processes import mock, paceline, result_of, went_well

pytestmark = pytest.mark.slow


def counts(url: str) -> dict[str, int]:
    """The server's own counts of exchanges."""
    with urllib.request.urlopen(f"{url}/debug/counts", timeout=10) as answer:  # noqa: S310 - our own server
        found: dict[str, int] = json.load(answer)["total"]
    return found


def test_a_stream_that_the_client_ends_is_closed_at_the_server() -> None:
    """By every transport: the outcome, the text so far, and the disconnect that the server counts."""
    task = Chat(stream=True)
    whole = task.request([Item(0, task.parse({"prompt": "Tell me a long story."}), task)])
    stopped = msgspec.structs.replace(whole, stop_after=5)

    async def exchange(transport: AbstractAsyncContextManager[Send]) -> list[Response]:
        async with transport as send:
            return [await send(request) for request in (stopped, whole)]

    with mock("llm-annotation", speed=4.0) as server:
        transports: list[AbstractAsyncContextManager[Send]] = [
            kind(server.url) for kind in (HttpTransport, LeanTransport, BlockingTransport)
        ]
        for number, transport in enumerate(transports, 1):
            cut, full = asyncio.run(exchange(transport))
            assert (cut.outcome, cut.status, len(cut.chunks)) == (Outcome.cancelled, 200, 5)
            assert full.answers[0].text.startswith(cut.answers[0].text)
            assert len(cut.answers[0].text.split()) == 5
            assert (full.outcome, len(full.chunks)) == (Outcome.ok, 64)
            assert cut.done - cut.sent < full.done - full.sent
            found = counts(server.url)
            assert (found["seen"], found["finished"], found["disconnected"]) == (2 * number, number, number)


def test_a_run_of_sessions_is_valid_and_adds_up(tmp_path: Path) -> None:
    """Blocking and not, from two processes: the same turns, none lost, and the server counts the same exchanges."""
    load = "--turns uniform:2..4 --think uniform:50ms..150ms --users 6 --cancel 0.3 --new-sessions 0.5 --processes 2"
    line = f"run sessions --task chat:stream=true {load} -s threads:workers=4 -s adaptive --server llm-annotation"
    done = paceline(
        *line.split(),
        *["--server-speed", "8", "--no-report", "--no-calibrate", "--out", "run"],
        cwd=tmp_path,
    )
    went_well(done, tmp_path / "run")
    first, second = (case["counts"] for case in result_of(tmp_path / "run")["cases"])
    for case in (first, second):
        assert case["scheduled"] == case["ok"] + case["cancelled"] == case["server_seen"] == case["locust_seen"]
        assert case["cancelled"] == case["stopped"] > 0
    assert [first[name] for name in ("scheduled", "stopped")] == [second[name] for name in ("scheduled", "stopped")]
