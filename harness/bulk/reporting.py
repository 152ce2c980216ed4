"""Reports the state of a session to the terminal and the live page, twice a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from harness.base.clock import clock
from harness.bulk.results import Tell
from harness.bulk.tally import Speed

STATUS_S = 0.5


@asynccontextmanager
async def reporting(tell: Tell, facts: Callable[[], dict[str, Any]]) -> AsyncIterator[None]:
    """Report while the block runs. `facts` gives the present state, with `counts`; the rate is added."""
    task = asyncio.create_task(_report(tell, facts))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _report(tell: Tell, facts: Callable[[], dict[str, Any]]) -> None:
    speed, now = Speed(), clock()
    while True:
        found = facts()
        tell("status", {"rate_per_s": speed.add(now(), found["counts"].settled), **found})
        await asyncio.sleep(STATUS_S)
