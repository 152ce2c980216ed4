"""Who has which share: one coordinator per test, in the only process or in Locust's master.

Rules of this file
  1. A client application claims a slot; slot k of N has items k, k+N, ... of the load. N is fixed for the test.
  2. `go` is sent when every user that Locust meant to start is ready to send: nobody is late before the start.
  3. The master leaves only when each worker has said that its last statistics are on their way (`drained`), because
     Locust's own `quit` waits half a second and loses the slowest requests of every longer drain.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from harness.experiment.spec import CaseSpec
from harness.load.schedule import BACKLOG
from scenarios._stats import note_totals

CLAIM, SLOT, READY, GO, DONE, LEFT, DRAINED = (
    f"paceline_{word}" for word in ("claim", "slot", "ready", "go", "done", "left", "drained")
)
logger = logging.getLogger("paceline")


class Coordinator:
    """Answers claims, starts the load, notices its end."""

    def __init__(self, environment: Environment, spec: CaseSpec) -> None:
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
        environment.events.test_start.add_listener(self._test_started)
        environment.events.spawning_complete.add_listener(self._spawned)
        if isinstance(self.runner, MasterRunner):
            self._locust_quit = self.runner.quit
            self.runner.quit = self._patient_quit

    def reset(self) -> None:
        """A new test begins."""
        self.slots = 0
        self.slot_of: dict[str, int] = {}
        self.free: list[int] = []
        self.ready: set[str] = set()
        self.done: set[str] = set()
        self.gone = False
        self.ending = False
        self.drained: set[str] = set()

    def _test_started(self, **_: Any) -> None:
        self.tests += 1
        self.reset()

    def planned(self) -> int:
        """How many client applications the test will have at its peak."""
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
        slot = self.free.pop(0) if self.free else len(self.slot_of)
        self.slot_of[user] = slot
        if slot >= self.slots:
            logger.warning("a user beyond the planned %d has no share of the load", self.slots)
            self.ready.add(user)
            self.done.add(user)
        self._tell(SLOT, {"user": user, "slot": slot, "slots": self.slots}, msg.node_id)
        if self.gone:
            self._tell(GO, {}, msg.node_id)

    def _ready(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.ready.add(msg.data["user"])

    def _spawned(self, **_: Any) -> None:
        if not self.gone and not self.ending:
            gevent.spawn(self._go)

    def _go(self) -> None:
        with gevent.Timeout(5, False):
            while len(self.ready) < self.runner.target_user_count:
                gevent.sleep(0.01)
        if not self.gone:
            self.gone = True
            for node in list(getattr(self.runner, "clients", {"local": None})):
                self._tell(GO, {}, node)

    def _done(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.done.add(msg.data["user"])
        if self.gone and len(self.done) >= max(self.slots, len(self.slot_of)) and not self.ending:
            self.ending = True
            gevent.spawn(self._end)

    def _left(self, environment: Environment, msg: Any, **_: Any) -> None:
        """A user was stopped by a shape; with arrivals another one may take its slot from now on."""
        slot = self.slot_of.get(msg.data["user"])
        if self.spec.load.name != BACKLOG and slot is not None:
            self.free.append(slot)

    def _end(self) -> None:
        options = self.environment.parsed_options
        if options is not None and options.headless:
            self.runner.quit()
        else:
            self.runner.stop()

    def _drained(self, environment: Environment, msg: Any, **_: Any) -> None:
        self.drained.add(msg.node_id)

    def _patient_quit(self) -> None:
        """Stop, wait until every worker has drained and reported, then quit as Locust does."""
        nodes = set(self.runner.clients) if self.slot_of else set()
        if nodes:
            self.runner.stop()
            with gevent.Timeout(self.spec.drain_s + 10, False):
                while not nodes <= self.drained:
                    gevent.sleep(0.02)
            with gevent.Timeout(2, False):  # a worker is back among the clients only after it said so
                while len(self.runner.clients.ready) < len(nodes):
                    gevent.sleep(0.02)
            self.slot_of = {}
            spec = self.spec
            repeat = spec.repeat + max(0, self.tests - 1)  # the web UI starts one test after another
            note_totals(self.environment.stats, Path(spec.records), spec.name, repeat)
        self._locust_quit()
