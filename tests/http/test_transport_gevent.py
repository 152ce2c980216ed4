"""The blocking transport on real threads of a process that gevent has patched, as under Locust."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.http.misbehaving import GOOD, head, misbehaving

SCRIPT = """
from gevent import monkey; monkey.patch_all()
import asyncio, sys, time
import gevent
from harness.client import BlockingTransport, Item, Request, Similarity
from scenarios.locust_bridge.real_threads import NativeExecutor, start_thread

async def main(url):
    task = Similarity()
    request = task.request([Item(0, task.parse({"text1": "a", "text2": "b"}), task)])
    silent = Request(request.items, task, "/silent", b"")
    async with BlockingTransport(url, threads=4, timeout_s=0.3, executor=NativeExecutor(4)) as send:
        good = [r.outcome.name for _ in range(5) for r in await asyncio.gather(*(send(request) for _ in range(8)))]
        late = (await send(silent)).outcome.name
    async with BlockingTransport(url, threads=4, timeout_s=60.0, executor=NativeExecutor(4)) as send:
        begun = time.monotonic()
        tasks = [asyncio.ensure_future(send(silent)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        after = [r.outcome.name for r in await asyncio.gather(*(send(request) for _ in range(4)))]
        print(sorted(set(good)), len(good), late, sorted(set(after)), time.monotonic() - begun < 30, flush=True)

over = []
def body():
    try:
        asyncio.new_event_loop().run_until_complete(main(sys.argv[1]))
    finally:
        over.append(True)

start_thread(body)
while not over:
    gevent.sleep(0.01)
"""


@pytest.mark.slow
async def test_outcomes_time_outs_and_cancellation_on_native_threads_under_gevent() -> None:
    """A patched socket serves only the thread that made it; no connection wanders from one to another."""
    async with misbehaving() as server:
        server.on("/similarity", head() + GOOD)
        server.on("/silent", 30.0)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, server.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert out.decode().strip() == "['ok'] 40 timed_out ['ok'] True", err.decode()
