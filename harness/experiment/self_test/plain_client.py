"""A client that only sends the same bytes again and counts answers, to find the mock's own ceiling.

It makes no request objects, parses no answer but the first, and records nothing, so it needs a fraction of the CPU time
of a real client. Its own CPU time for a request is part of the result, to show that.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

BODY = b'{"text1":"The parcel came late.","text2":"My parcel was not on time."}'
END = b"\r\n\r\n"
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PlainRate:
    """The mock's rate, and the client's own CPU time for a request in microseconds."""

    rate_per_s: float
    client_cpu_us: float


def request_bytes(host: str) -> bytes:
    """One request of the similarity task."""
    head = f"POST /similarity HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
    return head.encode() + END + BODY


def plain_rate(url: str, requests: int = 20_000, connections: int = 32) -> PlainRate | None:
    """Requests per second over `connections` connections, each with one request at a time; None if the mock fails."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    request = request_bytes(parts.netloc)
    sockets = list[socket.socket]()
    try:
        with selectors.DefaultSelector() as selector:
            for _ in range(connections):
                sockets.append(socket.create_connection(address, TIMEOUT_S))
                selector.register(sockets[-1], selectors.EVENT_READ, sockets[-1])
            length = _answer_length(sockets[0], request)
            cpu_s, began_s = time.thread_time(), time.perf_counter()
            if length is None or not _exchange(selector, sockets, request, length, requests):
                return None
            took_s, cpu_s = time.perf_counter() - began_s, time.thread_time() - cpu_s
    except OSError:
        return None
    finally:
        for one in sockets:
            one.close()
    return PlainRate(requests / took_s, cpu_s / requests * 1e6)


def _answer_length(connection: socket.socket, request: bytes) -> int | None:
    """Bytes of one whole answer; None if it is no success."""
    connection.sendall(request)
    data = b""
    while END not in data:
        if not (part := connection.recv(65536)):
            return None
        data += part
    head, _, _ = data.partition(END)
    if not head.startswith(b"HTTP/1.1 200"):
        return None
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if not lengths:
        return None
    whole = len(head) + len(END) + int(lengths[0])
    while len(data) < whole:
        if not (part := connection.recv(65536)):
            return None
        data += part
    return whole


def _exchange(
    selector: selectors.BaseSelector, sockets: list[socket.socket], request: bytes, length: int, requests: int
) -> bool:
    """Send and count until `requests` answers of this length came; false if the server fails."""
    left = dict.fromkeys(sockets, length)
    sent = answered = 0
    for connection in sockets[:requests]:
        connection.sendall(request)
        sent += 1
    while answered < requests:
        ready = selector.select(TIMEOUT_S)
        if not ready:
            return False
        for key, _ in ready:
            one = key.data
            data = one.recv(length)
            if not data or (left[one] == length and not data.startswith(b"HTTP/1.1 200")):
                return False
            left[one] -= len(data)
            if left[one]:
                continue
            left[one], answered = length, answered + 1
            if sent < requests:
                one.sendall(request)
                sent += 1
    return True
