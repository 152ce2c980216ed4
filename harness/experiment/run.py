"""A run: its cases are played one by one, then come the result and its verdict.

Rules of this file
  1. The plan is on disk before the first case, facts after each: a killed run can be reported from those files.
  2. The order decides which repeat of which case comes next (`order.py`), and may add cases to the plan.
  3. The embedded mock begins its schedule again for each case, so every strategy meets the same server.
  4. There is one loop over the cases. A `Backend` plays each: in a child process (here) or in virtual time
     (`simulate.compare`). Under plain Locust, test events replace the loop (`locust_bridge.standalone`).
  5. A `RunInProgress` plays on request. Two sessions can be open at once, to play two runs in alternation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.client.errors import UsageError
from harness.experiment.backend import Backend, Progress, Server
from harness.experiment.before_plan import calibrate_prompts, open_server
from harness.experiment.ceiling import ceilings
from harness.experiment.child_process import TrialEnd, Watch, play
from harness.experiment.order import Interleaved, Order, UntilNarrow
from harness.experiment.prepare import Run
from harness.experiment.run_directory import deletions_named, given_back_without_plan
from harness.experiment.spec import CaseSpec, Trial
from harness.experiment.target import RunningTarget
from harness.load.workloads.jsonl import Jsonl
from harness.measure.judge.slo import parse
from harness.measure.record.environment import usable_cores
from harness.measure.record.files import RecordPaths, digest, disk_failed, find_case
from harness.measure.record.plan import PLAN_FILE, CaseFacts, Measured, write_facts, write_measured, write_plan
from harness.measure.record.self_test_file import known_machine
from harness.measure.reduce.finished import write_result
from harness.measure.reduce.summary import Observed, measure_case, observe, summarize_run, with_write_error
from harness.measure.result import Case, RunResult, Target


def execute(run: Run, progress: Progress, backend: Backend | None = None) -> tuple[RunResult, bool]:
    """Play every case; returns the result (also written to result.json) and whether it was interrupted."""
    return summarized(run, lambda: _play_all(run, backend or ChildProcesses(run, progress), progress))


def _order(run: Run) -> Order:
    """The order of the run, else as many repeats as were asked for, or as the intervals need."""
    if run.order is not None:
        return run.order
    asked = run.plan.precision
    return Interleaved(run.cases) if asked is None else UntilNarrow(run.cases, asked, lambda case: _so_far(run, case))


def _so_far(run: Run, case: CaseSpec) -> Case | None:
    """The figures of a case over the repeats that were played."""
    found = measure_case(case, run.directory, Measured(), [])
    return None if found is None else found[0]


def summarized(run: Run, play_all: Callable[[], bool]) -> tuple[RunResult, bool]:
    """The result of a run after `play_all`, which returns whether it was interrupted. Releases the directory.

    A disk error ends the run. The returned result reports it, even if result.json cannot be written.
    """
    try:
        with deletions_named(run.directory):
            return _summarized(run, play_all)
    finally:
        run.release()


def _summarized(run: Run, play_all: Callable[[], bool]) -> tuple[RunResult, bool]:
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
        write_result(result, run.directory)
    except OSError as error:
        if not disk_failed(error):
            raise
        lost = error
    if lost is not None:
        result = with_write_error(result, f"{lost.filename or run.directory}: {lost.strerror}")
    return result, interrupted


def _play_all(run: Run, backend: Backend, progress: Progress) -> bool:
    """Play every repeat of every case, in order; whether it was interrupted."""
    order = _order(run)
    with opened(run, backend, progress) as session:
        try:
            session.calibrate()
            return not all(session.play(case, repeat, order) for case, repeat in order)
        except KeyboardInterrupt:
            return True


@contextmanager
def opened(run: Run, backend: Backend, progress: Progress) -> Iterator[RunInProgress]:
    """Start the server of a run and write its plan."""
    run.records.mkdir(parents=True, exist_ok=True)
    with given_back_without_plan(run.directory), deletions_named(run.directory), backend.server() as server:
        progress("target", {"url": server.url, "profile": server.profile, "note": server.note})
        calibrate_prompts(run, server, progress)
        yield RunInProgress(run, server, backend, progress, begin(run, server))


class RunInProgress:
    """A run while it is played: its server is up, and each repeat of a case is played on request."""

    def __init__(self, run: Run, server: Server, backend: Backend, progress: Progress, measured: Measured) -> None:
        self._run = run
        self._server = server
        self._backend = backend
        self._progress = progress
        self._measured = measured

    @property
    def server(self) -> Server:
        """The server under test."""
        return self._server

    def calibrate(self) -> None:
        """Measure the client's ceilings, if the backend has any."""
        if found := self._backend.ceilings():
            self._measured = msgspec.structs.replace(self._measured, ceilings=found)
            write_measured(self._measured, self._run.directory)

    def play(self, case: CaseSpec, repeat: int, order: Order) -> bool:
        """Play one repeat of a case and report it to the order; false if it was interrupted. Raises OSError."""
        run = self._run
        # A case that an order made before the server was there.
        case = run.with_prompts(case)
        if run.add(case):
            write_plan(run.plan, run.directory)
        if self._interrupted(case.trial(self._server.url, run.records, repeat)):
            return False
        order.ended(case, repeat, lambda: self.observe(case, repeat))
        return True

    def _interrupted(self, trial: Trial) -> bool:
        """Play a trial; whether it was interrupted."""
        started = {
            "name": trial.name,
            "repeat": trial.repeat,
            "repeats": 0 if trial.repeats_auto else trial.repeats,
            "items": _items(trial),
            "records": trial.records,
        }
        self._progress("case", started)
        facts = ExternalFacts(trial, self._run.directory, self._server)
        played = self._backend.play(trial, lambda status: self._progress("status", status))
        facts.end(played.exit_code, played.interrupted)
        done = {"name": trial.name, "log": str(played.log), "exit_code": played.exit_code}
        self._progress("case_done", done)
        return played.interrupted

    def observe(self, case: CaseSpec, repeat: int) -> Observed:
        """The figures of one repeat that was played, with the verdict on them."""
        conditions = parse(self._run.plan.slo) if self._run.plan.slo else []
        return observe(case, self._run.directory, self._measured, conditions, repeat, self._run.plan.lag_tolerance_s)


