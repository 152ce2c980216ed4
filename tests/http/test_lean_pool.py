"""The connections of the lean transport: kept, bounded, closed, opened over several addresses, and given up in time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from harness.client.errors import SettingError
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.endpoint import Access
from harness.client.transport.lean import LeanTransport, dial
from harness.client.transport.lean.transport import KEEPALIVE_S
from harness.client.transport.tls import Tls
from harness.client.types import AttemptProgress, Outcome, Response
from tests.http.foreign import served
from tests.http.hostile import END, Hostile, ask, numbered
from tests.http.misbehaving import GOOD, Misbehaving, head, misbehaving
from tests.http.test_connection import send_to
from tests.http.test_lean_hostile import good, score
from tests.http.test_transport_cases import certificate
from tests.http.test_transport_outcomes import plain
from tests.virtual_time import virtually

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
OK, LOST, LATE = Outcome.ok, Outcome.connection_error, Outcome.timed_out


@pytest.fixture
async def server() -> AsyncIterator[Misbehaving]:
    async with misbehaving() as server:
        server.on("/similarity", head() + GOOD)
        yield server


async def after(server: Hostile, *seconds: float) -> int:
    """Connections that were opened for requests with these pauses before each."""
    async with server.transport() as send:
        for index, pause_s in enumerate(seconds):
            await asyncio.sleep(pause_s)
            assert (await send(plain(f"/{index}"))).outcome is OK
    return len(server.wires)


def test_an_idle_connection_is_kept_for_a_while_and_then_closed() -> None:
    """By one timer, without a request that would find it."""
    assert virtually(after(Hostile(lambda index: [good(index)]), 0, KEEPALIVE_S - 0.1, KEEPALIVE_S - 0.1)) == 1
    assert virtually(after(Hostile(lambda index: [good(index)]), 0, KEEPALIVE_S + 0.1)) == 2

    async def idle() -> list[bool]:
        server = Hostile(lambda index: [good(index)])
        async with server.transport() as send:
            await asyncio.gather(*(send(plain(f"/{index}")) for index in range(3)))
            await asyncio.sleep(2.0)
            await send(plain("/3"))
            await asyncio.sleep(KEEPALIVE_S - 1.9)
            return [wire.is_open for wire in server.wires]

    assert sorted(virtually(idle())) == [False, False, True]


def test_connections_are_used_in_turn() -> None:
    """The one that was idle the longest is next: all stay in use, and none is forgotten."""

    async def used() -> list[int]:
        server = Hostile(lambda index: [0.01 * (1 + index), good(index)])
        async with server.transport() as send:
            await asyncio.gather(*(send(plain(f"/{index}")) for index in range(4)))
            order = []
            for index in range(8):
                before = {wire: wire.sent for wire in server.wires}
                await send(plain(f"/{index}"))
                order += [number for number, wire in enumerate(server.wires) if wire.sent > before[wire]]
        return order

    assert virtually(used()) == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_bounded_pool_serves_in_the_order_of_asking() -> None:
    """Never more connections than the bound; who is cancelled while waiting takes no place with it."""

    async def main() -> tuple[list[int], int]:
        server = Hostile(lambda index: [0.1, good(index)])
        done: list[int] = []

        async def one(index: int) -> None:
            assert (await send(plain(f"/{index}"))).answers == (index / 100,)
            done.append(index)

        async with server.transport(connections=2) as send:
            tasks = [asyncio.create_task(one(index)) for index in range(9)]
            await asyncio.sleep(0.05)
            tasks[3].cancel()
            tasks[0].cancel()
            await asyncio.sleep(0.001)
            assert sum(wire.is_open for wire in server.wires) <= 2
            await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(wire.is_open for wire in server.wires) == 2
            return done, len(server.wires)

    assert virtually(main()) == ([1, 2, 4, 5, 6, 7, 8], 3)


def test_a_bounded_pool_goes_on_after_connections_that_could_not_be_opened() -> None:
    """A failed or closed connection gives its place to the next in line."""

    async def main() -> list[str]:
        server = Hostile(lambda index: [good(index), END] if index % 2 else [good(index)])
        inner, tries = server.open, 0

        async def fails_first(make: Any) -> Any:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0.01)
            if tries <= 3:
                raise ConnectionRefusedError(111, "Connection refused")
            return await inner(make)

        server.open = fails_first  # type: ignore[method-assign]
        async with server.transport(connections=1) as send:
            responses = await asyncio.gather(*(send(plain(f"/{index}")) for index in range(8)))
        return [response.outcome.name for response in responses]

    assert virtually(main()) == ["connection_error"] * 3 + ["ok"] * 5


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("bound", [1, 4])
def test_a_connection_that_closes_after_its_answer_is_not_handed_over(loop: str, reads: bool, bound: int) -> None:
    """Without `Connection: close`; a full server does not even read the request. No request may be sent twice."""
    answer = head() + GOOD if reads else head("503 Full", 2) + b"{}"

    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reads:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(plain().body))
        writer.write(answer)
        writer.close()

    async def main() -> list[Outcome]:
        listener = await asyncio.start_server(close_after, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with LeanTransport(url, timeout_s=10.0, connections=bound) as send:
            responses = await asyncio.gather(*(send(plain(idempotent=False)) for _ in range(30)))
        listener.close()
        return [response.outcome for response in responses]

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(main()) == [OK if reads else Outcome.rejected] * 30


def test_a_connection_that_ends_in_the_turn_of_its_handing_over_is_replaced() -> None:
    """The end comes while the next caller is being woken: it gets a new connection in the same place."""

    async def main() -> list[Outcome]:
        server = Hostile(lambda index: [good(index), END])
        async with server.transport(connections=1) as send:
            responses = await asyncio.gather(*(send(plain(f"/{n}", idempotent=False)) for n in range(5)))
        assert len(server.wires) == 5
        return [response.outcome for response in responses]

    assert virtually(main()) == [OK] * 5


def test_a_closed_transport_opens_nothing_and_leaves_nobody_waiting() -> None:
    """Exchanges, calls that wait for a connection and calls that open one end with it; later calls are a bug."""

    async def main() -> None:
        server = Hostile(lambda index: [1000.0])
        async with server.transport(connections=1) as send:
            tasks = [asyncio.create_task(send(plain(f"/{index}"))) for index in range(3)]
            await asyncio.sleep(0.1)
        running, *waiting = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(running, Response)
        assert running.outcome is LOST
        assert [type(ended) for ended in waiting] == [asyncio.CancelledError] * 2
        assert [wire.is_open for wire in server.wires] == [False]
        assert asyncio.get_running_loop().time() < 1.0
        with pytest.raises(RuntimeError, match="LeanTransport is closed"):
            await send(plain("/9"))
        assert len(server.wires) == 1
        async with send:
            assert (await send(plain("/9", deadline=0.5))).outcome is LATE

    virtually(main())


@pytest.mark.parametrize("heeds_cancellation", [True, False])
def test_a_connection_that_is_being_opened_when_its_transport_closes_is_not_kept(heeds_cancellation: bool) -> None:
    async def main() -> None:
        server = Hostile(lambda index: [good(index)])
        inner = server.open

        async def slow(make: Any) -> Any:
            try:
                await asyncio.sleep(1000.0 if heeds_cancellation else 0.2)
            except asyncio.CancelledError:
                if heeds_cancellation:
                    raise
            return await inner(make)

        server.open = slow  # type: ignore[method-assign]
        async with server.transport() as send:
            task = asyncio.create_task(send(plain("/0")))
            await asyncio.sleep(0.1)
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if heeds_cancellation:
            assert isinstance(ended, asyncio.CancelledError)
        else:
            assert isinstance(ended, Response)
            assert (ended.outcome, ended.error) == (LOST, "the transport was closed before the exchange was over")
        assert [wire.is_open for wire in server.wires] == [False] * (not heeds_cancellation)
        assert asyncio.get_running_loop().time() < 1.0

    virtually(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_the_next_address_of_a_host_is_tried(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that refuses, and after one that does not answer at all; the name is looked up once."""
    monkeypatch.setattr(dial, "ADDRESS_S", 0.05)
    looked: list[str] = []

    async def main() -> None:
        async with misbehaving() as server:
            server.on("/similarity", head() + GOOD)
            port = int(server.url.rpartition(":")[2])
            running = asyncio.get_running_loop()

            async def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
                looked.append(host)
                return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

            async with LeanTransport(f"http://two.example:{port}", timeout_s=5.0) as send:
                monkeypatch.setattr(send._dial._addresses, "_look_up", _found(getaddrinfo, send._dial._addresses))
                responses = await asyncio.gather(*(send(plain()) for _ in range(3)))
            assert [response.outcome for response in responses] == [OK] * 3, responses[0].error
            assert running is asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert looked == ["two.example"]


