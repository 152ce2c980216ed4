"""A run: the same load for each strategy, each case in a process of its own, then the result and its verdict.

Rules of this file
  1. The plan is on disk before the first case, facts after each: a killed run can be reported from what lies there.
  2. Repeats are interleaved (A B C, A B C): a machine that drifts must not favour whoever came first.
  3. The schedule of the embedded mock starts anew for each case, so every strategy meets the same server.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.experiment import target as targets
from harness.experiment.calibrate import ceilings
from harness.experiment.open_files import check as check_open_files
from harness.experiment.play import Played, play
from harness.experiment.prepare import Run
from harness.experiment.spec import CaseSpec
from harness.load.lines import count_lines
from harness.load.schedule import BACKLOG
from harness.measure.files import disk_failed
from harness.measure.plan import PLAN_FILE, CaseFacts, write_facts, write_plan
from harness.measure.recorder import slug
from harness.measure.result import RunResult, Target, encode
from harness.measure.summary import summarize_run, with_write_error

Progress = Callable[[str, dict[str, Any]], None]
"""Told what happens: (event, facts). Events: target, calibrated, case, status, case_done."""


def execute(run: Run, progress: Progress) -> tuple[RunResult, bool]:
    """Play every case; returns the result (also written to result.json) and whether it was interrupted."""
    return summarized(run, lambda: _play_all(run, progress))


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


def _play_all(run: Run, progress: Progress) -> bool:
    """Play the cases in their turns; whether it was interrupted."""
    settings = run.settings
    run.records.mkdir(parents=True, exist_ok=True)
    with _start_target(run) as target:
        progress("target", {"url": target.url, "profile": target.profile, "note": target.note})
        measured = Target(target.url, server=target.profile, note=target.note)
        run.plan = msgspec.structs.replace(
            run.plan, cases=[msgspec.structs.replace(case, target=measured) for case in run.plan.cases]
        )
        write_plan(run.plan, run.directory)
        interrupted = False
        try:
            if settings.calibrate:
                found = ceilings(run.specs, run.directory, progress)
                run.plan = msgspec.structs.replace(run.plan, ceilings=found)
                write_plan(run.plan, run.directory)
            for spec in _turns(run):
                if interrupted := _one(run, spec, target, progress).interrupted:
                    break
        except KeyboardInterrupt:
            interrupted = True
    return interrupted


def _turns(run: Run) -> Iterator[CaseSpec]:
    for repeat in range(run.settings.repeats):
        for spec in run.specs:
            yield msgspec.structs.replace(spec, repeat=repeat)


def _one(run: Run, spec: CaseSpec, target: targets.Target, progress: Progress) -> Played:
    spec = msgspec.structs.replace(spec, target=target.url)
    total = spec.items
    if spec.load.name != BACKLOG:
        total = len(spec.build_schedule())
    elif total is None and spec.input is not None:
        total = count_lines(Path(spec.input))
    progress("case", {"name": spec.name, "repeat": spec.repeat, "repeats": run.settings.repeats, "items": total})
    target.reset()
    seen, cpu_s = target.seen(), target.cpu_s()
    name = slug(spec.name, spec.repeat, 0)
    played = play(
        spec,
        run.settings.scenario,
        name,
        lambda status: progress("status", status),
        run.settings.processes,
        run.authorization,
    )
    after, cpu_after_s = target.seen(), target.cpu_s()
    facts = CaseFacts(
        case=spec.name,
        repeat=spec.repeat,
        exit_code=played.exit_code,
        interrupted="stopped by the user" if played.interrupted else None,
        server_seen=None if seen is None or after is None else after - seen,
        server_cpu_s=None if cpu_s is None or cpu_after_s is None else cpu_after_s - cpu_s,
        wall_s=played.wall_s,
    )
    write_facts(facts, run.directory)
    progress("case_done", {"name": spec.name, "log": str(played.log), "exit_code": played.exit_code})
    return played


def _start_target(run: Run) -> targets.Target:
    settings = run.settings
    try:
        check_open_files(run.specs, settings.processes)
        if settings.target is not None:
            return targets.remote(settings.target)
        return targets.embedded(settings.server, settings.speed, settings.seed, run.records / "mock_server.log")
    except UsageError:
        if not (run.directory / "plan.json").exists():
            shutil.rmtree(run.directory, ignore_errors=True)  # nothing was run: leave nothing behind
        raise
