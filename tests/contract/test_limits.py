"""Bounds, deadlines, hang-ups, keys, failures and stops: the same on both servers."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import Serve
from tests.contract.servers import Caller, Server, checked_error, wait_until

PAIR = {"text1": "a small cat", "text2": "the cat"}
STORY = {"text": "tell me", "max_tokens": 5}
STREAM = {**STORY, "stream": True}


WORK = [
    ("/similarity", PAIR),
    ("/annotate", STORY),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
]


@pytest.mark.parametrize(("path", "body"), WORK)
def test_a_deadline_is_kept_in_the_queue_whatever_holds_it_up(crowd: Any, path: str, body: Any) -> None:
    with crowd() as many:
        first = many.send(path, body)
        many.held(1)
        begun = time.monotonic()
        late = many.send(path, body, X_Request_Timeout_Ms="150").result(60)
        checked_error(late, 504, "deadline_exceeded")
        assert time.monotonic() - begun >= 0.149
        assert not first.done()
        many.open_gate()
        assert first.result(60).status == 200


@pytest.mark.parametrize(("path", "body"), WORK)
def test_a_full_queue_refuses_with_a_time_to_come_back_and_takes_more_when_it_has_room(
    crowd: Any, path: str, body: Any
) -> None:
    with crowd(queue_max=1) as many:
        first = many.send(path, body)
        many.held(1)
        second = many.send(path, body)
        many.queued(1)
        error = checked_error(many.send(path, body).result(60), 503, "server_full")
        assert error["type"] == "overloaded_error"
        many.open_gate()
        assert [first.result(60).status, second.result(60).status] == [200, 200]
        assert many.send(path, body).result(60).status == 200


def test_a_full_server_tells_tei_clients_in_their_own_words(crowd: Any) -> None:
    with crowd(queue_max=1) as many:
        first = many.send("/embed", {"inputs": "a"})
        many.held(1)
        answer = many.send("/embed", {"inputs": ["b"] * 2}).result(60)
        checked_error(answer, 503, "server_full", tei=True)
        assert answer.json["error_type"] == "Overloaded"
        many.open_gate()
        assert first.result(60).status == 200


def hang_up(server: Server, path: str, body: bytes, when: Callable[[], None]) -> None:
    """Send, wait for `when`, and close the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        when()


def test_what_a_client_left_behind_in_the_queue_is_never_computed(crowd: Any) -> None:
    with crowd() as many:
        app = many.server.app
        before = app.dispatcher.batches, app.dispatcher.dropped, app.counts.total()["disconnected"]
        first = many.send("/similarity", PAIR)
        many.held(1)
        hang_up(many.server, "/embed", b'{"inputs": ["a", "b", "c"]}', lambda: many.queued(3))
        many.queued(0)
        many.open_gate()
        assert first.result(60).status == 200
        many.server.settle()
        after = app.dispatcher.batches, app.dispatcher.dropped, app.counts.total()["disconnected"]
        assert [new - old for new, old in zip(after, before, strict=True)] == [1, 3, 1]


def test_a_generation_whose_client_left_frees_its_slot(crowd: Any) -> None:
    with crowd() as many:
        first = many.send("/annotate", STORY)
        many.held(1)
        hang_up(many.server, "/annotate", b'{"text": "x", "stream": true}', lambda: many.queued(1))
        many.queued(0)
        many.open_gate()
        assert first.result(60).status == 200
        many.close_gate()
        hang_up(many.server, "/annotate", b'{"text": "x", "max_tokens": 64}', lambda: many.held(1))
        many.open_gate()
        wait_until(lambda: many.server.app.lane.running == 0)
        assert many.send("/annotate", STORY).result(60).status == 200


def test_a_stop_refuses_what_is_new_and_cuts_nothing_that_runs(crowd: Any) -> None:
    with crowd(name="stopped", running_max=4) as many:
        app = many.server.app
        running = [many.send("/similarity", PAIR), many.send("/annotate", STORY), many.send("/annotate", STREAM)]
        many.held(3)
        waiting = many.send("/similarity", PAIR)
        many.queued(1)
        many.on_loop(app.drain)
        for path, body in WORK:
            checked_error(many.send(path, body).result(60), 503, "server_draining")
        refused = many.send("/embed", {"inputs": "a"}).result(60)
        checked_error(refused, 503, "server_draining", tei=True)
        assert refused.json["error_type"] == "Unhealthy"
        caller = Caller(many.server)
        assert [caller.get("/ready").status, caller.get("/health").status] == [503, 200]
        caller.close()
        assert not app.idle.is_set()
        many.open_gate()
        assert [answer.result(60).status for answer in [*running, waiting]] == [200] * 4
        assert running[2].result().events[-1]["done"]
        wait_until(app.idle.is_set)


