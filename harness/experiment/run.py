"""A run: the same load for each strategy, case by case, then the result and its verdict.

Rules of this file
  1. The plan is on disk before the first case, facts after each: a killed run can be reported from those files.
  2. Repeats are interleaved (A B C, A B C): a machine that drifts must not favour the case that came first.
  3. The embedded mock begins its schedule again for each case, so every strategy meets the same server.
  4. There is one loop over the cases. A `Way` says how one is played: in a child process (here), in virtual time
     (`simulate.compare`). Under plain Locust the events of a test take the loop's place (`scenarios._standalone`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.experiment import target as targets
from harness.experiment.calibrate import ceilings
from harness.experiment.open_files import check as check_open_files
from harness.experiment.play import Played, Watch, play
from harness.experiment.prepare import Run
from harness.experiment.spec import Turn
from harness.load.lines import count_lines
from harness.measure.files import digest, disk_failed, find
from harness.measure.plan import PLAN_FILE, CaseFacts, Measured, write_facts, write_measured, write_plan
from harness.measure.result import RunResult, Target, encode
from harness.measure.summary import summarize_run, with_write_error

Progress = Callable[[str, dict[str, Any]], None]
"""Gets each event and its facts. Events: target, calibrating, calibrated, case, status, case_done."""


class Server(Protocol):
    """The server under test."""

    url: str
    profile: str | None
    note: str | None

    def reset(self) -> None:
        """Begin its schedule and counts again, if it is ours."""

    def seen(self) -> int | None:
        """Exchanges that it counted, if it says so."""


class Way(Protocol):
    """How the cases of a run are played."""

    def server(self) -> AbstractContextManager[Server]:
        """The server under test, while the run lasts."""

    def ceilings(self) -> dict[str, float]:
        """The client's own limits in requests per second, by transport."""

    def play(self, turn: Turn, watch: Watch) -> Played:
        """Play it to its end, or until Ctrl-C."""


def execute(run: Run, progress: Progress, way: Way | None = None) -> tuple[RunResult, bool]:
    """Play every case; returns the result (also written to result.json) and whether it was interrupted."""
    return summarized(run, lambda: _play_all(run, way or ChildProcesses(run, progress), progress))


def summarized(run: Run, play_all: Callable[[], bool]) -> tuple[RunResult, bool]:
    """The result of a run after `play_all`, which says whether it was interrupted.

    A disk that takes no more ends the run with a result that says so, whether or not that can be written.
    """
    interrupted, lost = False, None
    try:
        interrupted = play_all()
    except OSError as error:
        if not disk_failed(error):
            raise
        if not (run.directory / PLAN_FILE).exists():
            raise UsageError(f"--out {run.directory}: {error.strerror}") from error
        lost = error
    result = summarize_run(run.directory)
    try:
        write_atomically(run.directory / "result.json", encode(result))
    except OSError as error:
        if not disk_failed(error):
            raise
        lost = error
    if lost is not None:
        result = with_write_error(result, f"{lost.filename or run.directory}: {lost.strerror}")
    return result, interrupted


def _play_all(run: Run, way: Way, progress: Progress) -> bool:
    """Play the cases in their turns; whether it was interrupted."""
    run.records.mkdir(parents=True, exist_ok=True)
    with way.server() as server:
        progress("target", {"url": server.url, "profile": server.profile, "note": server.note})
        measured = begin(run, server)
        try:
            if found := way.ceilings():
                write_measured(msgspec.structs.replace(measured, ceilings=found), run.directory)
            return any(_one(turn, run.directory, server, way, progress) for turn in _turns(run, server.url))
        except KeyboardInterrupt:
            return True


def begin(run: Run, server: Server) -> Measured:
    """Write the plan, and what is known of the server."""
    write_plan(run.plan, run.directory)
    measured = Measured(Target(server.url, server.profile, server.note))
    write_measured(measured, run.directory)
    return measured


def _turns(run: Run, target: str) -> Iterator[Turn]:
    for repeat in range(run.settings.repeats):
        for case in run.cases:
            yield case.turn(target, run.records, repeat)


def _one(turn: Turn, directory: Path, server: Server, way: Way, progress: Progress) -> bool:
    """Play one turn; whether it was interrupted."""
    progress("case", {"name": turn.name, "repeat": turn.repeat, "repeats": turn.repeats, "items": _items(turn)})
    witness = Witness(turn, directory, server)
    played = way.play(turn, lambda status: progress("status", status))
    witness.testify(played.exit_code, played.interrupted)
    progress("case_done", {"name": turn.name, "log": str(played.log), "exit_code": played.exit_code})
    return played.interrupted


def _items(turn: Turn) -> int | None:
    """How many items are expected, for the progress bar."""
    if turn.scheduled is not None:
        return turn.scheduled
    return count_lines(Path(turn.input)) if turn.items is None and turn.input is not None else turn.items


class Witness:
    """Sees one repeat of a case from outside, and writes the facts after it."""

    def __init__(self, turn: Turn, directory: Path, server: Server) -> None:
        self._turn = turn
        self._directory = directory
        self._server = server
        server.reset()
        self._seen = server.seen()
        self._started = time.monotonic()

    def testify(self, exit_code: int, interrupted: bool = False) -> None:
        """The repeat is over."""
        turn, seen = self._turn, self._server.seen()
        processes = find(Path(turn.records)).get(turn.name, {}).get(turn.repeat)
        facts = CaseFacts(
            case=turn.name,
            repeat=turn.repeat,
            exit_code=exit_code,
            interrupted="stopped by the user" if interrupted else None,
            server_seen=None if seen is None or self._seen is None else seen - self._seen,
            wall_s=time.monotonic() - self._started,
            records_sha256=digest(processes) if processes else None,
        )
        write_facts(facts, self._directory)


class ChildProcesses:
    """Each repeat of a case in a Locust process of its own, against a real server."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self._run = run
        self._progress = progress

    def server(self) -> targets.Target:
        """The user's server, or an embedded mock."""
        return open_server(self._run)

    def ceilings(self) -> dict[str, float]:
        """Measured against the null server, unless the user does not want it."""
        run = self._run
        return ceilings(run.cases, run.directory, self._progress) if run.settings.calibrate else {}

    def play(self, turn: Turn, watch: Watch) -> Played:
        """In a child process."""
        return play(turn, watch, self._run.authorization)


def open_server(run: Run) -> targets.Target:
    """The server of a run, started if it is ours; raises UsageError, and leaves nothing behind if nothing was run."""
    settings = run.settings
    try:
        check_open_files(run.cases)
        if settings.target is not None:
            return targets.remote(settings.target)
        return targets.embedded(settings.server, settings.speed, settings.seed, run.records / "mock_server.log")
    except UsageError:
        if not (run.directory / PLAN_FILE).exists():
            shutil.rmtree(run.directory, ignore_errors=True)
        raise
