"""What only the blocking transport has: threads of its own, and a way without asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from harness.client.errors import SettingError
from harness.client.transport import blocking
from harness.client.transport.blocking import BlockingTransport
from harness.client.types import Outcome
from tests.http.misbehaving import GOOD, SSE, Misbehaving, chunked, head, misbehaving
from tests.http.test_transport_outcomes import plain, stream


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    async with misbehaving() as server:
        yield server


def named_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("paceline-exchange")]


async def test_so_many_exchanges_at_once_as_threads(server: Misbehaving) -> None:
    """Eight exchanges of 0.1 s on four threads take two rounds, on four connections."""
    server.on("/similarity", 0.1, head() + GOOD)
    async with BlockingTransport(server.url, threads=4) as send:
        begun = time.monotonic()
        responses = await asyncio.gather(*(send(plain()) for _ in range(8)))
        took_s = time.monotonic() - begun
        assert len(named_threads()) == 4
    assert [response.outcome for response in responses] == [Outcome.ok] * 8
    assert 0.19 <= took_s < 0.8, "one after another it would be 0.8 s"
    assert server.connections == 4
    assert sorted(response.sent for response in responses)[4] - begun >= 0.09, "sent is when the thread begins"
    assert named_threads() == []


async def test_closing_gives_up_what_is_in_flight(server: Misbehaving) -> None:
    """No thread outlives its transport, however long the server would still be silent."""
    server.on("/similarity", 30.0)
    async with BlockingTransport(server.url, threads=2) as send:
        tasks = [asyncio.ensure_future(send(plain())) for _ in range(3)]
        await asyncio.wait_for(server.asked.wait(), 30)
        begun = time.monotonic()
    assert time.monotonic() - begun < 10, "the server would be silent for 30 s"
    assert named_threads() == []
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) or one.outcome is not Outcome.ok for one in done)


async def test_a_cancelled_thread_is_free_at_once(server: Misbehaving) -> None:
    """With one thread, the next exchange does not wait for the one that was given up, nor does one given up in line."""
    server.on("/similarity", 30.0)
    server.on("/good", head() + GOOD)
    async with BlockingTransport(server.url) as send:
        first = asyncio.ensure_future(send(plain()))
        await asyncio.wait_for(server.asked.wait(), 30)
        in_line = asyncio.ensure_future(send(plain()))
        await asyncio.sleep(0)
        in_line.cancel()
        first.cancel()
        await asyncio.gather(first, in_line, return_exceptions=True)
        response = await asyncio.wait_for(send(plain("/good")), 20)
    assert response.outcome is Outcome.ok
    assert len(server.seen) == 2


async def test_given_up_before_it_began_is_not_sent(server: Misbehaving) -> None:
    """Closed between its call and its thread: nothing reaches the server."""

    class Late(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            args[0].abort()
            return super().submit(fn, *args, **kwargs)

    async with BlockingTransport(server.url, executor=Late(1)) as send:
        response = await send(plain())
    assert response.outcome is Outcome.not_sent
    assert response.attempts == 0
    assert server.seen == []


async def test_threads_of_another_kind_are_taken_over(server: Misbehaving) -> None:
    """The executor given does the work and is shut down with the transport."""
    server.on("/similarity", head() + GOOD)
    executor = ThreadPoolExecutor(1, thread_name_prefix="mine")
    async with BlockingTransport(server.url, executor=executor) as send:
        assert (await send(plain())).outcome is Outcome.ok
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(print)


async def test_works_without_asyncio(server: Misbehaving) -> None:
    """`exchange` blocks its own thread, and closing twice is fine."""
    server.on("/similarity", head() + GOOD)
    server.on("/annotate", SSE + chunked(b'data: {"text": "a"}\n\ndata: [DONE]\n\n'))

    def plainly() -> list[Any]:
        transport = BlockingTransport(server.url)
        answers = [transport.exchange(plain()).answers, transport.exchange(stream()).answers]
        transport.close()
        transport.close()
        return answers

    assert await asyncio.to_thread(plainly) == [(0.5,), ("a",)]
    assert server.connections == 1


async def test_a_connection_the_server_closed_is_not_used_again(server: Misbehaving) -> None:
    """`Connection: close`, a close without a word, and one kept too long: each time a new connection."""
    server.on("/similarity", head("200 OK", len(GOOD), "Connection: close") + GOOD)
    server.on("/quiet", head("200 OK", len(GOOD), "X: close") + GOOD)
    server.on("/kept", head() + GOOD)
    async with BlockingTransport(server.url) as send:
        for path in ("/similarity", "/quiet", "/kept"):
            assert (await send(plain(path))).outcome is Outcome.ok
            await asyncio.sleep(0.02)
        ((thread, (since, connection)),) = send._idle.items()
        send._idle[thread] = (since - blocking.KEEPALIVE_S, connection)
        assert (await send(plain("/kept"))).outcome is Outcome.ok
    assert server.connections == 4


async def test_an_answer_without_end_is_refused(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the client is not the server's to fill."""
    monkeypatch.setattr(blocking, "BODY_MAX", 10)
    server.on("/similarity", head() + GOOD)
    async with BlockingTransport(server.url) as send:
        response = await send(plain())
    assert response.outcome is Outcome.bad_response
    assert "more than 10 bytes" in (response.error or "")


def test_settings_are_named() -> None:
    """Value and range in the message; TLS is set up without a connection."""
    with pytest.raises(SettingError, match=r"threads=0 .* between 1 and 10000"):
        BlockingTransport("http://127.0.0.1:1", threads=0)
    BlockingTransport("https://127.0.0.1:1").close()


async def test_tls_against_a_plain_server_is_an_outcome(server: Misbehaving) -> None:
    """A handshake that fails is a connection error."""
    async with BlockingTransport(server.url.replace("http:", "https:"), timeout_s=0.3) as send:
        response = await send(plain())
    assert response.outcome in {Outcome.connection_error, Outcome.timed_out}
