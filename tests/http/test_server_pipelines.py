"""What comes back on a connection depends on its bytes alone, however they are cut into reads."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.app import create
from mock_server.profile import Profile, Service
from model_server.http.app import App
from model_server.http.bounds import FaceSettings
from model_server.http.serving import Serving
from tests.server_helpers import PAIR, virtually

BODY = json.dumps(PAIR).encode()
GAP_S = 0.02
"""Longer than the service time, so that a gap between two reads lets all answers out."""


class Wire:
    """A transport that keeps what is written, and holds reads back while the server asks for none."""

    def __init__(self, app: App) -> None:
        config = Serving(app).config
        config.load()
        factory: Callable[..., Any] = config.http_protocol_class
        self.protocol = factory(config=config, server_state=Serving(app).server_state, app_state={})
        self.written = b""
        self.closed = False
        self._reading = True
        self._held: list[bytes] = []
        self.protocol.connection_made(self)

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        asyncio.get_running_loop().call_soon(self._read)

    def arrive(self, data: bytes) -> None:
        self._held.append(data)
        self._read()

    def _read(self) -> None:
        while self._held and self._reading and not self.closed:
            self.protocol.data_received(self._held.pop(0))


def conversation(
    reads: list[bytes], gaps: list[bool], bounds: FaceSettings | None = None
) -> tuple[bytes, bool, dict[str, int]]:
    """All that comes back, whether the connection ends, and the counts; in virtual time."""

    async def run() -> tuple[bytes, bool, dict[str, int]]:
        app = create(Profile(service=Service(base_s=0.01)), settings=bounds)
        app.open()
        wire = Wire(app)
        for read, gap in zip(reads, gaps, strict=True):
            wire.arrive(read)
            await asyncio.sleep(GAP_S if gap else 0)
        await asyncio.sleep(1)
        closed, counts = wire.closed, app.counts.total()
        wire.close()
        await asyncio.sleep(0)
        return re.sub(rb"server-timing: [^\r]*", b"server-timing: t", wire.written), closed, counts

    return virtually(run())


def post(fields: bytes, body: bytes, path: bytes = b"/similarity") -> bytes:
    return b"POST %s HTTP/1.1\r\nhost: x\r\n%s\r\n%s" % (path, fields, body)


def sized(body: bytes, more: bytes = b"", path: bytes = b"/similarity") -> bytes:
    return post(b"content-length: %d\r\n%s" % (len(body), more), body, path)


def chunked(body: bytes, trailer: bytes = b"") -> bytes:
    return post(b"transfer-encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer))


GOOD = [
    sized(BODY),
    sized(BODY, b"x-request-id: a\r\n"),
    sized(b'{"text1": 1}'),
    sized(b"{}", path=b"/nowhere"),
    sized(b'{"text1": "%s", "text2": "b"}' % (b"long " * 8_000)),
    chunked(BODY),
    chunked(BODY, b"x-request-id: trailer\r\nx-request-timeout-ms: soon\r\n"),
    sized(BODY, b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
    b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: x:80\r\ncookie: " + b"c" * 20_000 + b"\r\n\r\n",
    b"HEAD /health HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
]
LAST = [
    b"",
    b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: a b\r\n\r\n",
    post(b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    post(b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    b"nonsense\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: x\r\ncookie: " + b"c" * 70_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: a\r\n" % n for n in range(101)) + b"\r\n",
    sized(b"{}", b"connection: upgrade\r\nupgrade: websocket\r\n"),
]


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(GOOD), max_size=4), st.sampled_from(LAST), st.data())
def test_answers_do_not_depend_on_how_the_bytes_are_cut(
    requests: list[bytes], last: bytes, data: st.DataObject
) -> None:
    messages = [message for message in [*requests, last] if message]
    expected = conversation(messages, [True] * len(messages))  # one after another
    places = data.draw(st.lists(st.integers(0, 1 << 18), max_size=8))
    reads = cut(b"".join(messages), places)
    gaps = data.draw(st.lists(st.booleans(), min_size=len(reads), max_size=len(reads)))
    assert conversation(reads, gaps) == expected


@pytest.mark.parametrize("last", LAST[2:], ids=range(len(LAST) - 2))
def test_what_is_refused_for_good_waits_for_the_answers_before_it(last: bytes) -> None:
    answers, closed, counts = conversation([sized(BODY) * 3 + last], [True])
    *before, refusal = statuses(answers)
    assert before == [b"200"] * 3
    assert refusal in (b"400", b"431", b"501")
    assert closed
    assert counts["finished"] == counts["seen"] == 3


def test_every_byte_a_read_of_its_own() -> None:
    messages = [GOOD[1], GOOD[6], GOOD[7], GOOD[8], GOOD[10], LAST[4]]
    whole = b"".join(messages)
    expected = conversation(messages, [True] * len(messages))
    assert conversation([whole[place : place + 1] for place in range(len(whole))], [False] * len(whole)) == expected
    assert conversation([whole], [False]) == expected


def test_a_body_that_breaks_is_answered_in_its_place() -> None:
    broken = post(b"transfer-encoding: chunked\r\n", b"zz\r\n")
    for reads in ([sized(BODY), broken], [sized(BODY) + broken], [sized(BODY) + broken[:-4], broken[-4:]]):
        answers, closed, counts = conversation(reads, [True] * len(reads))
        assert statuses(answers) == [b"200", b"400"]
        assert closed
        assert counts["in_flight"] == 0


def test_trailers_without_end_are_bounded() -> None:
    for lines in (b"".join(b"x-%d: a\r\n" % n for n in range(20_000)), b"x: " + b"a" * 200_000):
        whole = post(b"transfer-encoding: chunked\r\n", b"0\r\n" + lines)
        for size in (1000, len(whole)):
            reads = [whole[place : place + size] for place in range(0, len(whole), size)]
            answers, closed, _ = conversation(reads, [False] * len(reads))
            assert answers.startswith(b"HTTP/1.1 400 ")
            assert closed


def test_a_small_bound_of_the_head_does_not_bound_the_body() -> None:
    """Neither that of one request nor those of several in one read."""
    long = b'{"text1": "%s", "text2": "b"}' % (b"long " * 8_000)
    for whole in (sized(long) * 2, chunked(long) * 2, (sized(BODY) + chunked(long)) * 2):
        for size in (1200, 20_000, len(whole)):
            reads = [whole[place : place + size] for place in range(0, len(whole), size)]
            answers, closed, _ = conversation(reads, [False] * len(reads), FaceSettings(head_max_bytes=120))
            assert set(statuses(answers)) == {b"200"}
            assert not closed
