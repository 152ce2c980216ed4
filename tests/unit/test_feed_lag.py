"""The generator's own delays: what falls due while a feed sleeps or makes a row is late by its lag, and by no wait."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from harness.client.tasks.chat import Chat
from harness.client.types import Task
from harness.load.feed import Feed, Source
from harness.load.sessions.content import MadeUp
from harness.load.sessions.session_feed import SessionFeed
from harness.load.sessions.session_plan import SessionLoad, SessionPlan
from harness.load.timer import Alarm, SleepUntil, sleep_until
from harness.load.workloads.synthetic import Synthetic
from tests.unit.test_feed import ONE_TASK, ZERO, constant, synthetic
from tests.virtual_time import VirtualTimeLoop, virtually

PER_S, LATE_S = 31.25, 0.3
STALLED = [LATE_S - n / PER_S for n in range(10)]
"""Lags of the arrivals that fell due while the feed overslept; nobody else was late."""


def oversleeping() -> SleepUntil:
    """The first sleep returns late, as after a stop of the whole process."""
    late = iter([LATE_S])

    async def sleep(when: float) -> None:
        await sleep_until(when + next(late, 0.0))

    return sleep


@pytest.mark.parametrize("busy_s", [0.0, 0.1])
@pytest.mark.parametrize("grain_s", [0.0, 0.0003])
def test_all_that_fell_due_while_the_feed_overslept_is_late_by_its_lag(busy_s: float, grain_s: float) -> None:
    """A strategy that is busy afterwards adds nothing: what falls due meanwhile waits for the strategy."""

    async def main() -> list[float]:
        found = []
        feed = Feed(synthetic(), ONE_TASK, constant(PER_S, 1.0), ZERO, oversleeping(), grain_s=grain_s)
        async for item in feed:
            found.append(item.fired - item.due)
            if len(found) == 3:
                await asyncio.sleep(busy_s)
        return found

    assert virtually(main()) == pytest.approx(STALLED + [0.0] * 22, abs=1e-9)


class Laborious(Synthetic):
    """Each text takes time, that of the third item more than there is until it is due."""

    def data(self, task: Task, index: int, seed: int) -> Any:
        cast(VirtualTimeLoop, asyncio.get_running_loop()).pass_by(0.14 if index == 3 else 0.01)
        return super().data(task, index, seed)


def test_the_time_that_a_row_takes_is_the_generators_lag() -> None:
    """Asked for at 0.2 s, made at 0.34 s, due at 0.3 s."""

    async def main() -> list[float]:
        feed = Feed(Source(None, Laborious(mean=3.0), None, 1), ONE_TASK, constant(10.0, 0.6), ZERO, sleep_until)
        return [item.fired - item.due async for item in feed]

    assert virtually(main()) == pytest.approx([0.0, 0.0, 0.0, 0.04, 0.0, 0.0], abs=1e-9)


class Oversleeping(Alarm):
    """An alarm whose first call comes late."""

    def __init__(self) -> None:
        super().__init__()
        self._sleep = oversleeping()

    async def once(self, when: float) -> None:
        await self._sleep(when)


def test_sessions_that_arrived_while_their_feed_overslept_are_late_by_its_lag() -> None:
    load = SessionLoad("1", arrivals={"name": "constant", "settings": {"rate_per_s": PER_S}})
    plan = SessionPlan(load, 1.0, 1)

    async def main() -> list[float]:
        found, task = [], Chat()
        feed = SessionFeed(plan, MadeUp(Synthetic(mean=3.0), task, 1), task, ZERO, Oversleeping())
        async for item in feed:
            found.append(item.fired - item.due)
            if len(found) == 3:
                await asyncio.sleep(0.1)
            if len(found) == plan.count:
                feed.end()
        return found

    assert virtually(main()) == pytest.approx(STALLED + [0.0] * 22, abs=1e-9)
