"""A server that answers every request with the same bytes: it costs less than any client that is measured with it.

`python -m tests.bench.fixed_server` prints its URL and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import httptools
import uvloop

BODY = b'{"similarity_score":0.5}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Fixed(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP is never less
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(ANSWER)


async def main() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), lambda: os.read(0, 1) or ended.done() or ended.set_result(None))
    server = await loop.create_server(Fixed, sock=sock, backlog=1024)
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    async with server:
        await ended


@contextlib.contextmanager
def fixed_server() -> Iterator[str]:
    """The server in its own process; gives its URL."""
    line = [sys.executable, "-m", "tests.bench.fixed_server"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    uvloop.run(main())
