"""A proxy or a server that never finishes the opening of a connection: the time-outs hold, and it can be given up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.proxy import proxy_of
from harness.client.types import Outcome
from tests.http.test_transport_outcomes import plain

WITH_PROXIES: list[type[HttpTransport] | type[BlockingTransport]] = [HttpTransport, BlockingTransport]
DRIP_S = 0.1
SECURE = "https://127.0.0.1:9"


class Dripping:
    """Begins an answer to each connection, then sends a byte of its head every tenth of a second, without end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not writer.is_closing():
                self.asked.set()
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(DRIP_S)

    def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._drip(writer)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)


class Silent(Dripping):
    """Accepts connections and says nothing."""

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        with contextlib.closing(writer):
            await asyncio.sleep(60.0)


@contextlib.asynccontextmanager
async def serving(made: Dripping) -> AsyncIterator[str]:
    """The address, without a scheme."""
    listener = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await made.stop()


@pytest.mark.parametrize("kind", WITH_PROXIES)
@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"timeout_s": 0.5}, "no complete answer within"),
        ({"timeout_s": 30.0, "connect_timeout_s": 0.5}, "no connection within 500 ms"),
    ],
    ids=["whole", "connection"],
)
async def test_a_proxy_that_drips_is_timed_out(
    kind: type[HttpTransport] | type[BlockingTransport], bounds: dict[str, float], words: str
) -> None:
    """Each byte comes in time, the answer does not: the time-out is that of the whole."""
    async with (
        serving(Dripping()) as address,
        kind(SECURE, proxy=proxy_of(f"http://{address}"), **bounds) as send,  # type: ignore[arg-type] # all floats
    ):
        response = await asyncio.wait_for(send(plain()), 20)
    assert response.outcome is Outcome.timed_out, response.error
    assert words in (response.error or "")
    assert 0.45 <= response.done - response.sent < 5.0


@pytest.mark.parametrize("proxied", [True, False], ids=["a proxy that drips", "a handshake without an answer"])
async def test_a_thread_that_opens_a_connection_can_be_given_up(proxied: bool) -> None:
    """Its transport closes at once, although the time-out is far away."""
    made = Dripping() if proxied else Silent()
    async with serving(made) as address:
        target, proxy = (SECURE, proxy_of(f"http://{address}")) if proxied else (f"https://{address}", None)
        async with BlockingTransport(target, timeout_s=50.0, proxy=proxy) as send:
            task = asyncio.ensure_future(send(plain()))
            await asyncio.wait_for(made.asked.wait(), 30)
            # So that the thread waits for an answer.
            await asyncio.sleep(2 * DRIP_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            begun = time.monotonic()
        assert time.monotonic() - begun < 10.0
    assert task.cancelled()
