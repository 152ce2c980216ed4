"""Assigns shares of the load to users: one coordinator per test, in the only process or in Locust's master.

Rules of this file
  1. A client application claims a slot; slot k of N has items k, k+N, ... of the load. N is fixed for the test.
  2. `go` is sent when every user that Locust was to start is ready to send, so that none is late at the start. After
     READY_S it is sent anyway, with a warning.
  3. The master quits only after each worker has reported that it sent its last statistics (`drained`), because
     Locust's own `quit` waits half a second and loses the slowest requests of every longer drain.
  4. A worker that dies takes its share with it, never the test: it is not waited for, neither to be done nor to drain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.log import greenlet_exception_logger
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner

from harness.experiment.spec import Trial
from scenarios.locust_bridge.locust_statistics import note_totals

CLAIM, SLOT, READY, GO, DONE, LEFT, DRAINED, CANNOT = (
    f"paceline_{word}" for word in ("claim", "slot", "ready", "go", "done", "left", "drained", "cannot")
)
# Exit code of a process whose test could not begin.
CRASHED = 3
# Seconds until the load begins without users that are not ready.
READY_S = 15.0
logger = logging.getLogger("paceline")


def supervised(body: Callable[[], None]) -> gevent.Greenlet:
    """Run a function beside the test; a failure is logged and sets Locust's exit code."""
    greenlet = gevent.spawn(body)
    greenlet.link_exception(greenlet_exception_logger(logger))
    return greenlet


