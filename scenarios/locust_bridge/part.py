"""One process's part of a test: the case runner in its thread, the users' slots, the batches for Locust."""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from harness.client.redaction import redact
from harness.experiment.application import ClientApplication
from harness.experiment.case_runner import CaseRunner
from harness.experiment.spec import Trial
from scenarios.locust_bridge.coordinator import CLAIM, DONE, DRAINED, GO, LEFT, READY, SLOT, supervised
from scenarios.locust_bridge.locust_statistics import Names, merge, note_totals
from scenarios.locust_bridge.real_threads import NativeExecutor, start_thread

logger = logging.getLogger("paceline")
POLL_S = 0.02
MERGE_S = 0.2


class Play:
    """Lives from Locust's `test_start` to its `test_stop`, in every process that has users."""

    def __init__(self, environment: Environment, spec: Trial, process: int) -> None:
        self.environment = environment
        self.runner: Any = environment.runner
        self.spec = spec
        if isinstance(self.runner, WorkerRunner):
            # On another machine than the master's, the run directory is not there; the recorder names other faults.
            with contextlib.suppress(OSError):
                Path(spec.records).mkdir(parents=True, exist_ok=True)
        self._rows: collections.deque[tuple[float, Any]] = collections.deque()
        self.case = CaseRunner(spec, process, executor=NativeExecutor, on_rows=self._take)
        self._users = 0
        self._slots: dict[str, gevent.event.AsyncResult] = {}
        mix = spec.build_mix()
        self._names: Names = mix.tasks[0].name if len(mix.tasks) == 1 else lambda index: mix.pick(index).name
        self._over = False
        self._stopping: gevent.Greenlet | None = None
        # Reason for an unintended stop.
        self._why: str | None = None
        start_thread(self.case.run)
        self._merger = supervised(self._merge_forever)
        self._status = _status_writer()

    def _take(self, rows: Any) -> None:
        """Called in the case runner's thread; the deque passes rows to Locust's."""
        self._rows.append((time.time(), rows))

    # Messages from the coordinator.

    def on_slot(self, data: dict[str, Any]) -> None:
        """Receive the answer to a claim."""
        if (waiting := self._slots.get(data["user"])) is not None:
            waiting.set((data["slot"], data["slots"]))

    def on_go(self) -> None:
        """The load begins."""
        self.case.go()

    # Calls of the users, in their greenlets.

    def claim(self) -> tuple[str, ClientApplication | None]:
        """A name for this user, and its client application (None beyond the planned number)."""
        self._users += 1
        user = f"{self.runner.client_id}-{self._users}"
        self._slots[user] = gevent.event.AsyncResult()
        self.runner.send_message(CLAIM, {"user": user})
        slot, slots = self._slots[user].get(timeout=30)
        if slot >= slots:
            return user, None
        application = self.case.join(slot, slots)
        while not (application.ready or application.ended or self.case.finished):
            gevent.sleep(POLL_S)
        self.runner.send_message(READY, {"user": user})
        return user, application

    def wait(self, user: str, application: ClientApplication) -> None:
        """Wait until this application's share is done, then notify the coordinator."""
        while not application.ended and not self.case.finished:
            gevent.sleep(POLL_S)
        self.runner.send_message(DONE, {"user": user})

    def leave(self, user: str, application: ClientApplication) -> None:
        """Stop feeding, drain, return; bounded by the drain."""
        if not application.ended:
            self.case.leave(application, self._why)
            with gevent.Timeout(self.spec.drain_s + 5, False):
                while not application.ended and not self.case.finished:
                    gevent.sleep(POLL_S)
        if not self._over:
            self.runner.send_message(LEFT, {"user": user})

    def stop(self) -> None:
        """Return when the case runner is finished and Locust has the last batch.

        The work is done once, in a greenlet of its own: Locust may kill the calling greenlet (a signal and the
        master's message can coincide) and call again.
        """
        if self._stopping is None:
            self._stopping = gevent.spawn(self._stop)
        self._stopping.join()

    def _stop(self) -> None:
        self._over = True
        self.case.finish()
        with gevent.Timeout(self.spec.drain_s + 5, False):
            while not self.case.finished:
                gevent.sleep(POLL_S)
        self._merger.kill()
        self._merge()
        self._status({"state": "done", **self.case.status})
        if self.case.error:
            logger.error("%s", redact(self.case.error))
        if not isinstance(self.runner, WorkerRunner):
            note_totals(self.environment.stats, Path(self.spec.records), self.spec.name, self.spec.repeat)
        else:
            self.runner._send_stats()
            self.runner.send_message(DRAINED, {})

    # Reports to Locust and to the parent process.

    def _merge_forever(self) -> None:
        while True:
            gevent.sleep(MERGE_S)
            self._merge()
            if not self._status({"state": "running", **self.case.status}):
                logger.warning("the parent process of this run is gone: stopping")
                self._why = "the process that started it is gone"
                gevent.spawn(self.runner.quit)
                return

    def _merge(self) -> None:
        while self._rows:
            wall, rows = self._rows.popleft()
            merge(self.environment.stats, rows, wall, self._names)


def register(environment: Environment, current: Callable[[], Play | None]) -> None:
    """Listen to the coordinator's messages in a process that has users."""
    runner: Any = environment.runner

    def on_slot(environment: Environment, msg: Any, **_: Any) -> None:
        if (play := current()) is not None:
            play.on_slot(msg.data)

    def on_go(environment: Environment, msg: Any, **_: Any) -> None:
        if (play := current()) is not None:
            play.on_go()

    runner.register_message(SLOT, on_slot)
    runner.register_message(GO, on_go)


def _status_writer() -> Callable[[dict[str, Any]], bool]:
    """Writes a line of JSON for the parent; False when the parent is gone."""
    fd = os.environ.get("PACELINE_STATUS_FD")
    if fd is None:
        return lambda status: True

    def write(status: dict[str, Any]) -> bool:
        try:
            os.write(int(fd), json.dumps({"pid": os.getpid(), **status}).encode() + b"\n")
        except BlockingIOError:
            # The parent is busy: skip this line.
            return True
        except OSError:
            return False
        return True

    return write
