"""Real threads in a process that gevent may have patched.

After `import locust` the name `threading.Thread` means a greenlet; the originals are still there, and the case runner
needs them: its event loop must run beside Locust's hub, not inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from gevent import get_hub, monkey

# gevent imports the parts of its hub with the first one. Two threads that do so at once deadlock.
get_hub()
_start: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")
_SimpleQueue: type[Any] = monkey.get_original("queue", "SimpleQueue")


def start_thread(body: Callable[[], None]) -> None:
    """Run `body` in a real thread."""
    _start(body, ())


class NativeExecutor(Executor):
    """The part of ThreadPoolExecutor that `loop.run_in_executor` uses, on real threads that end with `shutdown`."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._work: Any = _SimpleQueue()
        for _ in range(threads):
            start_thread(self._serve)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call."""
        future: Future[Any] = Future()
        self._work.put((future, fn, args, kwargs))
        return future

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            future, fn, args, kwargs = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = fn(*args, **kwargs)
            # The future passes the error to its waiter.
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End each thread after the queued work."""
        for _ in range(self._threads):
            self._work.put(None)
