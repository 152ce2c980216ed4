"""A server in a process of its own that gives the same bytes to every request: the least that a server can cost.

`python -m tests.bench.fixed_answers [--hold SECONDS]` prints its port and serves until its standard input ends.
A path that holds `stream` is answered with server-sent events, each written in a turn of the loop of its own, or with
`stream-at-once` all together; one that holds `slow` after some seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
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


class Fixed(asyncio.Protocol):
    """One connection; a request ends with its JSON body."""

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):
            return
        line = data[: data.find(b"\r\n")]
        if b"slow" in line:
            self.loop.call_later(self.hold_s, self.answer, line)
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
def fixed_answers(hold_s: float = 5.0) -> Iterator[tuple[str, psutil.Process]]:
    """Serve from a second process; gives the URL and the process. `hold_s` is the time of a slow answer."""
    command = [sys.executable, "-m", "tests.bench.fixed_answers", "--hold", str(hold_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


async def _serve(hold_s: float) -> None:
    raise_limit()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Fixed(hold_s), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hold", type=float, default=5.0, help="seconds of a slow answer")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(options.hold))