def _found(getaddrinfo: Any, addresses: Any) -> Any:
    async def look_up() -> list[str]:
        answers = await getaddrinfo(addresses._host)
        addresses._found = [answer[4][0] for answer in answers]
        addresses._until = float("inf")
        await asyncio.sleep(0.01)
        return list(addresses._found)

    return look_up


async def test_an_address_that_answers_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no other one answers: the queue of a listening socket may be full for a second."""
    monkeypatch.setattr(dial, "ADDRESS_S", 0.02)
    tried: list[str] = []

    async def connected(self: dial.Dial, make: Any, address: str) -> Any:
        tried.append(address)
        if address == "127.0.0.1":
            await asyncio.sleep(0.1)
            return make
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(dial.Dial, "_connected", connected)
    assert await dial.Dial("localhost", 1, None, None).open("made") == "made"  # type: ignore[arg-type, comparison-overlap]
    assert tried == ["127.0.0.1", "::1", "127.0.0.1"]


async def test_a_name_that_is_not_known_is_named() -> None:
    """All requests that wait for the look-up get its outcome."""
    async with LeanTransport("http://no-such-host.invalid:80", timeout_s=20.0) as send:
        responses = await asyncio.gather(*(send(plain()) for _ in range(3)))
    for response in responses:
        assert response.outcome is LOST
        assert "the name no-such-host.invalid cannot be resolved" in (response.error or "")


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_and_unix_sockets_work_on_each_loop(loop: str, tmp_path: Path) -> None:
    """A trusted issuer, an untrusted one, any certificate; a socket path."""
    try:
        key, found = certificate(tmp_path, "localhost")
    except FileNotFoundError:
        pytest.skip("no openssl command")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found, key)

    async def main() -> None:
        async with served(tls=context) as address:
            url = address.replace("127.0.0.1", "localhost")
            trusted = await send_to("lean", Access(url, tls=Tls(ca=str(found))), times=3)
            untrusted = await send_to("lean", Access(url))
            wrong_name = await send_to("lean", Access(address, tls=Tls(ca=str(found))))
        assert trusted.outcome is OK, trusted.error
        assert untrusted.outcome is wrong_name.outcome is LOST
        assert "--ca" in (untrusted.error or "")
        async with served(socket_path=str(tmp_path / "app.sock")) as url:
            assert (await send_to("lean", Access(url))).outcome is OK

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_to_a_request_that_is_not_sent_whole_counts(loop: str) -> None:
    """Over real sockets: the server reads the head of 20 MB, refuses, and closes."""

    async def main() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head("413 Too Large", 2, "Connection: close") + b"{}")
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()

        listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with LeanTransport(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeout_s=10.0) as send:
            request = plain()
            large = type(request)(request.items, request.task, request.path, bytes(20_000_000))
            responses = [await send(large) for _ in range(2)]
        listener.close()
        # The handlers end.
        await asyncio.sleep(0.15)
        assert [response.status for response in responses] == [413, 413], responses[0].error

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_the_time_for_the_first_byte_is_bounded_apart() -> None:
    """On a new and on a kept connection; not once the answer has begun."""

    async def main() -> None:
        slow = {1: [5.0, good(1)], 2: [0.5, good(2)[:-5], 5.0, good(2)[-5:]], 3: [5.0, good(3)]}
        server = Hostile(lambda index: slow.get(index, [good(index)]))
        async with server.transport(first_byte_timeout_s=1.0) as send:
            responses = [await send(plain(f"/{index}")) for index in range(4)]
        assert [response.outcome for response in responses] == [OK, LATE, OK, LATE]
        for late in (responses[1], responses[3]):
            assert late.error == "no first byte of the answer within 1 s"
            assert late.done - late.sent == pytest.approx(1.0, abs=0.01)

    virtually(main())


def test_the_time_for_a_connection_is_bounded_apart() -> None:
    async def main() -> None:
        server = Hostile(lambda index: [good(index)])

        async def never(_: Any) -> Any:
            await asyncio.sleep(1000)

        server.open = never  # type: ignore[method-assign]
        (late,) = await ask(server, numbered(1), connect_timeout_s=0.5)
        assert (late.outcome, late.error) == (LATE, "no connection within 500 ms")
        assert late.done - late.sent == pytest.approx(0.5, abs=0.01)

    virtually(main())
    with pytest.raises(SettingError, match="first_byte_timeout_s=0 must be above 0"):
        LeanTransport("http://h", first_byte_timeout_s=0)


def test_a_server_that_closed_all_idle_connections_costs_one_attempt() -> None:
    """The others are dropped with the first that was found closed; the progress begins again."""

    async def main() -> None:
        closing = False
        server = Hostile(lambda index: [END] if closing and wires == len(server.wires) else [0.01, good(index)])
        async with server.transport() as send:
            await asyncio.gather(*(send(plain(f"/{index}")) for index in range(5)))
            wires, closing = len(server.wires), True
            progress = AttemptProgress()
            response = await send(plain("/7", progress=progress))
            assert (response.answers, response.attempts) == ((0.07,), 2)
            assert progress.sent == response.sent >= response.previous[0].done
            assert sum(wire.is_open for wire in server.wires) == 1

    virtually(main())


def test_many_deadlines_share_a_timer_and_none_is_left() -> None:
    """Each ends its own exchange, within a tick; those that are answered in time are forgotten."""

    async def main() -> None:
        server = Hostile(lambda index: [0.001, good(index)] if index < 50 else [3.0, good(index)])
        async with server.transport() as send:
            await asyncio.gather(*(send(plain(f"/{index}")) for index in range(40)))
            assert len(server.wires) == 40
            timers = len(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined] - of the virtual loop
            now = asyncio.get_running_loop().time()
            late = [now + 1.0 + index / 10_000 for index in range(20)]
            tasks = [asyncio.ensure_future(send(plain(f"/{50 + n}", deadline=at))) for n, at in enumerate(late)]
            tasks += [asyncio.ensure_future(send(plain(f"/{n}", deadline=now + 1.0))) for n in range(20)]
            await asyncio.sleep(0)
            assert len(asyncio.get_running_loop()._scheduled) - timers <= 40 + 4, "one each is the server's"  # type: ignore[attr-defined]
            responses = await asyncio.gather(*tasks)
            assert not any(group for group, _ in send._deadlines._groups.values())
        assert [response.outcome for response in responses] == [LATE] * 20 + [OK] * 20
        for response, at in zip(responses, late, strict=False):
            assert at <= response.done <= at + 0.011

    virtually(main())


def test_a_request_that_cannot_be_written_leaves_its_connection_as_it_was() -> None:
    """A header with a line end: nothing is sent, on a new connection and on a kept one."""

    async def main() -> None:
        server = Hostile(lambda index: [good(index)])
        async with server.transport() as send:
            for kept in (0, 1):
                wrong = await send(plain("/7", headers={"X": "a\r\nY: b"}))
                assert (wrong.outcome, wrong.attempts) == (Outcome.bad_response, 1)
                assert "holds a line end" in (wrong.error or "")
                assert len(server.wires) == kept
                assert (await send(plain("/1"))).answers == (0.01,)
        assert len(server.wires) == 1
        assert len(server.written) == 2

    virtually(main())


@pytest.mark.parametrize("kept", [False, True])
def test_a_connection_is_used_again_after_an_answer_that_the_task_cannot_read(kept: bool) -> None:
    """On a new and on a kept connection; later than just after it, too."""

    async def main() -> None:
        server = Hostile(lambda index: [head(length=4) + b"{no}"] if index == 7 else [good(index)])
        async with server.transport() as send:
            for index in (1,) * kept + (7, 2, 7, 3):
                response = await send(plain(f"/{index}"))
                assert response.outcome is (Outcome.bad_response if index == 7 else OK)
                await asyncio.sleep(1.0)
        assert len(server.wires) == 1

    virtually(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_unix_socket_that_cannot_be_opened_is_named(loop: str, tmp_path: Path) -> None:
    """One that is missing, and one where nobody listens."""
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(left))

    async def error(path: Path) -> str | None:
        async with LeanTransport(f"unix:{path}") as send:
            response = await send(plain())
        assert response.outcome is LOST
        return response.error

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        missing = tmp_path / "no.sock"
        assert runner.run(error(missing)) == f"No such file or directory (Unix socket {missing})"
        assert runner.run(error(left)) == f"Connection refused (Unix socket {left})"


@pytest.mark.parametrize("transport", [LeanTransport, BlockingTransport])
def test_a_target_whose_path_holds_a_blank_is_a_wrong_setting(transport: Callable[[str], object]) -> None:
    """At the start, and not a bad response for each request."""
    with pytest.raises(SettingError, match="the path of the target, '/a b', holds a blank"):
        transport("http://127.0.0.1:9/a b/")


def test_a_deadline_is_kept_on_a_kept_connection() -> None:
    async def main() -> None:
        server = Hostile(lambda index: [good(index)] if index == 0 else [3.0, score(index)])
        async with server.transport() as send:
            await send(plain("/0"))
            late = await send(plain("/1", deadline=1.5))
        assert late.outcome is LATE
        assert late.done == pytest.approx(1.5, abs=0.011)

    virtually(main())
