"""What a run means to do, and the bare facts of each case: on disk before and while it runs, so that a killed run can
be reported from what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.measure.files import RECORDS, case_slug, write_atomically
from harness.measure.result import Load, Named, Target

PLAN = "plan.json"
FACTS_SUFFIX = ".case.json"


class PlanCase(msgspec.Struct, frozen=True):
    """One case as it is meant to be played."""

    name: str
    strategy: Named
    load: Load
    task: str
    target: Target
    scenario: str = "backlog"
    repeats: int = 1
    layers: dict[str, Any] = {}
    users: int = 1
    processes: int = 1
    transport: str = "asyncio"  # or "blocking": whose ceiling counts
    schedule_sha256: str | None = None


class Plan(msgspec.Struct, frozen=True):
    """`plan.json`."""

    schema_version: int
    id: str
    started_at: str  # ISO 8601, UTC
    tool: dict[str, str]
    environment: dict[str, Any]
    seed: int
    slo: str | None
    cases: list[PlanCase]
    ceilings: dict[str, float] = {}  # transport -> requests/s of one client process against a null server
    notes: list[str] = []
    command: str = ""


class CaseFacts(msgspec.Struct, frozen=True):
    """What the parent saw of one repeat of a case."""

    case: str
    repeat: int
    exit_code: int
    interrupted: str | None = None
    server_seen: int | None = None  # exchanges the server counted during this repeat
    server_cpu_s: float | None = None
    wall_s: float = 0.0


def write_plan(plan: Plan, run: Path) -> None:
    """Write or replace `plan.json`; raises OSError."""
    write_atomically(run / PLAN, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def read_plan(run: Path) -> Plan:
    """Raises OSError, or msgspec.DecodeError (ValidationError) that names the place."""
    return msgspec.json.decode((run / PLAN).read_bytes(), type=Plan)


def facts_path(run: Path, case: str, repeat: int) -> Path:
    """Where the facts of one repeat lie."""
    return run / RECORDS / f"{case_slug(case)}.r{repeat}{FACTS_SUFFIX}"


def write_facts(facts: CaseFacts, run: Path) -> None:
    """Write one repeat's facts; raises OSError."""
    write_atomically(facts_path(run, facts.case, facts.repeat), msgspec.json.encode(facts))


def read_facts(run: Path) -> dict[tuple[str, int], CaseFacts]:
    """All facts there are, by (case, repeat); a torn file counts as none."""
    found = {}
    for path in sorted((run / RECORDS).glob(f"*{FACTS_SUFFIX}")):
        try:
            facts = msgspec.json.decode(path.read_bytes(), type=CaseFacts)
        except msgspec.DecodeError:
            continue
        found[facts.case, facts.repeat] = facts
    return found
