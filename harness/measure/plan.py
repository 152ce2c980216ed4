"""What a run set out to do, and what was learnt from outside: on disk before and after each case.

With the record files these make a run directory whole: `summarize_run` needs nothing else, so a killed run can be
reported from what lies there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.client.errors import UsageError
from harness.measure.files import records_in, slug
from harness.measure.result import Load, Named, Target
from harness.measure.sealed import DamagedError, read_sealed, write_sealed

PLAN_FILE = "plan.json"


class PlanCase(msgspec.Struct, frozen=True):
    """One strategy under one load against one target, as planned."""

    name: str
    strategy: Named
    load: Load
    task: str
    target: Target
    scenario: str = "backlog"
    repeats: int = 1
    layers: dict[str, Any] = {}
    schedule_sha256: str | None = None
    scheduled: int | None = None  # arrivals of the schedule; None for a backlog
    span_s: float | None = None  # how long they go on
    users: int = 1  # client applications
    processes: int = 1  # Locust processes that share them
    transport: Literal["asyncio", "blocking", "simulated"] = "asyncio"


PLAN_VERSION = 1


class Plan(msgspec.Struct, frozen=True):
    """plan.json, written before the first case."""

    schema_version: int
    id: str
    started_at: str  # ISO 8601, UTC
    tool: dict[str, str]
    environment: dict[str, Any]
    seed: int
    cases: list[PlanCase]
    slo: str | None = None
    ceilings: dict[str, float] = {}  # transport (or case name) -> requests/s of one process against a null server
    interrupted: str | None = None
    notes: list[str] = []
    command: str = ""
    simulated: bool = False


class CaseFacts(msgspec.Struct, frozen=True):
    """What was learnt about one repeat of a case from outside of it, written after it."""

    case: str
    repeat: int = 0
    exit_code: int | None = None  # of the process that played it
    interrupted: str | None = None  # why it was stopped early, in words
    server_seen: int | None = None  # exchanges that the server itself counted meanwhile
    server_cpu_s: float | None = None
    wall_s: float | None = None


def write_plan(plan: Plan, directory: Path) -> None:
    """Write plan.json into the run directory; raises OSError."""
    write_sealed(directory / PLAN_FILE, plan)


def read_plan(directory: Path) -> Plan:
    """Read plan.json of a run directory; raises UsageError if there is none, or not one of ours."""
    try:
        plan = read_sealed(directory / PLAN_FILE, Plan)
    except OSError as error:
        raise UsageError(f"{directory}: not a run directory (no readable {PLAN_FILE}: {error.strerror})") from error
    except DamagedError as error:
        text = f"{directory / PLAN_FILE}: {error}. It was changed after it was written, or by an earlier version."
        raise UsageError(text) from error
    if plan.schema_version != PLAN_VERSION:
        raise UsageError(
            f"{directory / PLAN_FILE}: schema_version: {plan.schema_version}, expected {PLAN_VERSION}. "
            "Use the version of paceline that made the run"
        )
    return plan


def write_facts(facts: CaseFacts, directory: Path) -> None:
    """Write the facts of a case's repeat among the run's records; raises OSError."""
    write_sealed(_facts_path(directory, facts.case, facts.repeat), facts)


def read_facts(directory: Path, case: str, repeat: int) -> CaseFacts | None:
    """The facts of a case's repeat; None if it never came to its end. Raises DamagedError, which names the file."""
    path = _facts_path(directory, case, repeat)
    try:
        return read_sealed(path, CaseFacts)
    except DamagedError as error:
        raise DamagedError(f"{error} ({path.name})") from error
    except OSError:
        return None


def _facts_path(directory: Path, case: str, repeat: int) -> Path:
    return records_in(directory) / f"{slug(case, repeat, 0)}.facts.json"
