"""The result of a finished run: written, and read for a comparison, from result.json or from its records."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.base.files import check_regular, write_atomically
from harness.client.errors import UsageError
from harness.measure.judge.conditions import FinishedRun
from harness.measure.record.plan import PLAN_FILE, Measured, Plan, read_plan
from harness.measure.reduce.case_figures import identity, run_identity
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RESULT_FILE, Case, RunResult, Verdict, decode, encode


def read_finished(path: Path) -> FinishedRun:
    """A run directory, or a result.json alone. Raises UsageError.

    A run that was interrupted, or whose result has no figures of single repeats, is computed again from its records.
    """
    directory, file = (path, path / RESULT_FILE) if path.is_dir() else (path.parent, path)
    if not path.exists():
        raise UsageError(f"{path}: no such run directory or {RESULT_FILE}")
    whole = path.is_dir() and (directory / PLAN_FILE).is_file()
    if whole and not file.is_file():
        return FinishedRun(summarize_run(directory), read_plan(directory))
    result = _decoded(file, f"{path}: not a run directory (it has no {PLAN_FILE} and no {RESULT_FILE})")
    if whole and not all(case.by_repeat for case in result.cases):
        result = summarize_run(directory)
    return FinishedRun(result, _plan(directory, result))


def to_be_played(plan: Plan) -> FinishedRun:
    """A run before it is played: its cases have conditions and no figures. Prompts are not calibrated yet."""
    cases = [Case(**identity(case, Measured())) for case in plan.cases]
    return FinishedRun(RunResult(**run_identity(plan), verdict=Verdict("inconclusive"), headline="", cases=cases))


def write_result(result: RunResult, directory: Path) -> None:
    """Write result.json into the run directory; raises OSError."""
    write_atomically(directory / RESULT_FILE, encode(result))


def _decoded(file: Path, missing: str) -> RunResult:
    try:
        check_regular(file)
        return decode(file.read_bytes())
    except FileNotFoundError:
        raise UsageError(missing) from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(f"{file}: {error}. Is it the result.json of this version of paceline?") from error


def _plan(directory: Path, result: RunResult) -> Plan | None:
    """The plan beside a result; None if it is missing, unreadable, or that of another run."""
    try:
        plan = read_plan(directory)
    except UsageError:
        return None
    return plan if plan.id == result.id and plan.started_at == result.started_at else None
