"""Deadlines under uvloop: in order, on time, and past ones at once."""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median

import pytest

from mock_server.timers import Timers

uvloop = pytest.importorskip("uvloop", reason="Windows has no uvloop; the loop's own timers are used there")
linux = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")


@linux
def test_timers_fire_in_order_and_not_early() -> None:
    async def main() -> list[float]:
        timers, late, order = Timers(), [], []
        begun = timers.clock()
        for index in (5, 1, 3, 2, 4, 6, 7, 8, 9):
            when = begun + index * 0.0031
            timers.at(when, lambda when, index: (late.append(timers.clock() - when), order.append(index)), when, index)
        await timers.sleep_until(begun + 0.03)
        assert order == sorted(order)
        assert len(order) == 9
        return late

    late = uvloop.run(main())
    assert min(late) > -0.001
    assert median(late) < 0.02


@linux
def test_a_timer_in_the_past_fires_at_once_and_may_set_others() -> None:
    async def main() -> tuple[list[str], float]:
        timers, fired = Timers(), []
        timers.at(-5.0, fired.append, "past")
        timers.at(time.monotonic() + 0.002, lambda: timers.at(0.0, fired.append, "from a callback"))
        begun = time.monotonic()
        await timers.sleep_until(begun + 0.01)
        return fired, time.monotonic() - begun

    fired, seconds = uvloop.run(main())
    assert fired == ["past", "from a callback"]
    assert seconds > 0.009


@linux
def test_a_wait_that_was_given_up_does_no_harm() -> None:
    async def main() -> None:
        timers = Timers()
        waiting = asyncio.create_task(timers.sleep_until(timers.clock() + 0.005))
        await asyncio.sleep(0)
        waiting.cancel()
        await timers.sleep_until(timers.clock() + 0.01)

    uvloop.run(main())


def fail() -> None:
    raise RuntimeError("a callback that fails")


@linux
def test_a_callback_that_fails_does_not_stop_the_others() -> None:
    """All of them are behind one timer: it is set again whatever happens."""

    async def main() -> list[str]:
        timers, fired = Timers(), []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: fired.append("logged"))
        soon = timers.clock() + 0.005
        timers.at(soon, fail)
        timers.at(soon, fired.append, "same instant")
        timers.at(soon + 0.005, fired.append, "later")
        async with asyncio.timeout(30):
            while len(fired) < 3:
                await asyncio.sleep(0.005)
        return fired

    assert uvloop.run(main()) == ["logged", "same instant", "later"]
