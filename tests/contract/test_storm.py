"""A storm of requests, deadlines, refusals and hang-ups at any moment: afterwards nothing is held and all adds up."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random

from tests.contract.conftest import Serve
from tests.contract.servers import Server, wait_until


class Visitor:
    """One connection after another, with requests of all kinds, some of them left in the lurch."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._rng = Random(seed)
        self.statuses: list[int] = []
        self.left = 0

    async def run(self, requests: int) -> None:
        while requests > 0:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while requests > 0:
                    requests -= 1
                    writer.write(self._request())
                    if self._rng.random() < 0.15:
                        await asyncio.sleep(self._rng.random() * 0.01)
                        self.left += 1
                        writer.transport.abort()
                        break
                    await self._answer(reader)
            writer.close()

    def _request(self) -> bytes:
        rng = self._rng
        bodies = {
            "/similarity": {"text1": "a small cat", "text2": f"number {rng.randrange(1000)}"},
            "/embed": {"inputs": ["word " * rng.randint(1, 40)] * rng.randint(1, 12)},
            "/annotate": {"text": "tell me", "max_tokens": rng.randint(1, 20), "stream": rng.random() < 0.5},
            "/v1/completions": {"prompt": ["a", "b", "c"], "max_tokens": 4, "stream": rng.random() < 0.5},
        }
        path = rng.choice(sorted(bodies))
        raw = json.dumps(bodies[path]).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n"
        if rng.random() < 0.3:
            head += f"x-request-timeout-ms: {rng.randint(1, 30)}\r\n"
        return f"{head}\r\n".encode() + raw

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.statuses.append(int(head.split()[1]))
        if b"content-length: " in head:
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            return
        while (size := int(await reader.readline() or b"0", 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()


async def test_after_a_storm_nothing_is_held_and_all_adds_up(serve: Serve) -> None:
    server = serve(name="storm", workers=1, queue_max=40, running_max=2)
    app = server.app
    visitors = [Visitor(server, seed) for seed in range(24)]
    await asyncio.gather(*[visitor.run(12) for visitor in visitors])
    await asyncio.to_thread(wait_until, lambda: not (app.in_flight or app.dispatcher.in_flight or app.lane.running))
    total = app.counts.total()
    statuses = [status for visitor in visitors for status in visitor.statuses]
    left = sum(visitor.left for visitor in visitors)
    assert len(statuses) + left == 24 * 12
    assert set(statuses) <= {200, 503, 504}
    assert len(statuses) <= total["seen"] <= 24 * 12
    assert statuses.count(503) <= total["refused"] <= statuses.count(503) + left
    assert total["disconnected"] <= left
    assert total["seen"] == sum(total.values()) - total["seen"]
    book = app.dispatcher.admission
    assert (app.dispatcher.waiting, book.waiting, book.tokens) == (0, 0, 0)
    assert app.lane.waiting == 0
