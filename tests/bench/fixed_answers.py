"""A server in a process of its own that gives the same bytes to every request: the least that a server can cost.

`python -m tests.bench.fixed_answers [--crowd N] [--hold SECONDS]` prints its port, and serves while its input is open.
A path with `stream` is answered with server-sent events, each written in a turn of the loop of its own, one with
`stream-at-once` with all of them together; one with `slow` only some seconds after N of them have come.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from harness.client.transport.open_files import raise_limit
from harness.experiment.event_loop import new_event_loop

BODY = b'{"similarity_score": 0.5}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: fixed\r\n"
ANSWER = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
EVENTS = 16
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


PIECES = [
    STREAM_HEAD + chunk(b'data: {"text": "a "}\n\n'),
    *[chunk(b'data: {"text": "a "}\n\n')] * (EVENTS - 1),
    chunk(b'data: {"done": true}\n\ndata: [DONE]\n\n') + b"0\r\n\r\n",
]


class Crowd:
    """Answers that are held back until enough of them wait."""

    def __init__(self, size: int, hold_s: float) -> None:
        self.size, self.hold_s = size, hold_s
        self.waiting: list[Callable[[], None]] = []

    def add(self, answer: Callable[[], None]) -> None:
        """Hold this answer back."""
        self.waiting.append(answer)
        if len(self.waiting) >= self.size:
            waiting, self.waiting = self.waiting, []
            for one in waiting:
                asyncio.get_running_loop().call_later(self.hold_s, one)


class Fixed(asyncio.Protocol):
    """One connection; a request ends with its JSON body."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):
            return
        line = data[: data.find(b"\r\n")]
        if b"slow" in line:
            self.crowd.add(lambda: self.answer(line))
        else:
            self.answer(line)

    def answer(self, line: bytes) -> None:
        """The fixed bytes."""
        if b"stream-at-once" in line:
            self.transport.write(b"".join(PIECES))
        elif b"stream" in line:
            self.stream(0)
        else:
            self.transport.write(ANSWER)

    def stream(self, index: int) -> None:
        """One event a turn."""
        if self.transport.is_closing():
            return
        self.transport.write(PIECES[index])
        if index + 1 < len(PIECES):
            self.loop.call_soon(self.stream, index + 1)


@contextlib.contextmanager
def fixed_answers(crowd: int = 1, hold_s: float = 0.0) -> Iterator[tuple[str, psutil.Process]]:
    """Serve from a second process; gives the URL and the process.

    A slow answer waits for `crowd` of them, and `hold_s` more.
    """
    command = [sys.executable, "-m", "tests.bench.fixed_answers", "--crowd", str(crowd), "--hold", str(hold_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


async def _serve(size: int, hold_s: float) -> None:
    raise_limit()
    loop = asyncio.get_running_loop()
    crowd = Crowd(size, hold_s)
    server = await loop.create_server(lambda: Fixed(crowd), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--crowd", type=int, default=1, help="slow answers that wait for each other")
    parser.add_argument("--hold", type=float, default=0.0, help="seconds that they wait after that")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(options.crowd, options.hold))