def begin(run: Run, server: Server) -> Measured:
    """Write the plan and the server's description."""
    write_plan(run.plan, run.directory)
    target = Target(server.url, server.profile, server.note)
    environment = run.plan.environment
    measured = Measured(
        target,
        machine=None if run.plan.simulated else known_machine(environment),
        cores=usable_cores(environment),
    )
    write_measured(measured, run.directory)
    return measured


def _items(trial: Trial) -> int | None:
    """Number of expected items, for the progress bar; None if a time ends the load."""
    if trial.stop_s is not None:
        return None
    if trial.scheduled is not None:
        return trial.scheduled
    if trial.items is not None or trial.input is None:
        return trial.items
    return Jsonl(trial.input, columns=trial.columns, reading=trial.reading).expected()


def _workload(trial: Trial, processes: Sequence[RecordPaths]) -> int | None:
    """The rows of the input of a repeat that lost a process; None where it is not needed or not readable."""
    whole = len(processes) >= trial.processes and all(process.end.exists() for process in processes)
    if whole or trial.items is not None or not trial.is_backlog or trial.input is None:
        return None
    try:
        return Jsonl(trial.input, columns=trial.columns, reading=trial.reading).count()
    except UsageError:
        return None


class ExternalFacts:
    """External facts of one repeat of a case; written at its end."""

    def __init__(self, trial: Trial, directory: Path, server: Server) -> None:
        self._trial = trial
        self._directory = directory
        self._server = server
        server.reset()
        self._seen = server.seen()
        self._started = time.monotonic()

    def end(self, exit_code: int, interrupted: bool = False) -> None:
        """The repeat is over."""
        trial, seen = self._trial, self._server.seen()
        processes = find_case(Path(trial.records), trial.name, trial.repeat).get(trial.repeat)
        facts = CaseFacts(
            case=trial.name,
            repeat=trial.repeat,
            exit_code=exit_code,
            interrupted="stopped by the user" if interrupted else None,
            server_seen=None if seen is None or self._seen is None else seen - self._seen,
            wall_s=time.monotonic() - self._started,
            records_sha256=digest(processes) if processes else None,
            workload=_workload(trial, processes or []),
        )
        write_facts(facts, self._directory)


class ChildProcesses:
    """Each repeat of a case in a Locust process of its own, against a real server."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self._run = run
        self._progress = progress

    def server(self) -> RunningTarget:
        """The user's server, or an embedded mock."""
        return open_server(self._run)

    def ceilings(self) -> dict[str, float]:
        """Measured against the null server, unless calibration is off."""
        run = self._run
        return ceilings(run.cases, run.directory, self._progress) if run.settings.calibrate else {}

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        """In a child process."""
        return play(trial, watch, self._run.authorization, self._run.settings.connection.for_child())
