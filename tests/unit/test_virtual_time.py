"""The clock that the other tests go by."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_time import DeadlockError, others, virtually


def test_a_day_of_sleep_takes_no_time_and_ends_at_the_right_instant() -> None:
    async def main() -> list[float]:
        loop, woke = asyncio.get_running_loop(), []

        async def one(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woke.append(loop.time())

        await asyncio.gather(one(86_400.0), one(0.1), one(0.2))
        return woke

    assert virtually(main()) == [0.1, 0.2, 86_400.0]


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="Task-"):
        virtually(main())


def test_others_names_the_tasks_beside_this_one() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(1.0))
        assert others() == {task}
        await task
        assert not others()

    virtually(main())