def test_a_model_that_fails_is_500_or_424_and_in_a_stream_an_event(
    crowd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with crowd(name="failing") as many:
        many.server.app.engine.failing = True
        checked_error(many.send("/similarity", PAIR).result(60), 500, "internal_error")
        tei = many.send("/embed", {"inputs": "a"}).result(60)
        checked_error(tei, 424, "internal_error", tei=True)
        assert "memory" not in tei.json["error"]["message"]
        assert tei.json["error_type"] == "Backend"
        checked_error(many.send("/annotate", STORY).result(60), 500, "generation_failed")
        for path, body in [("/annotate", STREAM), ("/v1/completions", {"prompt": ["a", "b"], "stream": True})]:
            stream = many.send(path, body).result(60)
            assert stream.status == 200
            *events, last, end = stream.body.decode().split("\n\n")
            assert (len(events), end) == (2 if path == "/annotate" else len(events), "")
            assert re.fullmatch(r'data: {"error":{"message":"generation failed".*"code":"generation_failed"}}', last)
        many.server.settle()
        total = many.server.app.counts.total()
        assert (total["failed"], total["finished"]) == (5, 0)
    assert {record.message.split()[0] for record in caplog.records} == {"unexpected"}


def test_a_server_that_is_not_warm_yet_is_up_but_takes_no_work(crowd: Any) -> None:
    with crowd(name="starting") as many:
        many.server.app.engine.starting = True
        for path, body in WORK:
            checked_error(many.send(path, body).result(60), 503, "server_starting")
        caller = Caller(many.server)
        assert caller.get("/health").status == 200
        checked_error(caller.get("/ready"), 503, "server_starting")
        many.server.app.engine.starting = False
        many.open_gate()
        assert caller.get("/ready").status == 200
        assert many.send(*WORK[0]).result(60).status == 200
        caller.close()


def test_a_key_is_asked_of_everyone_but_those_who_look_after_the_server(serve: Serve) -> None:
    call = Caller(serve(api_key="secret"))
    for path, body in WORK:
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            answer = call.post(path, body, **wrong)
            assert checked_error(answer, 401, "invalid_api_key")["type"] == "authentication_error"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert call.post(path, body, Authorization="Bearer secret").status == 200
    assert call.get("/v1/models").status == 401
    for path in ("/health", "/ready", "/metrics", "/debug/counts", "/debug/batches", "/openapi.json"):
        assert call.get(path).status == 200
    call.close()


def test_a_body_that_does_not_arrive_in_time_is_408_and_the_connection_closed(serve: Serve) -> None:
    server = serve(body_timeout_s=0.1)
    for sent in (b"", b'{"text1":'):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"POST /similarity HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n" + sent)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close" in head
        assert b'"code":"body_timeout"' in body
    server.settle()


def test_a_client_that_offers_http_2_is_answered_in_http_1(call: Caller) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    for text in ("a dog", "a dog with upgrade: h2c\r\nupgrade: h2c\r\n\r\n"):
        body = {"text1": "a dog", "text2": text}
        answer = call("POST", "/similarity", body, **offer)
        assert (answer.status, answer.json) == (200, call.post("/similarity", body).json)


def test_a_body_in_chunks_counts_against_the_bound_as_it_comes(serve: Serve) -> None:
    server = serve(body_max_bytes=10_000)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /similarity HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(11):
            connection.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("path", "body"), [*WORK, ("/embed", {"inputs": ["a", "b"]})])
def test_every_answer_says_where_its_time_went_and_whose_it_is(call: Caller, path: str, body: Any) -> None:
    answer = call.post(path, body, X_Request_Id="mine-7")
    assert answer.headers["x-request-id"] == "mine-7"
    number = r"\d+\.\d{3}"
    pattern = rf'queue;dur={number}, batch;dur={number};desc="n=(\d+);pad=(\d+);tok=(\d+)", compute;dur={number}'
    timing = re.fullmatch(pattern, answer.headers["server-timing"])
    assert timing is not None
    items, length, tokens = map(int, timing.groups())
    assert 1 <= items <= 4
    assert tokens >= 1
    assert length >= 1
    streamed = call.post(path, {**body, "stream": True}, X_Request_Id="mine-8")
    assert streamed.headers["x-request-id"] == "mine-8"
    assert re.fullmatch(pattern, streamed.headers["server-timing"])
