"""The virtual loop: time, order, deadlock, and what it refuses."""

from __future__ import annotations

import asyncio
import math
import socket

import pytest

from harness.experiment.simulate.virtual_loop import DeadlockError, NotSimulated, VirtualLoop, run


def _running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_time_jumps_to_the_next_timer_and_nowhere_else() -> None:
    """A week of sleep takes no time, and ends at its instant exactly."""

    async def main() -> list[float]:
        loop, seen = _running(), []
        for pause in (0.0, 0.25, 604_800.0):
            await asyncio.sleep(pause)
            seen.append(loop.time())
        return seen

    assert run(main()) == [0.0, 0.25, 604_800.25]


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set() -> None:
    """And what they make ready comes after all of them, as on asyncio's loop."""

    async def main() -> list[str]:
        loop, seen = _running(), list[str]()

        def fire(name: str) -> None:
            seen.append(name)
            loop.call_soon(seen.append, name + "'")

        for name in "cab":
            loop.call_at(1.0, fire, name)
        loop.call_at(0.5, seen.append, "early")
        dropped = loop.call_at(1.0, seen.append, "never")
        dropped.cancel()
        assert dropped.cancelled()
        await asyncio.sleep(2.0)
        return seen

    assert run(main()) == ["early", "c", "a", "b", "c'", "a'", "b'"]


def test_a_wait_that_nothing_can_end_raises_and_names_who_waits() -> None:
    """Not a hang: the tasks, and where they wait, are in the message."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(3.0)
        await asyncio.gather(asyncio.create_task(stuck(), name="consumer"), asyncio.sleep(4.0))

    with pytest.raises(DeadlockError, match=r"at 7 s of virtual time.*consumer \(.*stuck > Event.wait\)"):
        run(main())


def test_a_sentinel_observes_but_keeps_nothing_alive() -> None:
    """It looks at its instants while something goes on, and a deadlock is a deadlock beside it."""
    seen: list[float] = []

    async def main() -> None:
        loop = _running()

        def look() -> float:
            seen.append(loop.time())
            return loop.time() + 1.0

        loop.watch(0.5, look)
        await asyncio.sleep(3.0)
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main())
    assert seen == [0.5, 1.5, 2.5]


def test_threads_and_sockets_are_refused_in_words() -> None:
    """They take real time, so a simulation with them would be none."""

    async def thread() -> None:
        await asyncio.to_thread(print)

    async def connection() -> None:
        with socket.socket() as one:
            await _running().sock_connect(one, ("127.0.0.1", 9))

    async def process() -> None:
        await asyncio.create_subprocess_exec("true")

    async def shell() -> None:
        await asyncio.create_subprocess_shell("true")

    with pytest.raises(NotSimulated, match="threads have no virtual time"):
        run(thread())
    for started in (process, shell):
        with pytest.raises(NotSimulated, match="process 'true' has no virtual time"):
            run(started())
    with pytest.raises((NotSimulated, NotImplementedError)):
        run(connection())


def test_what_the_standard_library_builds_on_a_loop_works() -> None:
    """Time-outs, cancellation, queues and groups of tasks."""

    async def main() -> tuple[float, list[int]]:
        loop, queue, taken = _running(), asyncio.Queue[int](2), list[int]()

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)
                await asyncio.sleep(0.1)

        async def consume() -> None:
            while len(taken) < 5:
                taken.append(await queue.get())

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await asyncio.sleep(math.inf)
        return loop.time(), taken

    at, taken = run(main())
    assert taken == [0, 1, 2, 3, 4]
    assert at == pytest.approx(10.5)


def test_an_exception_in_a_callback_is_reported_and_stops_nothing() -> None:
    """As on asyncio's loop: the exception handler hears of it."""
    errors: list[BaseException] = []

    async def main() -> float:
        loop = _running()
        loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
        loop.call_later(1.0, lambda: 1 / 0)
        await asyncio.sleep(2.0)
        return loop.time()

    assert run(main()) == 2.0
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_tasks_left_over_do_not_keep_a_finished_run_going() -> None:
    """One that never stops is cancelled when the main task is done."""

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    async def main() -> str:
        spinning = asyncio.create_task(spin())
        await asyncio.sleep(0)
        return "done" if not spinning.done() else "?"

    assert run(main()) == "done"
