"""Plays a gate: baseline and candidate in alternation, in one job, until the checks are decided.

Rules of this file
  1. Pairs are played A B B A: drift of the machine hits both alike. Which one begins a block is drawn from the seed.
  2. Stage 1 plays a few pairs and can only pass. Everything else goes on to stage 2 with more pairs, pooled with the
     first ones. A failure is then played again; `judge.gate` asks for it to repeat itself. Without these further pairs
     (after Ctrl-C) it is no failure.
  3. Each side is a whole run with a directory of its own, so that both can be reported.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.experiment.backend import Backend, Progress
from harness.experiment.directory_lock import DirectoryLock
from harness.experiment.gate_settings import GateSettings
from harness.experiment.order import Interleaved
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import ChildProcesses, RunInProgress, opened
from harness.experiment.run_directory import holds_a_run
from harness.experiment.server_command import started
from harness.experiment.settings import RunSettings
from harness.measure.gate_result import Gate, encode
from harness.measure.judge.compared_figures import named
from harness.measure.judge.conditions import FinishedRun, obstacles, other_transports
from harness.measure.judge.gate import judge
from harness.measure.judge.gate_capacity import with_capacity
from harness.measure.record.plan import PLAN_FILE
from harness.measure.reduce.finished import read_finished, to_be_played, write_result
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RESULT_FILE

GATE_FILE = "gate.json"
WRITTEN = (
    GATE_FILE,
    "baseline.log",
    "candidate.log",
    "report.html",
    "report.md",
    "report.junit.xml",
    "charts/forest.png",
)
"""The files of a gate beside the runs of its sides."""


def play(wanted: GateSettings, settings: RunSettings, directory: Path, progress: Progress) -> Gate:
    """Play the gate that the settings describe. Raises UsageError; a Ctrl-C ends it with what was measured."""
    wanted.check(settings.target)
    # Read before anything is replaced or played.
    baseline = None if wanted.baseline is None else read_finished(Path(wanted.baseline))
    capacities = wanted.capacities()
    lock = lay_out(directory, settings.overwrite, wanted.baseline)
    try:
        gate = _played(wanted, settings, directory, baseline, progress) if wanted.plays else None
    finally:
        lock.release()
    if capacities is not None:
        gate = with_capacity(gate, *capacities, wanted.capacity_limit)
    if gate is None:
        raise UsageError("nothing to judge")
    write_atomically(directory / GATE_FILE, encode(gate))
    return gate


def _played(
    wanted: GateSettings, settings: RunSettings, directory: Path, baseline: FinishedRun | None, progress: Progress
) -> Gate:
    """Start the servers and play both sides, or the candidate alone."""
    with ExitStack() as servers:

        def target(option: str, command: str | None, url: str | None, log: str) -> str | None:
            if command is None:
                return url
            return servers.enter_context(started(option, command, directory / log, wanted.start_timeout_s))

        url = target("--candidate-cmd", wanted.candidate_cmd, settings.target, "candidate.log")
        candidate = _side(settings, directory / "candidate", url)
        if baseline is not None:
            run = prepare(candidate)
            return against_run(wanted, run, ChildProcesses(run, _of_side(run, progress)), baseline, progress)
        base = target("--baseline-cmd", wanted.baseline_cmd, wanted.baseline_target, "baseline.log")
        runs = [prepare(_side(settings, directory / "baseline", base)), prepare(candidate)]
        backends = [ChildProcesses(run, _of_side(run, progress)) for run in runs]
        return interleaved(wanted, runs, backends, progress)


def _of_side(run: Run, progress: Progress) -> Progress:
    """The events of one side, with its name."""
    return lambda event, facts: progress(event, {**facts, "side": run.directory.name})


def _side(settings: RunSettings, out: Path, target: str | None) -> RunSettings:
    return replace(settings, out=out, target=target, repeats=1)


def lay_out(directory: Path, overwrite: bool, baseline: str | None) -> DirectoryLock:
    """Make the directory of a gate, without what an earlier one left there. Raises UsageError."""
    sides = [directory / "baseline", directory / "candidate"]
    if ((directory / GATE_FILE).exists() or any(map(holds_a_run, sides))) and not overwrite:
        raise UsageError(f"--out {directory}: holds a gate already; choose another directory or add --overwrite")
    replaced = {path.resolve() for side in sides for path in (side, side / RESULT_FILE)}
    if baseline is not None and Path(baseline).resolve() in replaced:
        raise UsageError(f"--baseline {baseline}: this gate would replace it; choose another directory for --out")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        for name in WRITTEN:
            (directory / name).unlink(missing_ok=True)
        for side in sides:
            if (side / PLAN_FILE).exists():
                shutil.rmtree(side)
    except OSError as error:
        raise UsageError(f"--out {directory}: {error.strerror}") from error
    return lock


def against_run(wanted: GateSettings, run: Run, backend: Backend, baseline: FinishedRun, progress: Progress) -> Gate:
    """The candidate's repeats against a run that was made earlier. Raises UsageError if they cannot be compared."""
    figures = named(wanted.figures)
    with ExitStack() as stack:
        stack.callback(run.release)
        _check_cases(wanted, baseline, run)
        _check_comparable(wanted, baseline, to_be_played(run.plan))
        side = Side(run, stack.enter_context(opened(run, backend, _of_side(run, progress))))

        def judged(confirmed_from: int | None = None) -> Gate:
            return judge(baseline, side.finished(), figures, wanted.limit, False, confirmed_from)

        def repeats(first: int, last: int) -> bool:
            for number in range(first, last):
                if not side.play(number):
                    return False
                if number == 0:
                    # Again, because made-up prompts are calibrated with the server.
                    _check_comparable(wanted, baseline, side.finished())
            return True

        return decided([wanted.pairs], wanted.pairs, [side], repeats, judged)


