"""Reads the runs of a folder from their result.json and gate.json alone. Nothing is computed again.

Rules of this file
  1. One bad directory never stops the list: it is left out with a reason.
  2. Of each result only the listed figures and the conditions are kept, so that memory grows by a few kB for a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.client.errors import UsageError
from harness.measure import gate_result
from harness.measure.record.plan import PLAN_FILE
from harness.measure.result import RESULT_FILE, SCHEMA_VERSION, Case, Distribution, RunResult, decode
from harness.measure.run_list_result import Kind, Left, ListedCase, ListedRun, Measured

GATE_FILE, DIFF_FILE, CANDIDATE = "gate.json", "diff.json", "candidate"
REPORT_FILE = "report.html"
PERCENTILES = ("p50", "p99")


class Read(NamedTuple):
    """A listed run, and its conditions: its result without figures. A gate without its candidate's run has none."""

    run: ListedRun
    conditions: RunResult | None


class UnlistedError(Exception):
    """Why a directory is not listed."""


def read_folder(folder: Path) -> tuple[list[Read], list[Left]]:
    """The runs directly in a folder, the oldest first, and the directories that are none. Raises UsageError."""
    found, left = list[Read](), list[Left]()
    for directory in _directories(folder):
        name = text_of(directory.name)
        try:
            found.append(_read(directory, name))
        except UnlistedError as reason:
            left.append(Left(name, str(reason)))
    return sorted(found, key=lambda one: (_instant(one.run.started_at), one.run.path)), left


def text_of(name: str) -> str:
    """A file name that can be printed and encoded, also if its bytes are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _directories(folder: Path) -> Iterator[Path]:
    """Without hidden ones. A folder that is a run itself is listed alone."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    if any((folder / name).is_file() for name in (RESULT_FILE, GATE_FILE)):
        raise UsageError(f"{folder}: is a run itself; give the folder that holds it, such as {folder.resolve().parent}")
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror or error}") from error
    for path in inside:
        if path.is_dir() and not path.name.startswith("."):
            yield path


def _read(directory: Path, name: str) -> Read:
    try:
        if (directory / GATE_FILE).is_file():
            return _gate(directory, name)
        if (directory / RESULT_FILE).is_file():
            return _run(directory, name)
        raise UnlistedError(_absent(directory))
    except OSError as error:
        raise UnlistedError(error.strerror or str(error)) from error


def _absent(directory: Path) -> str:
    """Why there is no result."""
    if (directory / PLAN_FILE).is_file():
        return "no result.json: it still runs, or was interrupted. `paceline report` makes one from its records"
    if (directory / DIFF_FILE).is_file():
        return "a comparison of two runs, not a run"
    return "not a run directory (it has no result.json and no gate.json)"


def _run(directory: Path, name: str) -> Read:
    result = _decoded(directory / RESULT_FILE)
    kind: Kind = "capacity" if result.capacity else "sweep" if result.sweep else "run"
    cases = [] if kind == "capacity" else [_case(case) for case in result.cases]
    run = ListedRun(
        path=name,
        kind=kind,
        id=result.id,
        started_at=result.started_at,
        status=result.verdict.status,
        text=_headline(result),
        simulated=result.simulated,
        partial=any(case.partial for case in result.cases),
        report=(directory / REPORT_FILE).is_file(),
        cases=cases,
    )
    return Read(run, _conditions(result))


def _headline(result: RunResult) -> str:
    """The answer of a capacity search, else the headline."""
    answers = [answer.text for answer in result.capacity.answers if answer.text] if result.capacity else []
    return " ".join(answers) or result.headline


def _gate(directory: Path, name: str) -> Read:
    """A gate, with the figures of its candidate if its result is there and sound."""
    try:
        gate = gate_result.decode((directory / GATE_FILE).read_bytes())
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise UnlistedError(f"gate.json is damaged: {error}") from error
    if gate.schema_version != gate_result.GATE_VERSION:
        raise UnlistedError(f"gate.json has schema_version {gate.schema_version}, not {gate_result.GATE_VERSION}")
    try:
        result = _decoded(directory / CANDIDATE / RESULT_FILE)
    except (UnlistedError, OSError):
        result = None
    run = ListedRun(
        path=name,
        kind="gate",
        id=gate.candidate,
        started_at=gate.started_at or (result.started_at if result else ""),
        status=gate.status,
        text=gate.text,
        simulated=result is not None and result.simulated,
        partial=gate.stopped,
        report=(directory / REPORT_FILE).is_file(),
        cases=[_case(case) for case in result.cases] if result else [],
    )
    return Read(run, _conditions(result) if result else None)


def _decoded(path: Path) -> RunResult:
    data = path.read_bytes()
    try:
        return decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        text = str(error)
        if text.startswith("schema_version: "):
            version = text.removeprefix("schema_version: ").partition(",")[0]
            raise UnlistedError(
                f"result.json has schema_version {version}, not {SCHEMA_VERSION}: made by another version of paceline"
            ) from error
        raise UnlistedError(f"result.json is damaged: {text}") from error


def _case(case: Case) -> ListedCase:
    counts, rates = case.counts, case.rates_per_s
    backlog = case.load.kind == "backlog"
    # The last item of a backlog waits for all others, so its latency is a matter of the backlog's length.
    name, spread = ("service", case.service_time_s) if backlog else ("latency", case.latency_s)
    completed = Measured("completed", "1/s", rates.completed, rates.completed_low, rates.completed_high)
    return ListedCase(
        name=case.name,
        scenario=case.scenario,
        task=case.task,
        failed_share=counts.failed_share,
        slo_passed=all(check.passed for check in case.slo) if case.slo else None,
        partial=case.partial,
        figures=[completed, *_percentiles(name, spread)],
    )


def _percentiles(name: str, spread: Distribution) -> Iterator[Measured]:
    for point in PERCENTILES:
        found = getattr(spread, point)
        yield Measured(f"{name}_{point}", "s", found.value, found.low, found.high)


def _conditions(result: RunResult) -> RunResult:
    """The result without its figures."""
    return msgspec.structs.replace(
        result,
        cases=[_bare(case) for case in result.cases] if result.capacity is None else [],
        sweep=None,
        capacity=None,
        precision=None,
        control=None,
        comparisons=[],
        findings=[],
    )


def _bare(case: Case) -> Case:
    return Case(
        name=case.name,
        strategy=case.strategy,
        load=case.load,
        task=case.task,
        target=case.target,
        scenario=case.scenario,
        layers=case.layers,
        transport=case.transport,
    )


def _instant(text: str) -> float:
    """The instant of an ISO 8601 text, also with another time zone; before all others if it is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return float("-inf")
