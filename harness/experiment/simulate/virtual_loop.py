"""An event loop whose time is virtual: it stands still while anything is ready, then jumps to the next timer.

Rules of this file
  1. The order of callbacks depends only on the order of calls: timers of one instant fire in the order in which they
     were set. No socket, thread, signal or wall clock can interfere.
  2. A deadlock is an error, not a hang: nothing ready, no timer, and the main task not done.
  3. Sentinels (`watch`) observe at instants of their own. They do not keep the loop alive, so they hide no deadlock.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from functools import partial
from heapq import heappop, heappush
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_WAITING_SHOWN = 12
_STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

SERVER = ("127.0.0.1", 80)
"""Address of the only server on the network in memory."""


class DeadlockError(RuntimeError):
    """Every task waits, and there is no timer that could wake one."""


class NotSimulated(RuntimeError):  # noqa: N818 - the name states a fact
    """Something asked for a thread, a socket or a signal: those exist in real time only."""


class Callback(list[Any]):
    """[function, arguments, context]: asyncio's Handle at a third of its cost."""

    __slots__ = ()

    def cancel(self) -> None:
        """Drop the callback."""
        self[0] = None

    def cancelled(self) -> bool:
        """It was cancelled, or has run."""
        return self[0] is None


class Timer(Callback):
    """The same at an instant."""

    __slots__ = ("_when",)
    _when: float

    def when(self) -> float:
        """Its instant."""
        return self._when


class VirtualLoop(base_events.BaseEventLoop):
    """asyncio's loop with the clock and the queue replaced; `time()` begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._queue: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sentinels: list[tuple[float, int, Callable[[], float]]] = []
        # Number of timers set so far: orders timers of one instant.
        self._set = 0
        self._clock_resolution = 0.0
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign] # the same without a frame
        # Makes a connection if there is a network.
        self.connect: Callable[[Any], asyncio.Transport] | None = None

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override] # any arguments
        """As asyncio's; the handle can be cancelled."""
        entry = Callback((callback, args, copy_context() if context is None else context))
        self._queue.append(entry)
        return entry

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override] # any arguments
        """As asyncio's; an instant that is past means now."""
        timer = Timer((callback, args, copy_context() if context is None else context))
        timer._when = when
        self._set += 1
        heappush(self._timers, (when, self._set, timer))
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override] # any arguments
        """As asyncio's."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override] # any arguments
        """There is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def watch(self, when: float, observe: Callable[[], float]) -> None:
        """Call `observe()` when everything due before `when` has run; it returns its next instant."""
        self._set += 1
        heappush(self._sentinels, (when, self._set, observe))

    def _run_once(self) -> None:
        """Run until the loop is stopped; errors of callbacks are reported as asyncio reports them."""
        while not self._stopping:  # type: ignore[attr-defined] # BaseEventLoop's own
            try:
                self._spin()
            except (SystemExit, KeyboardInterrupt, DeadlockError):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "an exception in a callback", "exception": error})

    def _spin(self) -> None:
        queue, timers, sentinels, pop = self._queue, self._timers, self._sentinels, self._queue.popleft
        while True:
            while queue:
                # Callbacks that these add run after them.
                for _ in range(len(queue)):
                    callback, args, context = entry = pop()
                    if callback is not None:
                        entry[0] = None
                        context.run(callback, *args)
                if self._stopping:  # type: ignore[attr-defined] # BaseEventLoop's own
                    return
            while timers and timers[0][2][0] is None:
                heappop(timers)
            if not timers:
                self._deadlock()
            when = timers[0][0]
            if sentinels and sentinels[0][0] <= when:
                self._observe()
                continue
            if when > self._now:  # noqa: PLR1730 - max() costs three times as much, at every jump
                self._now = when
            timer = heappop(timers)[2]
            # The usual case: one timer at this instant, which needs no queue.
            if not timers or timers[0][0] > when:
                callback, timer[0] = timer[0], None
                timer[2].run(callback, *timer[1])
                continue
            queue.append(timer)
            while timers and timers[0][0] <= when:
                queue.append(heappop(timers)[2])

    def _observe(self) -> None:
        when, _, observe = heappop(self._sentinels)
        self._now = max(self._now, when)
        self.watch(observe(), observe)

    def _deadlock(self) -> NoReturn:
        waiting = sorted(f"{task.get_name()} ({_where(task)})" for task in asyncio.all_tasks(self))
        more = f" and {len(waiting) - _WAITING_SHOWN} more" if len(waiting) > _WAITING_SHOWN else ""
        raise DeadlockError(
            f"at {self._now:.6g} s of virtual time nothing is ready and no timer is set, but these wait: "
            + ", ".join(waiting[:_WAITING_SHOWN])
            + more
        )

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override] # as above
        """Refused: a thread takes real time."""
        raise NotSimulated(
            f"{getattr(func, '__qualname__', func)} needs a thread, and threads have no virtual time: "
            "use a strategy or layer that is asynchronous"
        )

    async def subprocess_exec(self, protocol_factory: Any, program: Any, *args: Any, **options: Any) -> Any:
        """Refused: a process takes real time."""
        raise NotSimulated(f"the process {program!r} has no virtual time: use a strategy or layer without processes")

    async def subprocess_shell(self, protocol_factory: Any, cmd: Any, **options: Any) -> Any:
        """Refused: a process takes real time."""
        return await self.subprocess_exec(protocol_factory, cmd)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Nothing to wait for: `create_connection` makes it, on the network in memory."""
        if self.connect is None:
            raise NotSimulated(f"a socket to {address} has no virtual time: simulate with the network in memory")
        if address != SERVER:
            raise NotSimulated(f"a socket to {address}: the network in memory has one server, at {SERVER}")

    async def create_connection(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """A connection over the network in memory; the socket that was made for it is of no use."""
        if self.connect is None:
            raise NotSimulated("a connection has no virtual time: simulate with the network in memory")
        asked = args[:2] or (options.get("host"), options.get("port"))
        if options.get("sock") is None and asked != SERVER:
            raise NotSimulated(f"a connection to {asked}: the network in memory has one server, at {SERVER}")
        if (unused := options.get("sock")) is not None:
            unused.close()
        protocol = protocol_factory()
        return self.connect(protocol), protocol

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing to do: no selector sleeps."""


def _where(task: asyncio.Task[Any]) -> str:
    """The await chain of a task, innermost last."""
    coroutine: Any = task.get_coro()
    names = []
    while coroutine is not None and hasattr(coroutine, "__qualname__"):
        names.append(coroutine.__qualname__)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return " > ".join(names)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time; raises DeadlockError if it cannot end.

    A stop signal cancels it, and KeyboardInterrupt is raised when it has ended. An exception raised by the signal's
    handler could be caught anywhere: a layer or an application would then fail, and the run would go on.
    """
    stops: list[int] = []

    async def whole() -> T:
        task = asyncio.current_task()

        def stop(number: int) -> None:
            stops.append(number)
            if task is not None:
                task.cancel()

        with _on_stop_signals(stop):
            return await main

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            ended = runner.run(whole())
        except asyncio.CancelledError:
            if not stops:
                raise
    if stops:
        raise KeyboardInterrupt
    return ended


@contextlib.contextmanager
def _on_stop_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Within it the first stop signal calls `stop`, the second has its own handler again. SIGINT is left to asyncio.

    Signals that have no handler of this program keep what they do.
    """
    handlers = {number: signal.getsignal(number) for number in _STOPS}
    mine = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        mine = {}

    def restore() -> None:
        for number, handler in mine.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        stop(number)

    for number in mine:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
