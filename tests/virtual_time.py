"""A loop whose time is virtual: sleeps take none, and a wait that nothing can end is an error instead of a hang."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Every task waits, and there is no timer that could wake one."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` stands still while anything is ready, then jumps to the next timer. No sockets, no threads."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        look = self._selector.select  # type: ignore[attr-defined] # the one seam of asyncio's loop

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise DeadlockError(", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self))))
            if timeout > 0:
                self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined] # the same seam
            return look(0)

        self._selector.select = select  # type: ignore[attr-defined] # the same seam

    def time(self) -> float:
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Time passes while a callback runs, and nothing else can."""
        self._now += seconds


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time; raises DeadlockError if that cannot come."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def others() -> set[asyncio.Task[Any]]:
    """Tasks that live beside the current one."""
    return asyncio.all_tasks() - {asyncio.current_task()}
