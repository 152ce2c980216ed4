"""Locust's side of a scenario: users that are client applications, and the listeners that start a case runner.

The order of a test, in every mode: `init` (roles, options) -> `test_start` (a Play in each process with users) -> users
claim slots -> `spawning_complete` (go) -> applications run -> all done, or a stop -> users leave (drain) -> `test_stop`
(last batch to Locust, end of the records).
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, NoReturn

import gevent
import msgspec
from locust import User, constant, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from harness.client.errors import UsageError
from harness.client.redaction import redact
from harness.experiment.application import ClientApplication
from harness.experiment.scenario import Description
from harness.experiment.spec import Trial
from scenarios.locust_bridge import command_line
from scenarios.locust_bridge.coordinator import CANNOT, CRASHED, Coordinator
from scenarios.locust_bridge.part import Play, register

logger = logging.getLogger("paceline")
_state: dict[str, Any] = {"play": None, "standalone": None, "coordinator": None, "tests": 0}


class Application(User, Description):
    """A Locust user that is one client application."""

    abstract = True
    wait_time = constant(0)
    application: ClientApplication | None = None

    def on_start(self) -> None:
        """Claim a share of the load and start working through it."""
        if _state["play"] is None:
            raise StopUser
        self.play: Play = _state["play"]
        self.name, self.application = self.play.claim()

    @task
    def work(self) -> None:
        """Wait while the runner works; short sleeps, so that a stop is noticed at once."""
        if self.application is None or self.application.ended:
            gevent.sleep(0.1)
            return
        self.play.wait(self.name, self.application)

    def on_stop(self) -> None:
        """Drain in-flight requests."""
        if self.application is not None:
            self.play.leave(self.name, self.application)


def _play_of(environment: Environment) -> Play:
    """The web UI can start several tests: each is a separate repeat, so no record is overwritten."""
    trial = _trial(environment)
    trial = msgspec.structs.replace(trial, repeat=trial.repeat + _state["tests"])
    _state["tests"] += 1
    return Play(environment, trial, max(0, environment.runner.worker_index))


def _trial(environment: Environment) -> Trial:
    """The trial from `paceline` or, under plain Locust, from the first process."""
    if (trial := Trial.from_parent()) is not None:
        return trial
    options = environment.parsed_options
    if not options.paceline_trial:
        _refuse(UsageError("this worker's master plays a different scenario: give each run its own --master-bind-port"))
    return Trial.from_json(options.paceline_trial)


@events.init_command_line_parser.add_listener
def _arguments(parser: Any, **_: Any) -> None:
    if Trial.from_parent() is not None:
        # The case holds every setting: the user's locust.conf or pyproject.toml must not end or change its load.
        parser._default_config_files = []
    command_line.add_arguments(parser)
    parser.add_argument("--paceline-trial", default="", include_in_web_ui=False, help="set by the master")


@events.init.add_listener
def _init(environment: Environment, runner: Any, **_: Any) -> None:
    if Trial.from_parent() is None:
        try:
            command_line.export_connection(environment.parsed_options)
        except UsageError as error:
            _refuse(error)
    if not isinstance(runner, WorkerRunner):
        if Trial.from_parent() is None:
            _prepare(environment)
        _state["coordinator"] = Coordinator(environment, _trial(environment))
    if not isinstance(runner, MasterRunner):
        register(environment, lambda: _state["play"])
        environment.events.test_start.add_listener(_started)
        environment.events.test_stop.add_listener(_stopped)
        # The last chance to wait for the drain.
        environment.events.quit.add_listener(lambda **_: _stopped(environment))
    if _state["standalone"] is not None:  # after the drain of this process, or of all workers
        environment.events.test_stop.add_listener(lambda **_: _state["standalone"].test_stopped())


def _refuse(error: UsageError) -> NoReturn:
    print(f"paceline: {error}", file=sys.stderr)
    sys.exit(2)


def _prepare(environment: Environment) -> None:
    """Plain Locust: prepare a run; a usage error is one line, before anything starts."""
    from scenarios.locust_bridge.standalone import Standalone

    command_line.take_run_time(environment.parsed_options, environment.user_classes[0])
    command_line.take_users(environment.parsed_options)
    try:
        standalone = Standalone(environment, environment.user_classes[0])
    except UsageError as error:
        _refuse(error)
    environment.parsed_options.paceline_trial = standalone.trial.as_json().decode()
    environment.events.test_start.add_listener(lambda **_: standalone.test_started())
    environment.events.quitting.add_listener(lambda **_: _finish(environment))
    _state["standalone"] = standalone


def _finish(environment: Environment) -> None:
    """Write the result after the drain, even if a signal ends Locust before it has stopped the test."""
    if isinstance(environment.runner, MasterRunner):
        _state["coordinator"].drain()
    elif environment.runner is not None:
        environment.runner.stop()
    _state["standalone"].finish()


def _started(environment: Environment, **_: Any) -> None:
    """A test that cannot begin ends this process: Locust would only log the error, and wait for its users for ever."""
    _state["play"] = None
    try:
        _state["play"] = _play_of(environment)
    except Exception as error:
        logger.error("the test cannot begin: %s", redact(f"{error}\n{traceback.format_exc()}"))  # noqa: TRY400 - redacted
        environment.process_exit_code = CRASHED
        gevent.spawn(_give_up, environment, redact(str(error)))


def _give_up(environment: Environment, error: str) -> None:
    """End this process. A master ends the test when it hears why."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.send_message(CANNOT, {"error": error})
        # The message leaves before the connection is closed.
        gevent.sleep(0.5)
    runner.quit()


def _stopped(environment: Environment, **_: Any) -> None:
    if (play := _state["play"]) is not None:
        play.stop()
