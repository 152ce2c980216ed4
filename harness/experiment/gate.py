"""Plays a gate: baseline and candidate in alternation, in one job, until the checks are decided.

Rules of this file
  1. Pairs are played A B B A: drift of the machine hits both alike. Which one begins a block is drawn from the seed.
  2. Stage 1 plays a few pairs and can only pass. Everything else goes on to stage 2 with more pairs, pooled with the
     first ones. A failure is then played again; `judge.gate` asks for it to repeat itself.
  3. Each side is a whole run with a directory of its own, so that both can be reported.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.base.files import write_atomically
from harness.base.options import option
from harness.base.quantity import duration_s, share
from harness.client.errors import UsageError
from harness.experiment.order import Interleaved
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import Backend, ChildProcesses, Progress, Session, execute, opened
from harness.experiment.server_command import started
from harness.experiment.settings import RunSettings
from harness.measure.gate_result import Gate, encode
from harness.measure.judge.compared_figures import named
from harness.measure.judge.conditions import Finished, obstacles
from harness.measure.judge.gate import LIMIT, judge
from harness.measure.reduce.finished import read_finished
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import encode as encode_run

GATE_FILE = "gate.json"


@dataclass(frozen=True)
class GateSettings:
    """The options of a gate."""

    baseline: str | None = option(None, "Run directory to hold the candidate against.", metavar="DIR")
    baseline_cmd: str | None = option(None, "Command that starts the baseline server; {port} is a free port.")
    candidate_cmd: str | None = option(None, "Command that starts the candidate server; {port} is a free port.")
    baseline_target: str | None = option(None, "URL of a baseline server that is running.", metavar="URL")
    start_timeout_s: float = option(60.0, "Seconds to wait for a started server to answer.", kind=duration_s)
    limit: float = option(LIMIT, "Change for the worse that does not count.", kind=share)
    figures: tuple[str, ...] = option(
        (), "Figure to judge, such as p95; repeatable [default: few that fit the load].", flag="--figure"
    )
    pairs: int = option(8, "Pairs of the first stage, or repeats of the candidate.", least=1, most=500)
    pairs_max: int = option(16, "Pairs after the second stage.", least=1, most=500)

    def check(self, target: str | None) -> None:
        """Raise UsageError unless it says which two sides to compare."""
        named(self.figures)
        sides = [self.baseline, self.baseline_cmd, self.baseline_target]
        if sum(side is not None for side in sides) != 1:
            raise UsageError("name the baseline with one of --baseline DIR, --baseline-cmd or --baseline-target URL")
        if self.candidate_cmd is not None and target is not None:
            raise UsageError("--candidate-cmd and --target exclude each other: the candidate is one of them")
        if self.baseline is None and self.candidate_cmd is None and target is None:
            raise UsageError("name the candidate with --candidate-cmd or --target URL")
        if self.pairs_max < self.pairs:
            raise UsageError(f"--pairs-max {self.pairs_max}: must be at least --pairs {self.pairs}")


def play(wanted: GateSettings, settings: RunSettings, directory: Path, progress: Progress) -> Gate:
    """Play the gate that the settings describe. Raises UsageError; a Ctrl-C ends it with what was measured."""
    wanted.check(settings.target)
    baseline = None if wanted.baseline is None else read_finished(Path(wanted.baseline))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {directory}: {error.strerror}") from error
    with ExitStack() as servers:

        def target(option: str, command: str | None, url: str | None, log: str) -> str | None:
            if command is None:
                return url
            return servers.enter_context(started(option, command, directory / log, wanted.start_timeout_s))

        url = target("--candidate-cmd", wanted.candidate_cmd, settings.target, "candidate.log")
        candidate = _side(settings, directory / "candidate", url)
        if baseline is not None:
            gate = against_run(wanted, replace(candidate, repeats=wanted.pairs), baseline, progress)
        else:
            base = target("--baseline-cmd", wanted.baseline_cmd, wanted.baseline_target, "baseline.log")
            runs = [prepare(_side(settings, directory / "baseline", base)), prepare(candidate)]
            gate = interleaved(wanted, runs, [ChildProcesses(run, progress) for run in runs], progress)
    write_atomically(directory / GATE_FILE, encode(gate))
    return gate


def _side(settings: RunSettings, out: Path, target: str | None) -> RunSettings:
    return replace(settings, out=out, target=target, repeats=1)


def against_run(wanted: GateSettings, settings: RunSettings, baseline: Finished, progress: Progress) -> Gate:
    """The candidate's repeats against a run that was made earlier. Raises UsageError if they cannot be compared."""
    run = prepare(settings)
    result, _ = execute(run, progress)
    candidate = Finished(result, run.plan)
    if found := obstacles(baseline, candidate):
        first = found[0]
        raise UsageError(
            f"--baseline {wanted.baseline} cannot be compared: {first.name} is {first.before} there and "
            f"{first.after} here. Give this command the load of the baseline"
        )
    return judge(baseline, candidate, named(wanted.figures), wanted.limit, paired=False)


def interleaved(wanted: GateSettings, runs: Sequence[Run], backends: Sequence[Backend], progress: Progress) -> Gate:
    """Both sides in alternation, in stages."""
    with ExitStack() as stack:
        for run in runs:
            stack.callback(run.release)
        sessions = [stack.enter_context(opened(run, to, progress)) for run, to in zip(runs, backends, strict=True)]
        return _stages(wanted, runs, sessions)


def _stages(wanted: GateSettings, runs: Sequence[Run], sessions: Sequence[Session]) -> Gate:
    sides = [Side(run, session) for run, session in zip(runs, sessions, strict=True)]
    turns = blocks(runs[0].settings.effective_seed)
    figures, again = named(wanted.figures), None

    def judged() -> Gate:
        baseline, candidate = (side.finished() for side in sides)
        return judge(baseline, candidate, figures, wanted.limit, True, again)

    def pairs(first: int, last: int) -> bool:
        """Play the pairs of these numbers; false after Ctrl-C."""
        return all(sides[turn].play(number) for number in range(first, last) for turn in next(turns))

    try:
        for session in sessions:
            session.calibrate()
        if not pairs(0, wanted.pairs) or (gate := judged()).status in ("passed", "invalid"):
            return judged()
        if not pairs(wanted.pairs, wanted.pairs_max) or (gate := judged()).status != "failed":
            return judged()
        if any(check.kind == "regression" and check.status == "failed" for check in gate.checks):
            again = wanted.pairs_max
            pairs(wanted.pairs_max, wanted.pairs_max + wanted.pairs)
    except KeyboardInterrupt:
        pass
    return judged()


class Side:
    """One side of the gate: its run, played repeat by repeat."""

    def __init__(self, run: Run, session: Session) -> None:
        self._run = run
        self._session = session
        self._order = Interleaved(run.cases)

    def play(self, repeat: int) -> bool:
        """Play one repeat of every case; false if it was interrupted."""
        return all(self._session.play(case, repeat, self._order) for case in self._run.cases)

    def finished(self) -> Finished:
        """The result so far, also written to the run's directory."""
        result = summarize_run(self._run.directory)
        write_atomically(self._run.directory / "result.json", encode_run(result))
        return Finished(result, self._run.plan)


def blocks(seed: int) -> Iterator[tuple[int, int]]:
    """The turns of pair after pair: A B, B A, then the next block, which B may begin."""
    rng = random.Random(seed)
    while True:
        first = rng.randrange(2)
        yield first, 1 - first
        yield 1 - first, first
