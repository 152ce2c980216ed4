"""What is not right gets the one error body, the right status and the place where it lies; nothing is logged."""

from __future__ import annotations

import logging
import socket

import pytest

from tests.contract.malformed import NOT_HTTP, WRONGS, Wrong
from tests.contract.servers import Caller, Server, checked_error


def test_the_table_is_as_long_as_promised() -> None:
    assert len(WRONGS) + len(NOT_HTTP) >= 100
    assert len({wrong.what for wrong in WRONGS}) == len(WRONGS)


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.what)
def test_a_bad_request_gets_an_error_with_field_and_reason(
    call: Caller, wrong: Wrong, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"x-request-id": "wrong-1", **wrong.headers}
    with caplog.at_level(logging.ERROR):
        answer = call(wrong.method, wrong.path, wrong.raw, **headers)
    error = checked_error(answer, wrong.status, wrong.code, tei=wrong.tei)
    if wrong.param is not None:
        assert error["param"] == wrong.param
    if wrong.status == 405:
        assert answer.headers["allow"] in ("POST", "GET, HEAD")
    if wrong.status != 431:
        assert answer.headers["x-request-id"] == "wrong-1"
        assert answer.headers["server-timing"].startswith("queue;dur=0.000")
    assert not caplog.records
    assert call.get("/health").status == 200


def whole(server: Server, sent: bytes) -> bytes:
    """All that comes back on a connection until the server closes it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        parts = []
        try:
            connection.sendall(sent)
            while part := connection.recv(65_536):
                parts.append(part)
        except ConnectionError:
            pass  # closed while there was still something to send: what was answered may be lost with it
        return b"".join(parts)


@pytest.mark.parametrize("what", NOT_HTTP)
def test_what_is_not_http_is_answered_and_the_connection_closed(server: Server, what: str) -> None:
    answer = whole(server, NOT_HTTP[what])
    if answer or "without end" not in what:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"431")
        assert body.startswith(b'{"error":{"message":')
        assert b'"type":"invalid_request_error","param":null,"code":"' in body
    server.settle()


def test_a_body_shorter_than_its_length_is_a_client_that_left(server: Server) -> None:
    before = server.app.counts.total()["disconnected"]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /similarity HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    server.settle()
    assert server.app.counts.total()["disconnected"] == before + 1
