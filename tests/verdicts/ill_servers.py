"""A server on the loopback that is ill in one way, in a thread: it refuses, dies, hangs, or answers garbage."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GOOD = json.dumps({"similarity_score": 0.5}).encode()
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
# Seconds that a good answer takes.
SERVICE_S = 0.002

Answer = Callable[[int], bytes | None]
"""The bytes that answer request number n (from 0); None: no answer, for ever. `GoneError` ends the server."""


class GoneError(Exception):
    """The server process is gone: its connections are reset, and new ones are refused."""


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


OK = http("200 OK", GOOD)
REFUSED = http("429 Too Many Requests", b'{"error": "rate limit exceeded"}')


def sick(one_in: int, bad: bytes) -> Answer:
    """These bytes to every n-th request; 0: to none."""
    return lambda n: bad if one_in and n % one_in == 0 else OK


def refuses(one_in: int) -> Answer:
    """429 to every n-th request; 0: to none."""
    return sick(one_in, REFUSED)


def dies(after: int) -> Answer:
    """Answers so many requests, then is gone."""

    def answer(n: int) -> bytes:
        if n >= after:
            raise GoneError
        return OK

    return answer


def hangs(after: int) -> Answer:
    """Answers so many requests, then accepts all and answers none."""
    return lambda n: OK if n < after else None


def says(text: bytes) -> Answer:
    """Always these bytes."""
    return lambda _: text


class IllServer:
    """Serves one `Answer` until `stop`. Counts the work requests that it read."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._numbers = itertools.count()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Listen until it is stopped."""
        self._listener = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        started.set()
        await stop.wait()
        self._die()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        gone = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        try:
            with contextlib.suppress(*gone):
                while True:
                    await self._exchange(reader, writer)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        if head.startswith(b"get ") or b" /debug/" in head.split(b"\r\n")[0]:
            writer.write(http("404 Not Found", b"{}"))
            return
        try:
            answer = self._answer(next(self._numbers))
        except GoneError:
            self._die()
            return
        if answer is None:
            await asyncio.Event().wait()
        await asyncio.sleep(SERVICE_S)
        writer.write(answer or b"")

    def _die(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._listener.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()


@contextmanager
def ill_server(answer: Answer) -> Iterator[str]:
    """Its URL, while the block runs."""
    server, started, stop = IllServer(answer), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(started, stop)))
    thread.start()
    assert started.wait(20)
    try:
        yield server.url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port that nobody listens on. It stays bound, so that no other program takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