class Coordinator:
    """Answers claims, starts the load, notices its end."""

    def __init__(self, environment: Environment, spec: Trial) -> None:
        self.environment = environment
        self.runner: Any = environment.runner
        self.spec = spec
        self.tests = 0
        self.reset()
        self.runner.register_message(CLAIM, self._claim)
        self.runner.register_message(READY, self._ready)
        self.runner.register_message(DONE, self._done)
        self.runner.register_message(LEFT, self._left)
        self.runner.register_message(DRAINED, self._drained)
        self.runner.register_message(CANNOT, self._cannot)
        environment.events.test_start.add_listener(self._test_started)
        environment.events.spawning_complete.add_listener(self._spawned)
        if isinstance(self.runner, MasterRunner):
            self._quitting: Event | None = None
            self._locust_quit = self.runner.quit
            self.runner.quit = self._quit_once
            supervised(self._watch_workers)

    def reset(self) -> None:
        """A new test begins."""
        self.slots = 0
        self.slot_of: dict[str, int] = {}
        self.node_of: dict[str, str] = {}
        # Number of slots taken so far.
        self.given = 0
        # Slots of users that have left.
        self.free: list[int] = []
        self.ready: set[str] = set()
        self.done: set[str] = set()
        self.left: set[str] = set()
        # Workers that died.
        self.lost: set[str] = set()
        self.gone = False
        self.ending = False
        self.drained: set[str] = set()
        self.is_drained = False

    def _test_started(self, **_: Any) -> None:
        self.tests += 1
        self.reset()

    def planned(self) -> int:
        """Number of client applications at the test's peak."""
        shape = self.environment.shape_class
        peak = getattr(shape, "users_max", None) if shape is not None else None
        return max(1, int(peak or self.runner.target_user_count or 1))

    def _tell(self, message: str, data: dict[str, Any], node: str) -> None:
        if isinstance(self.runner, MasterRunner):
            self.runner.send_message(message, data, client_id=node)
        else:
            self.runner.send_message(message, data)

    def _claim(self, environment: Environment, msg: Any, **_: Any) -> None:
        user = msg.data["user"]
        self.slots = self.slots or self.planned()
        if self.free:
            slot = self.free.pop(0)
        else:
            slot, self.given = self.given, self.given + 1
        self.slot_of[user], self.node_of[user] = slot, msg.node_id
        if slot >= self.slots:
            logger.warning("a user beyond the planned %d has no share of the load", self.slots)
            self.ready.add(user)
            self.done.add(user)
        self._tell(SLOT, {"user": user, "slot": slot, "slots": self.slots}, msg.node_id)
        if self.gone and slot < self.slots:
            self._tell(GO, {}, msg.node_id)

    def _ready(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.ready.add(msg.data["user"])

    def _spawned(self, **_: Any) -> None:
        if not self.gone and not self.ending:
            supervised(self._go)

    def _go(self) -> None:
        with gevent.Timeout(READY_S, False):
            while len(self.ready) < self.runner.target_user_count:
                gevent.sleep(0.01)
        if len(self.ready) < self.runner.target_user_count:
            logger.warning(
                "the load begins with %d of %d client applications, the others were not ready after %g s: "
                "items due before they join count as not sent",
                len(self.ready),
                self.runner.target_user_count,
                READY_S,
            )
        if not self.gone:
            self.gone = True
            for node in list(getattr(self.runner, "clients", {"local": None})):
                self._tell(GO, {}, node)

    def _done(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.done.add(msg.data["user"])
        self._end_if_over()

    def _left(self, environment: Environment, msg: Any, **_: Any) -> None:
        """A load shape stopped a user; with arrivals, another user may take its slot."""
        user = msg.data["user"]
        self.left.add(user)
        slot = self.slot_of.get(user)
        if not self.spec.is_backlog and slot is not None:
            self.free.append(slot)
        # In other states the test is being stopped, and all users leave.
        if self.runner.state in {STATE_SPAWNING, STATE_RUNNING}:
            self._end_if_over()

    def _end_if_over(self) -> None:
        """End the test when every share is taken and each user is done or has left, and at least one is done."""
        over = len(self.done | self.left) >= max(self.slots, len(self.slot_of)) and self.done
        if self.gone and over and not self.ending:
            self.ending = True
            supervised(self._end)

    def _end(self) -> None:
        options = self.environment.parsed_options
        if options is not None and options.headless:
            self.runner.quit()
        else:
            self.runner.stop()

    def _drained(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.drained.add(msg.node_id)

    def _cannot(self, environment: Environment, msg: Any, **_: Any) -> None:
        """Without a worker's share the load is another one, so the test ends."""
        if self.environment.process_exit_code != CRASHED:
            self.environment.process_exit_code = CRASHED
            process = self.runner.get_worker_index(msg.node_id)
            logger.error("worker %d cannot begin the test, so it ends: %s", process, msg.data["error"])
            supervised(self.runner.quit)

    def _watch_workers(self) -> None:
        while True:
            gevent.sleep(1)
            for node in {client.id for client in self.runner.clients.missing} - self.lost:
                self.lost.add(node)
                users = {user for user, at in self.node_of.items() if at == node}
                if users - self.done:
                    process = self.runner.get_worker_index(node)
                    logger.error("worker %d (%s) is gone: the rest of its load is lost", process, node)
                self.left |= users
                if users >= set(self.slot_of):
                    # After the last worker, Locust itself stops the test.
                    continue
                self._end_if_over()

    def _quit_once(self) -> None:
        """Quit after the drain; further callers wait for the same quit."""
        # The listener must keep receiving the workers' last messages.
        if gevent.getcurrent() in self.runner.greenlet:
            gevent.spawn(self._quit_once)
        elif self._quitting is not None:
            self._quitting.wait()
        else:
            self._quitting = Event()
            try:
                self.drain()
            finally:
                self._locust_quit()
                self._quitting.set()

    def drain(self) -> None:
        """Stop, and wait until every live worker has drained and reported; once per test."""
        if not self.slot_of or self.is_drained:
            return
        self.is_drained = True
        nodes = set(self.runner.clients) | set(self.node_of.values())
        self.runner.stop()
        with gevent.Timeout(self.spec.drain_s + 10, False):
            while not nodes <= self.drained | self.lost:
                gevent.sleep(0.02)
        # A worker counts as ready only after it has reported so.
        with gevent.Timeout(2, False):
            while len(self.runner.clients.ready) < len(nodes - self.lost):
                gevent.sleep(0.02)
        spec = self.spec
        # The web UI may start several tests.
        repeat = spec.repeat + max(0, self.tests - 1)
        note_totals(self.environment.stats, Path(spec.records), spec.name, repeat)
