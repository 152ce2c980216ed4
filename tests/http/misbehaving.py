"""A server on the loopback that answers every POST with the bytes its path asks for, well-behaved or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

GOOD = b'{"similarity_score": 0.5}'
RESET = b"!reset"

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(status: str = "200 OK", length: int | None = len(GOOD), *extra: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *extra]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(*parts: bytes, end: bool = True) -> bytes:
    """A chunked body of these parts."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return body + (b"0\r\n\r\n" if end else b"")


SSE = head("200 OK", None, "Transfer-Encoding: chunked")


class Misbehaving:
    """Answers by script: pieces of bytes, with seconds of silence between them; RESET cuts the connection hard."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[bytes | float]] = {}
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.url = ""
        self.asked = asyncio.Event()
        self.closed_early = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, path: str, *pieces: bytes | float) -> None:
        self.scripts[path] = list(pieces)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._one(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = lines[0].split()[1]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.seen.append((path, headers, body))
        self.asked.set()
        for piece in self.scripts[path]:
            if isinstance(piece, float):
                if await self._quiet(reader, piece):
                    return False
            elif piece is RESET:
                writer.transport.abort()
                return False
            else:
                writer.write(piece)
                await writer.drain()
        return b"close" not in b"".join(p for p in self.scripts[path] if isinstance(p, bytes))

    async def _quiet(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Say nothing; True if the client left meanwhile."""
        try:
            left = await asyncio.wait_for(reader.read(1), seconds)
        except TimeoutError:
            return False
        if left == b"":
            self.closed_early.set()
        return True

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def misbehaving() -> AsyncIterator[Misbehaving]:
    """Serve until the block ends, on a free port."""
    server = Misbehaving()
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await asyncio.sleep(0)
