"""The plan of a run and the facts observed from outside, written before and after each case.

Together with the record files they are sufficient for `summarize_run`, so a killed run can still be reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.client.checks import between
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.client.layer_settings import LayerSettings
from harness.client.transport.connection_settings import ConnectionFacts
from harness.measure.capacity_result import CapacityPlan
from harness.measure.precision_result import PrecisionPlan
from harness.measure.prompt_result import PromptPlan
from harness.measure.record.files import records_in, slug
from harness.measure.record.sealed_json import DamagedError, read_sealed, write_sealed
from harness.measure.result import Named, Target
from harness.measure.self_test_result import KnownMachine
from harness.measure.sweep_result import SweepPlan
from harness.measure.trace_result import TraceFacts

PLAN_FILE = "plan.json"
MEASURED_FILE = "measured.json"
DEFAULT_SEED = 1


Transport = Literal["asyncio", "lean", "blocking", "simulated"]
"""How a case is sent: asyncio is aiohttp."""


def transport_name(transport: str) -> str:
    """The name that users give to a transport."""
    return "aiohttp" if transport == "asyncio" else transport


class TaskShare(msgspec.Struct, frozen=True):
    """A task and its weight in a mixed load."""

    task: Named
    weight: float = 1.0
    label: str | None = None  # what results show; None: the task's name

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise UsageError(f"task {self.task.name}: weight={self.weight} must be above 0")


class PlanCase(msgspec.Struct, frozen=True):
    """One strategy under one load. This is the only description of a case, from command line to report."""

    name: str
    strategy: Named
    tasks: list[TaskShare]
    load: Named = Named("backlog")
    duration_s: float = 30.0  # of arrivals
    items: int | None = None
    input: str | None = None
    columns: dict[str, str] = {}  # field of the task -> column of `input`
    reading: InputSettings = InputSettings()  # how `input` is read
    synthetic: dict[str, Any] | None = None  # settings of the synthetic workload; None: use `input`
    prompts: PromptPlan | None = None  # made-up prompts with lengths in tokens, in place of `synthetic`
    trace: TraceFacts | None = None  # the load is a trace, and so are the lengths of prompts and answers
    layers: LayerSettings = LayerSettings()
    seed: int = DEFAULT_SEED
    users: int = 1  # client applications
    processes: int = 1  # Locust processes that share them
    drain_s: float = 30.0  # time allowed for in-flight requests after the end or a stop
    scenario: str = "backlog"
    warmup_s: float | None = None  # of arrivals, that never counts; None: everything counts
    repeats: int = 1
    repeats_auto: bool = False  # the number of repeats depended on their intervals, so the intervals are widened
    transport: Transport = "asyncio"
    schedule_sha256: str | None = None
    # By repeat, where each repeat has arrivals and texts of its own (seed + repeat). Empty: all have the same.
    schedules: list[str] = []
    scheduled: int | None = None  # arrivals of the schedule; None for a backlog
    scheduled_each: list[int] = []  # by repeat, where the repeats have schedules of their own; empty for a backlog
    span_s: float | None = None  # length of the arrivals
    stop_s: float | None = None  # planned end of a backlog or of users' sessions: no item is given out after it

    def __post_init__(self) -> None:
        for name, low, high in (("users", 1, 10_000), ("drain_s", 0, 3_600), ("duration_s", 0.01, 864_000)):
            between(self, low, high, name)
        ends_by_time = self.is_backlog or self.is_sessions
        if self.stop_s is not None and not (ends_by_time and 0.01 <= self.stop_s <= 864_000):
            raise UsageError(f"stop_s={self.stop_s!r} must be between 0.01 and 864000, and no arrivals have it")
        if self.items is not None and not 1 <= self.items <= 10**12:
            raise UsageError(f"items={self.items} must be at least 1")

    def schedule_of(self, repeat: int) -> str | None:
        """The hash of the schedule that this repeat plays."""
        return self.schedules[repeat] if repeat < len(self.schedules) else self.schedule_sha256

    def scheduled_in(self, repeat: int) -> int | None:
        """The arrivals of the schedule that this repeat plays; None for a backlog."""
        return self.scheduled_each[repeat] if repeat < len(self.scheduled_each) else self.scheduled

    @property
    def is_backlog(self) -> bool:
        """Whether all items are due at once."""
        return self.load.name == "backlog"

    @property
    def is_sessions(self) -> bool:
        """Whether items are turns of sessions."""
        return self.load.name == "sessions"

    @property
    def is_timed(self) -> bool:
        """Whether a duration ends the load, or its arrivals."""
        return not self.is_backlog and (not self.is_sessions or bool(self.load.settings["arrivals"] or self.stop_s))

    @property
    def task(self) -> str:
        """The names of its tasks."""
        return " + ".join(share.label or share.task.name for share in self.tasks)


PLAN_VERSION = 2
RunKind = Literal["compare", "sweep", "capacity", "fit", "verify"]
"""The question that a run answers."""


class Plan(msgspec.Struct, frozen=True):
    """plan.json, written before the first case, and again before a case that a search adds."""

    schema_version: int
    id: str
    started_at: str  # ISO 8601, UTC
    tool: dict[str, str]
    environment: dict[str, Any]
    seed: int
    cases: list[PlanCase]
    slo: str | None = None
    lag_tolerance_s: float | None = None  # lag of the load generator that does not matter; None: derived
    notes: list[str] = []
    command: str = ""
    simulated: bool = False
    kind: RunKind = "compare"
    capacity: CapacityPlan | None = None  # of a capacity search
    precision: PrecisionPlan | None = None  # of automatic repeats
    connection: ConnectionFacts | None = None  # None: no headers, the system's certificates, no proxy
    reference: str | None = None  # name of the case that the others are compared with; None: the first
    control: str | None = None  # name of the case that plays the reference a second time
    sweep: SweepPlan | None = None  # of a sweep


class Measured(msgspec.Struct, frozen=True):
    """measured.json: the server under test and the client's ceilings, measured after the plan was written."""

    target: Target = Target("")
    ceilings: dict[str, float] = {}  # transport (or case name) -> requests/s of one process against a null server
    machine: KnownMachine | None = None  # from the stored self-test of this machine
    cores: float | None = None  # that the run could use on its machine; None: unknown


