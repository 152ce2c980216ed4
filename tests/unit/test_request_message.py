"""Requests as they go over the wire."""

from __future__ import annotations

import msgspec
import pytest

from harness.client.transport.request_message import HEADS_MAX, RequestMessage, common_headers
from harness.client.types import Request
from tests.http.test_transport_outcomes import plain

FIXED = {"Host": "h:1", "X": "y"}


def lines(message: bytes) -> list[bytes]:
    return message.partition(b"\r\n\r\n")[0].split(b"\r\n")


def of(path: str = "/p", **changes: object) -> Request:
    return msgspec.structs.replace(plain(path), **changes)


def test_a_head_is_that_of_its_route_method_and_length() -> None:
    """However often, in whatever order, and beyond the number of heads that are kept."""
    message = RequestMessage("/v1", FIXED)
    for _ in range(2):
        for index in range(HEADS_MAX + 50):
            path, body = f"/v1/{index}", b"x" * (index % 7)
            for method in ("POST", "GET"):
                whole = message.of(of(path, method=method, body=body))
                first, *others = lines(whole)
                assert first == f"{method} {path} HTTP/1.1".encode()
                length = [f"Content-Length: {len(body)}".encode()] if body or method == "POST" else []
                assert others == [b"Host: h:1", b"X: y", *length]
                assert whole.endswith(b"\r\n\r\n" + body)


def test_headers_of_a_request_win_and_stay_its_own() -> None:
    message = RequestMessage("", FIXED)
    own = message.of(of(headers={"x": "z", "Y": "1"}))
    assert lines(own)[1:4] == [b"Host: h:1", b"x: z", b"Y: 1"]
    assert lines(message.of(of()))[1:3] == [b"Host: h:1", b"X: y"]


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: 1", "/a\n", "/\0"])
def test_a_path_cannot_end_its_line(path: str) -> None:
    with pytest.raises(ValueError, match="holds a blank, a line end or a NUL"):
        RequestMessage("", FIXED).of(of(path))


def test_a_name_beyond_ascii_is_sent_as_it_is_looked_up() -> None:
    assert common_headers("bücher.example:8080")["Host"] == "xn--bcher-kva.example:8080"
    assert common_headers("[::1]:80")["Host"] == "[::1]:80"
