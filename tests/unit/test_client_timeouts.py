"""One timer for every request of a transport: each runs out at its own time, and not one that is over."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from harness.client.transport.attempt import Timeouts
from tests.virtual_time import virtually


async def exchange(timeouts: Timeouts, takes_s: float) -> tuple[str, float]:
    """As a transport does it: what became of it, and when."""
    loop = asyncio.get_running_loop()
    watch = timeouts.begin(loop.time())
    try:
        await asyncio.sleep(takes_s)
    except asyncio.CancelledError:
        assert watch.expired
        return "timed out", loop.time()
    finally:
        timeouts.end(watch)
    return "ok", loop.time()


def test_each_request_has_its_own_time() -> None:
    """Begun at 0, 0.4 and 0.8 and allowed one second: the slow ones end at 1.0 and 1.8, the quick one is left alone."""

    async def main() -> None:
        timeouts = Timeouts(1.0)
        tasks = []
        for takes_s in (5.0, 0.9, 5.0):
            tasks.append(asyncio.create_task(exchange(timeouts, takes_s)))
            await asyncio.sleep(0.4)
        ends = await asyncio.gather(*tasks)
        assert [what for what, _ in ends] == ["timed out", "ok", "timed out"]
        assert [when for _, when in ends] == pytest.approx([1.0, 1.3, 1.8], abs=0.002)

    virtually(main())


def test_thousands_in_flight_share_one_timer() -> None:
    """And it sleeps when nobody is watched."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        timeouts = Timeouts(30.0)
        tasks = [asyncio.create_task(exchange(timeouts, 100.0)) for _ in range(1000)]
        await asyncio.sleep(1.0)
        assert timeouts.timer is not None
        assert sum(timer is not timeouts.timer for timer in loop._scheduled) == 1000  # type: ignore[attr-defined] # their sleeps
        assert {what for what, _ in await asyncio.gather(*tasks)} == {"timed out"}
        assert timeouts.timer is None
        assert (await exchange(timeouts, 1.0))[0] == "ok"  # wakes it again
        assert (await exchange(timeouts, 40.0))[0] == "timed out"

    virtually(main())


def test_one_that_does_not_obey_is_cancelled_once() -> None:
    """Between its time-out and its end it is still watched, and not cancelled again."""

    async def main() -> None:
        timeouts, expired = Timeouts(1.0), 0

        async def stubborn() -> None:
            nonlocal expired
            watch = timeouts.begin(asyncio.get_running_loop().time())
            for _ in range(3):
                try:
                    await asyncio.sleep(2.0)
                except asyncio.CancelledError:
                    expired += 1
            timeouts.end(watch)

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0.5)
        assert (await exchange(timeouts, 5.0))[0] == "timed out"
        await task
        assert expired == 1

    virtually(main())


def test_closed_it_rings_no_more() -> None:
    async def main() -> None:
        timeouts = Timeouts(1.0)
        timeouts.close()
        task = asyncio.create_task(exchange(timeouts, 3.0))
        await asyncio.sleep(0.5)
        timeouts.close()
        assert (await task)[0] == "ok"

    virtually(main())


def test_a_watch_that_expires_twice_cancels_once() -> None:
    """A deadline and a time-out can end in one turn of the loop; the second one must not cancel the worker as well."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        timeouts = Timeouts(1.0)
        task = asyncio.current_task()
        assert task is not None
        watch = timeouts.begin(loop.time())
        loop.call_soon(watch.expire)
        loop.call_soon(watch.expire)
        try:
            await asyncio.sleep(5.0)
        except asyncio.CancelledError:
            return task.uncancel()
        finally:
            timeouts.end(watch)
            timeouts.close()
        raise AssertionError("it was not cancelled at all")

    assert virtually(main()) == 0  # cancellations that nobody took back


def test_the_timer_rings_once_at_an_instant_of_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever rounding does: one that rings too early by less than the clock can show would ring for ever."""
    rings: list[float] = []
    ring = Timeouts._ring

    def counted(timeouts: Timeouts) -> None:
        rings.append(asyncio.get_running_loop().time())
        if len(rings) < 10_000:
            ring(timeouts)

    async def main() -> None:
        random = Random(1)
        timeouts = Timeouts(0.4)
        tasks = []
        for _ in range(2_000):
            tasks.append(asyncio.create_task(exchange(timeouts, random.uniform(0.1, 0.8))))
            await asyncio.sleep(random.expovariate(200.0))
        await asyncio.gather(*tasks)

    monkeypatch.setattr(Timeouts, "_ring", counted)
    virtually(main())
    assert len(rings) > 100
    assert len(set(rings)) == len(rings)
