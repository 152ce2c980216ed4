"""The same under uvloop, whose loop time has a resolution of a millisecond: stamps come from the precise clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from harness.client.types import Outcome
from tests.http.misbehaving import GOOD, SSE, chunked, head, misbehaving
from tests.http.test_transport_outcomes import STREAMED, TRANSPORTS, Transport, plain, stream

uvloop = pytest.importorskip("uvloop")


async def play(transport: Transport) -> None:
    async with misbehaving() as server, transport(server.url, timeout_s=0.3) as send:
        server.on("/similarity", head() + GOOD)
        server.on("/annotate", SSE + chunked(*STREAMED))
        server.on("/silent", 30.0)
        before = time.monotonic()
        good = await send(plain())
        assert good.outcome is Outcome.ok
        assert before <= good.sent < good.first_byte <= good.done <= time.monotonic()
        streamed = await send(stream())
        assert streamed.answers == ("a b",)
        silent = await send(plain("/silent"))
        assert silent.outcome is Outcome.timed_out
        assert 0.29 <= silent.done - silent.sent <= 0.6
        task = asyncio.ensure_future(send(plain("/silent")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        near = await send(plain("/silent", deadline=time.monotonic() + 0.1))
        assert near.outcome is Outcome.timed_out
        assert near.done - near.sent <= 0.25
        assert (await send(plain())).outcome is Outcome.ok


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_outcomes_stamps_and_cancellation_are_the_same_under_uvloop(transport: Transport) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play(transport))
