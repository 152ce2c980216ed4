"""What happens to connections: faults on the wire, disconnects, stops; and that every exchange is counted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from model_server.http.app import App
from model_server.http.serving import PortError, Serving, bind, raise_file_limit, serve, served, url_of
from tests.server_helpers import PAIR, app_of, null_app, serving

STREAM = {"text": "x", "max_tokens": 10, "stream": True}


def faulty(tmp_path: Path, fault: str, more: str = "") -> App:
    return app_of(tmp_path, f"{more}\n[[faults]]\n{fault}")


async def fetch(client: aiohttp.ClientSession, path: str = "/similarity", body: Any = PAIR) -> tuple[int, bytes]:
    async with client.post(path, json=body) as response:
        return response.status, await response.read()


async def test_a_reset_is_seen_as_one_and_counted(tmp_path: Path) -> None:
    for fault in ("kind = 'reset'\ndelay_s = 0.01", "kind = 'reset'\nwhen = 'after'"):
        app = faulty(tmp_path, fault)
        async with serving(app) as client:
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                await fetch(client)
        assert app.counts.total()["broken"] == app.counts.total()["seen"] == 1


async def test_a_reset_is_rst_and_not_an_orderly_end(tmp_path: Path) -> None:
    async with served(faulty(tmp_path, "kind = 'reset'")) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        body = json.dumps(PAIR).encode()
        writer.write(b"POST /similarity HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_truncated_body_ends_before_its_length(tmp_path: Path) -> None:
    app = faulty(tmp_path, "kind = 'truncated-json'\nfraction = 0.4")
    async with serving(app) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(client)
        assert (await fetch(client, "/annotate", STREAM))[0] == 200
    assert app.counts.total()["broken"] == 1


async def test_malformed_and_wrong_answers_are_status_200(tmp_path: Path) -> None:
    async with serving(faulty(tmp_path, "kind = 'malformed-json'")) as client:
        status, body = await fetch(client)
        assert status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
    expected = {"missing": {}, "null": {"similarity_score": None}, "type": {"similarity_score": {"wrong": True}}}
    for how, answer in expected.items():
        async with serving(faulty(tmp_path, f"kind = 'wrong-answer'\nhow = '{how}'")) as client:
            assert json.loads((await fetch(client))[1]) == answer
            assert json.loads((await fetch(client, "/embed", {"inputs": "a"}))[1])[:1] == (
                [] if how == "missing" else [[None if how == "null" else {"wrong": True}] * 64]
            )


async def test_a_slow_body_comes_whole_but_late(tmp_path: Path) -> None:
    async with serving(faulty(tmp_path, "kind = 'slow-body'\nduration_s = 0.2\npieces = 4")) as client:
        begun = asyncio.get_running_loop().time()
        async with client.post("/similarity", json=PAIR) as response:
            headers_after = asyncio.get_running_loop().time() - begun
            assert json.loads(await response.read()) == {"similarity_score": 0.25}
        assert headers_after < 0.15
        assert asyncio.get_running_loop().time() - begun > 0.19
        assert (await fetch(client, "/annotate", STREAM))[0] == 200


async def test_streams_break_in_each_way(tmp_path: Path) -> None:
    fault = "kind = 'broken-stream'\nafter_events = 2\nhow = "
    async with serving(faulty(tmp_path, fault + "'cut'")) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(client, "/annotate", STREAM)
        assert json.loads((await fetch(client))[1]) == {"similarity_score": 0.25}
    bodies = {}
    for how in ("end", "garbage", "error"):
        app = faulty(tmp_path, f"{fault}'{how}'")
        async with serving(app) as client:
            bodies[how] = (await fetch(client, "/annotate", STREAM))[1]
        assert app.counts.total()["broken"] == 1
        assert app.lane.running == 0
    assert bodies["end"].count(b'"text"') == 2
    assert b"[DONE]" not in bodies["end"] + bodies["error"]
    assert b'data: {"text": \n' in bodies["garbage"]
    assert bodies["garbage"].endswith(b"data: [DONE]\n\n")
    assert b"injected_fault" in bodies["error"]


async def test_an_injected_status_carries_its_retry_after(tmp_path: Path) -> None:
    app = faulty(tmp_path, "kind = 'status'\nstatus = 503\nretry_after_s = 1.4\ndelay_s = 0.01\nroutes = ['/embed']")
    async with serving(app) as client:
        assert (await fetch(client))[0] == 200
        async with client.post("/embed", json={"inputs": "a"}) as response:
            assert (response.status, response.headers["retry-after"], response.headers["retry-after-ms"]) == (
                503,
                "2",
                "1400",
            )
    assert (app.counts.total()["refused"], app.counts.total()["finished"]) == (1, 1)


async def test_every_exchange_is_counted_whatever_becomes_of_it(tmp_path: Path) -> None:
    kinds = ["status", "reset", "truncated-json", "malformed-json", "wrong-answer"]
    faults = "\n".join(f"[[faults]]\nkind = '{kind}'\nprobability = 0.15" for kind in kinds)
    app = app_of(tmp_path, f"[service]\nbase_s = 0.005\n[limits]\nin_flight = 20\n{faults}")
    attempts, seen = 300, []
    async with serving(app) as client:

        async def one(index: int) -> None:
            timeout = aiohttp.ClientTimeout(total=0.003 if index % 10 == 0 else 5)
            try:
                async with client.post("/similarity", json=PAIR, timeout=timeout) as response:
                    await response.read()
                    seen.append(response.status)
            except (aiohttp.ClientError, TimeoutError):
                seen.append(0)

        for start in range(0, attempts, 30):
            await asyncio.gather(*[one(index) for index in range(start, start + 30)])
        await asyncio.sleep(0.05)
        total = app.counts.total()
    assert len(seen) == attempts
    assert total["in_flight"] == 0
    # A client that gives up before its connection is made sent nothing, so `seen` may be short of exactly those.
    assert attempts - seen.count(0) <= total["seen"] <= attempts
    assert total["finished"] + total["broken"] >= seen.count(200)
    assert total["refused"] == seen.count(429)


async def test_a_client_that_hangs_up_is_noticed_at_once(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 30\n[generation]\nttft_base_s = 0.001\nitl_base_s = 0.01")
    async with serving(app) as client:
        with pytest.raises(TimeoutError):
            await client.post("/similarity", json=PAIR, timeout=aiohttp.ClientTimeout(total=0.05))
        async with client.post("/annotate", json={**STREAM, "max_tokens": 1000}) as response:
            await response.content.readline()
        await asyncio.sleep(0.05)
        total = app.counts.total()
        assert (total["seen"], total["disconnected"], total["in_flight"]) == (2, 2, 0)
        assert app.lane.running == 0


async def test_a_body_in_pieces_is_put_together_and_one_without_length_is_bounded() -> None:
    async def pieces(data: bytes, size: int) -> Any:
        for start in range(0, len(data), size):
            yield data[start : start + size]
            await asyncio.sleep(0.002)

    async with serving(null_app(body_max_bytes=20_000)) as client:
        raw = json.dumps(PAIR).encode()
        async with client.post("/similarity", data=pieces(raw, 9)) as response:
            assert (await response.json())["similarity_score"] == 0.25
        async with client.post("/similarity", data=pieces(b" " * 50_000, 10_000)) as response:
            assert response.status == 413
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            await client.post("/similarity", data=pieces(raw, 1), timeout=aiohttp.ClientTimeout(total=0.02))


async def raw_exchange(url: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer


async def test_what_is_not_http_gets_the_one_error_body_too() -> None:
    async with served(null_app()) as url:
        answer = await raw_exchange(url, b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"invalid_http"' in answer


async def test_http_1_0_head_and_pipelined_requests_are_answered() -> None:
    async with served(null_app()) as url:
        assert b"connection: close" in await raw_exchange(url, b"GET /health HTTP/1.0\r\n\r\n")
        head = await raw_exchange(url, b"HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert head.endswith(b"\r\n\r\n")
        two = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        answer = await raw_exchange(url, two)
        assert answer.count(b"200 OK") == 2


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(null_app()) as url:
        from model_server.http.protocol import FaceProtocol

        made: list[FaceProtocol] = []
        connection_made = FaceProtocol.connection_made

        def made_and_kept(self: FaceProtocol, transport: asyncio.Transport) -> None:
            made.append(self)
            connection_made(self, transport)

        monkeypatch.setattr(FaceProtocol, "connection_made", made_and_kept)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"}")
        made[0].timeout_keep_alive_handler()  # too early: it looks again later
        assert not made[0].transport.is_closing()
        made[0].timeout_keep_alive = 0
        made[0].timeout_keep_alive_handler()
        assert await reader.read() == b""
        writer.close()


async def test_a_stop_finishes_what_is_in_flight_and_refuses_what_is_new(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 0.2")
    sock, servings = bind("127.0.0.1", 0), list[Serving]()
    task = asyncio.create_task(serve(app, sock, on_serving=servings.append))
    async with aiohttp.ClientSession(url_of(sock)) as client:
        await asyncio.sleep(0.02)
        running = asyncio.create_task(fetch(client))
        await asyncio.sleep(0.05)
        servings[0].stop()
        async with client.post("/similarity", json=PAIR) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert (await response.json())["error"]["code"] == "server_draining"
        async with client.get("/ready") as response:
            assert response.status == 503
        assert (await running)[0] == 200
        await asyncio.wait_for(task, 30)


async def test_a_stop_lets_go_of_those_it_never_answers_and_a_second_stop_is_final(tmp_path: Path) -> None:
    app = app_of(tmp_path, "[service]\nbase_s = 60\n[limits]\nin_flight = 1\naction = 'ignore'")
    sock, servings = bind("127.0.0.1", 0), list[Serving]()
    task = asyncio.create_task(serve(app, sock, on_serving=servings.append))
    async with aiohttp.ClientSession(url_of(sock)) as client:
        await asyncio.sleep(0.02)
        slow = asyncio.create_task(fetch(client))
        await asyncio.sleep(0.02)
        ignored = asyncio.create_task(fetch(client))
        await asyncio.sleep(0.02)
        servings[0].stop()
        assert (await asyncio.wait_for(ignored, 30))[0] == 429
        servings[0].stop()
        slow.cancel()
        await asyncio.wait_for(task, 30)


def test_a_taken_port_is_reported_in_one_line() -> None:
    sock = bind("127.0.0.1", 0)
    sock.listen()
    port = sock.getsockname()[1]
    try:
        with pytest.raises(PortError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind("127.0.0.1", port)
        with pytest.raises(PortError, match=r"cannot listen on 127\.0\.0\.1:99999"):
            bind("127.0.0.1", 99_999)
    finally:
        sock.close()


def test_the_limit_of_open_files_is_lifted() -> None:
    import resource

    raise_file_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
