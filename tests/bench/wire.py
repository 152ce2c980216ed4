"""A load driver that costs less than the server it measures: raw HTTP over asyncio protocols, closed loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil


@contextlib.contextmanager
def mock(profile: str) -> Iterator[tuple[int, psutil.Process]]:
    """A mock in its own process; gives its port and the process."""
    command = [sys.executable, "-m", "mock_server", "--profile", profile, "--exit-with-stdin"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        yield int(line["url"].rsplit(":", 1)[1]), psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def request(path: str, body: Any) -> bytes:
    """A POST, ready for the wire."""
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Request-Id: bench-1\r\n"
    return f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw


class Caller(asyncio.Protocol):
    """Sends the next request when the answer is complete; `ended(seconds, stamps of the events)` after each."""

    def __init__(self, message: bytes, end: bytes, event: bytes, ended: Callable[[float, list[float]], bool]) -> None:
        self.message, self.end, self.event, self.ended = message, end, event, ended
        self.done = asyncio.get_running_loop().create_future()
        self.data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP is never less
        self.transport = transport
        self.call()

    def call(self) -> None:
        self.data, self.events, self.begun = b"", [], time.monotonic()
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.events += [now] * data.count(self.event)
        self.data = self.data[-16:] + data
        if self.data.endswith(self.end):
            if self.ended(now - self.begun, self.events):
                self.call()
            else:
                self.transport.close()
                self.done.set_result(None)


async def closed_loop(
    port: int,
    message: bytes,
    connections: int,
    seconds: float,
    *,
    end: bytes = b"}",
    event: bytes = b"similarity_score",
    spread_s: float = 0.0,
) -> tuple[list[float], list[list[float]], float]:
    """Latencies, event stamps per request (since its begin), and how long it took."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    stamps: list[list[float]] = []
    begun = loop.time()

    def ended(latency: float, events: list[float]) -> bool:
        latencies.append(latency)
        stamps.append([at - time.monotonic() + latency for at in events])
        return loop.time() < begun + seconds

    callers = []
    for index in range(connections):
        await asyncio.sleep(spread_s / connections if index else 0)
        _, caller = await loop.create_connection(lambda: Caller(message, end, event, ended), "127.0.0.1", port)
        callers.append(caller)
    await asyncio.gather(*[caller.done for caller in callers])
    return latencies, stamps, loop.time() - begun