def at_once(processes: int, cores: float | None, beside_server: bool = False) -> float:
    """How many of these processes can work at the same time: all of them where the cores are unknown.

    An embedded server beside them has a core of its own, if there is more than one.
    """
    return processes if cores is None else min(processes, max(1.0, cores - beside_server))


class CaseFacts(msgspec.Struct, frozen=True):
    """Facts about one repeat of a case, observed from outside and written after it."""

    case: str
    repeat: int = 0
    exit_code: int | None = None  # of the process that ran it
    interrupted: str | None = None  # reason for an early stop, as text
    server_seen: int | None = None  # exchanges that the server counted during the repeat
    wall_s: float | None = None
    records_sha256: str | None = None  # of the request and attempt rows of all its processes
    workload: int | None = None  # rows of the input, counted where a process was killed and nothing else gives them


def write_plan(plan: Plan, directory: Path) -> None:
    """Write plan.json into the run directory; raises OSError."""
    write_sealed(directory / PLAN_FILE, plan)


def read_plan(directory: Path) -> Plan:
    """Read plan.json of a run directory. Raises UsageError if it is missing or invalid."""
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


def write_measured(measured: Measured, directory: Path) -> None:
    """Write measured.json into the run directory; raises OSError."""
    write_sealed(directory / MEASURED_FILE, measured)


def read_measured(directory: Path) -> Measured:
    """Read measured.json; empty values if the run was killed before it was written. Raises UsageError.

    It is written before the first record. Without it, a load near the client's ceiling would pass as valid.
    """
    try:
        return read_sealed(directory / MEASURED_FILE, Measured)
    except OSError as error:
        if any(records_in(directory).glob("*.requests")):
            text = f"{directory / MEASURED_FILE}: {error.strerror}. It was removed after the run, and with it the "
            raise UsageError(text + "server under test and the client's ceiling") from error
        return Measured()
    except DamagedError as error:
        raise UsageError(f"{directory / MEASURED_FILE}: {error}. It was changed after it was written") from error


def write_facts(facts: CaseFacts, directory: Path) -> None:
    """Write the facts of a case's repeat among the run's records; raises OSError."""
    write_sealed(_facts_path(directory, facts.case, facts.repeat), facts)


def read_facts(directory: Path, case: str, repeat: int) -> CaseFacts | None:
    """The facts of a case's repeat; None if it did not end. Raises DamagedError with the file name."""
    path = _facts_path(directory, case, repeat)
    try:
        return read_sealed(path, CaseFacts)
    except DamagedError as error:
        raise DamagedError(f"{error} ({path.name})") from error
    except OSError:
        return None


def _facts_path(directory: Path, case: str, repeat: int) -> Path:
    return records_in(directory) / f"{slug(case, repeat, 0)}.facts.json"
