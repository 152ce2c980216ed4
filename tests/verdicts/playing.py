"""Plays a situation: with the command as a user does, or in this process, which takes a tenth of the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cli.compare import command
from harness.cli.options import settings_of
from harness.client.errors import UsageError
from harness.experiment import target as targets
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import execute
from harness.experiment.spec import Trial
from harness.measure.judge import slo
from harness.measure.judge.verdict import exit_code
from harness.measure.result import RunResult, decode
from tests.http.test_case_runner import play
from tests.http.test_starved import bound_to, busy_loops
from tests.processes import ROOT
from tests.verdicts.situations import Situation

STRATEGY = "queue-stream:concurrency=8"


@dataclass(frozen=True)
class Seen:
    """What a person gets."""

    exit_code: int
    status: str
    # The text of each reason by its code, the deciding ones first. Code "SLO": a failed condition. Code "": one line
    # without a verdict.
    texts: dict[str, str]


def options(of: Situation, url: str) -> list[str]:
    """The options of `paceline compare`."""
    line = ["-s", STRATEGY, "--target", url, *of.options]
    return line if "--rate" in of.options else [*line, "--items", str(of.items)]


@contextmanager
def around(of: Situation, apart: bool) -> Iterator[str]:
    """The server, and what takes the client's processor; `apart` if the client has a session of its own."""
    with ExitStack() as stack:
        url = stack.enter_context(of.server())
        if of.loops:
            core = max(os.sched_getaffinity(0))
            stack.enter_context(busy_loops(core, of.loops, apart))
            stack.enter_context(bound_to(core))
        yield url


class InThisProcess:
    """A backend that plays each repeat in a thread."""

    def __init__(self, run: Run, of: Situation) -> None:
        self._run = run
        self._of = of

    def server(self) -> targets.RunningTarget:
        """The ill server, as a user's."""
        return targets.remote(self._run.settings.target or "")

    def ceilings(self) -> dict[str, float]:
        """Not measured."""
        return {}

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        """To its end, or stopped as by Ctrl-C."""
        play(trial, 0.3 if self._of.stopped else None)
        return TrialEnd(0, self._of.stopped, Path(trial.records))


def in_this_process(of: Situation, folder: Path) -> Seen:
    """Everything but Locust's process and the printing."""
    with around(of, apart=False) as url:
        line = [*options(of, url), "--out", str(folder / "run")]
        context = command.make_context("compare", line)
        settings = settings_of(context.params, "backlog", ())
        try:
            run = prepare(settings)
            result, _ = execute(run, lambda *_: None, InThisProcess(run, of))
        except UsageError as error:
            return Seen(2, "", {"": str(error)})
    return seen_in(exit_code(result), result)


def seen_in(code: int, result: RunResult) -> Seen:
    """What a result says."""
    texts = {reason.code: reason.text for reason in result.verdict.reasons}
    failed = {"SLO": "; ".join(slo.failed(result.cases))} if code == 1 else {}
    return Seen(code, result.verdict.status, failed | texts)


def by_command(of: Situation, folder: Path) -> tuple[Seen, str]:
    """With `paceline compare` in a process of its own; also what it printed."""
    with around(of, apart=True) as url:
        line = ["compare", *options(of, url), "--no-calibrate", "--no-report", "--out", "run"]
        child = subprocess.Popen(
            [sys.executable, "-m", "harness", *line],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if of.stopped:
            _stop_in_flight(child, folder)
        printed, said = child.communicate(timeout=120)
    if not (folder / "run" / "result.json").exists():
        return Seen(child.returncode, "", {"": said.strip().removeprefix("paceline: ")}), said
    result = decode((folder / "run" / "result.json").read_bytes())
    return seen_in(child.returncode, result), printed


def _stop_in_flight(child: subprocess.Popen[str], folder: Path) -> None:
    """Press Ctrl-C when the client has begun to record."""
    deadline = time.monotonic() + 60
    while not list((folder / "run" / "records").glob("*.timeline")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