def _check_cases(wanted: GateSettings, baseline: FinishedRun, run: Run) -> None:
    """Refuse a gate whose cases the baseline does not have, before anything is played."""
    before, here = ([case.name for case in cases] for cases in (baseline.result.cases, run.cases))
    if not set(before) & set(here):
        raise UsageError(
            f"--baseline {wanted.baseline} has the cases {', '.join(before)}, and this gate would play "
            f"{', '.join(here)}: name the strategies of the baseline with -s"
        )


def _check_comparable(wanted: GateSettings, baseline: FinishedRun, candidate: FinishedRun) -> None:
    if found := obstacles(baseline, candidate):
        said = "; ".join(f"{one.label} is {one.before} there and {one.after} here" for one in found)
        raise UsageError(
            f"--baseline {wanted.baseline} cannot be compared: {said}. Give this command the load of the baseline"
        )
    for other in other_transports(baseline.result, candidate.result):
        raise UsageError(
            f"--baseline {wanted.baseline} cannot be compared: {other.label} is {other.before} there and "
            f"{other.after} here. Add --transport {other.before}"
        )


def interleaved(wanted: GateSettings, runs: Sequence[Run], backends: Sequence[Backend], progress: Progress) -> Gate:
    """Both sides in alternation, in stages."""
    figures, turns = named(wanted.figures), blocks(runs[0].settings.effective_seed)
    with ExitStack() as stack:
        for run in runs:
            stack.callback(run.release)
        sides = [
            Side(run, stack.enter_context(opened(run, to, _of_side(run, progress))))
            for run, to in zip(runs, backends, strict=True)
        ]

        def judged(confirmed_from: int | None = None) -> Gate:
            baseline, candidate = (side.finished() for side in sides)
            return judge(baseline, candidate, figures, wanted.limit, True, confirmed_from)

        def pairs(first: int, last: int) -> bool:
            return all(sides[turn].play(number) for number in range(first, last) for turn in next(turns))

        return decided([wanted.pairs, wanted.pairs_max], wanted.confirmation, sides, pairs, judged)


def decided(
    stages: Sequence[int],
    confirmation: int,
    sides: Sequence[Side],
    play: Callable[[int, int], bool],
    judged: Callable[[int | None], Gate],
) -> Gate:
    """Play stage after stage until the gate is decided.

    Args:
        stages: Number of repeats after each stage. Each but the last can only pass.
        confirmation: Number of further repeats in which a failure has to repeat itself.
        sides: Runs to be played.
        play: Plays the repeats from one number to another; false after Ctrl-C.
        judged: The gate so far, with the number of the first repeat that confirms a failure.
    """
    done, last = 0, stages[-1]
    try:
        for side in sides:
            side.calibrate()
        for stage in stages:
            if not play(done, stage):
                return judged(last)
            done, gate = stage, judged(None)
            if gate.status in ("passed", "invalid") or _without_figure(gate):
                return gate
        if gate.status == "failed":
            play(last, last + confirmation)
            return judged(last)
    except KeyboardInterrupt:
        # A failure that could not be confirmed is none.
        return judged(last)
    return gate


def _without_figure(gate: Gate) -> bool:
    """Whether a check has nothing to judge, which further repeats do not change."""
    return any(check.figure is not None and check.figure.effect is None for check in gate.checks)


class Side:
    """One side of the gate: its run, played repeat by repeat."""

    def __init__(self, run: Run, session: RunInProgress) -> None:
        self._run = run
        self._session = session
        self._order = Interleaved(run.cases)

    def calibrate(self) -> None:
        """Measure the client's ceilings."""
        self._session.calibrate()

    def play(self, repeat: int) -> bool:
        """Play one repeat of every case; false if it was interrupted."""
        return all(self._session.play(case, repeat, self._order) for case in self._run.cases)

    def finished(self) -> FinishedRun:
        """The result so far, also written to the run's directory."""
        result = summarize_run(self._run.directory)
        write_result(result, self._run.directory)
        return FinishedRun(result, self._run.plan)


def blocks(seed: int) -> Iterator[tuple[int, int]]:
    """The turns of pair after pair: A B, B A, then the next block, which B may begin."""
    rng = random.Random(seed)
    while True:
        first = rng.randrange(2)
        yield first, 1 - first
        yield 1 - first, first
