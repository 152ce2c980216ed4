"""A client in a process of its own: posts texts from stdin to a URL with so many in flight, and prints the seconds.

`python -m tests.bench.feeder URL IN_FLIGHT < texts.json`
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import uvloop


async def feed(url: str, in_flight: int, texts: list[str]) -> float:
    """Seconds from the first request to the last answer."""
    waiting = iter(texts)

    async def consume(session: aiohttp.ClientSession) -> None:
        for text in waiting:
            async with session.post(url, json={"inputs": text}) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status}: {await answer.text()}")
                await answer.read()

    async with aiohttp.ClientSession() as session:
        begun = time.monotonic()
        await asyncio.gather(*[consume(session) for _ in range(in_flight)])
        return time.monotonic() - begun


if __name__ == "__main__":
    print(uvloop.run(feed(sys.argv[1], int(sys.argv[2]), json.load(sys.stdin))))
