"""Checks the settings of a run and lays out its directory. Nothing is started here."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.client.errors import UsageError
from harness.client.redaction import redact
from harness.client.transport.choice import check_transport
from harness.client.transport.connection_settings import facts
from harness.client.transport.endpoint import Access
from harness.client.transport.server import check_answers, check_url
from harness.experiment.cases import cases, check_numbers, check_simulated, describe
from harness.experiment.directory_lock import DirectoryLock
from harness.experiment.order import Order
from harness.experiment.run_directory import check_free, lay_out
from harness.experiment.scenario import Description
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec
from harness.measure.judge import slo as slos
from harness.measure.prompt_result import PromptPlan
from harness.measure.record.environment import environment, simulated_environment
from harness.measure.record.plan import PLAN_VERSION, Plan, PlanCase, RunKind

CONTROL_REPEATS = 6
"""Below 6 pairs there is no interval of the noise."""


C = TypeVar("C", bound=PlanCase)


@dataclass
class Run:
    """A prepared run: everything checked, nothing started."""

    settings: RunSettings
    directory: Path
    cases: list[CaseSpec]
    plan: Plan
    # Headers, TLS and proxy for the target. Their secrets are written to no file.
    access: Access = field(default_factory=lambda: Access(""), repr=False)
    lock: DirectoryLock | None = field(default=None, repr=False)
    # Which repeat of which case comes next [default: as many repeats as were asked for].
    order: Order | None = field(default=None, repr=False)
    # Made-up prompts, calibrated with the server.
    prompts: PromptPlan | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str | None:
        """The Authorization header for the target."""
        return self.access.authorization

    @property
    def records(self) -> Path:
        return self.directory / "records"

    def release(self) -> None:
        """Let other runs have the directory: all of this one is written."""
        if self.lock is not None:
            self.lock.release()

    def with_prompts(self, case: C) -> C:
        """The case with its prompts as they were calibrated."""
        if case.prompts is None or self.prompts is None:
            return case
        return msgspec.structs.replace(case, prompts=self.prompts)

    def add(self, case: CaseSpec) -> bool:
        """Add a case to the plan, or replace the one of its name; false if nothing changes."""
        planned = {one.name: one for one in self.plan.cases}
        if planned.get(case.name) == case:
            return False
        self.plan = msgspec.structs.replace(self.plan, cases=list({**planned, case.name: case}.values()))
        return True


Planned = Callable[[RunSettings, type[Description]], list[CaseSpec]]
"""Makes the cases of a run from its settings and its scenario. Raises UsageError."""


def prepare(
    settings: RunSettings,
    scenario: type[Description] | None = None,
    kind: RunKind = "compare",
    planned: Planned = cases,
) -> Run:
    """Check every setting and lay the run directory out; raises UsageError for the first mistake.

    Args:
        settings: The settings of the run.
        scenario: The scenario's class, if it is loaded already.
        kind: The question that the run answers; the name of its directory ends in it.
        planned: Makes the cases. The default is one case for each strategy.
    """
    check_numbers(settings)
    check_transport(settings.transport, has_proxy=settings.connection.proxy is not None)
    if settings.slo:
        slos.parse(settings.slo)
    found = planned(settings, scenario or describe(settings.scenario))
    _check_reference(settings.reference, found)
    control = _control(settings, found) if kind == "compare" and settings.control else None
    found = [*found, control] if control is not None else found
    if settings.simulated:
        check_simulated(found)
    to = settings.connection.access(settings.target or "")
    if settings.target is None and settings.connection.needs_target:
        raise UsageError("--header, --ca, --cert, --key, --insecure and --proxy need --target: the mock takes none")
    target = None if settings.target is None else check_url(to.url)
    settings = replace(settings, target=target, command=redact(settings.command))
    directory = _directory(settings, settings.scenario if kind == "compare" else kind)
    plan = _plan(settings, directory, found, kind)
    if control is not None:
        plan = msgspec.structs.replace(plan, control=control.name)
    run = Run(settings, directory, found, plan, to)
    if target is not None and settings.overwrite:
        check_answers(target, to)
    # With --overwrite this deletes the old run, so everything was checked before.
    run.lock = lay_out(directory)
    return run


def _control(settings: RunSettings, cases: list[CaseSpec]) -> CaseSpec:
    """The reference once more, under another name."""
    if settings.repeats != "auto" and settings.repeats < CONTROL_REPEATS:
        raise UsageError(f"--control: the noise shows between repeats; needs --repeats of at least {CONTROL_REPEATS}")
    reference = next(case for case in cases if settings.reference in (None, case.name))
    return msgspec.structs.replace(reference, name=f"{reference.name} (control)")


def _check_reference(name: str | None, cases: list[CaseSpec]) -> None:
    names = [case.name for case in cases]
    if name is not None and name not in names:
        raise UsageError(f"--reference {name}: no such case; cases: {', '.join(names)}")


def _plan(settings: RunSettings, directory: Path, cases: list[CaseSpec], kind: RunKind) -> Plan:
    return Plan(
        schema_version=PLAN_VERSION,
        id=directory.name,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        tool={"name": "paceline", "version": _version(), "python": sys.version.split()[0]},
        environment=simulated_environment() if settings.simulated else environment(),
        seed=settings.effective_seed,
        slo=settings.slo,
        lag_tolerance_s=settings.lag_tolerance,
        cases=list(cases),
        notes=list(settings.notes),
        command=settings.command,
        simulated=settings.simulated,
        kind=kind,
        reference=settings.reference,
        precision=settings.precision,
        connection=facts(settings.connection),
    )


def _directory(settings: RunSettings, label: str) -> Path:
    stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    directory = settings.out or Path("runs") / f"{stamp}-{re.sub(r'[^a-z0-9-]+', '-', label)}"
    check_free(directory, settings.overwrite)
    return directory


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("paceline")
    except PackageNotFoundError:
        return "source"
