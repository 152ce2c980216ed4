"""Checks the number of open files that a case needs before its load starts, where the number is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.client.errors import UsageError
from harness.client.transport.open_files import limits
from harness.experiment.spec import CaseSpec

RESERVE = 100
"""Files of a process beside its connections: Locust, records, modules, timers, a server's probe."""
IN_FLIGHT = {
    "adaptive": "maximum",
    "adaptive-batch": "concurrency",
    "batches": "concurrency",
    "jobs": "jobs",
    "priority": "concurrency",
    "queue-stream": "concurrency",
    "threads": "workers",
}
"""Strategy -> the setting that bounds its requests in flight."""


def check(specs: Iterable[CaseSpec]) -> None:
    """Raise UsageError for a case that needs more open files in one process than the hard limit allows."""
    allowed = limits()[1]
    for spec in specs:
        need = needed(spec)
        if need > allowed:
            raise UsageError(
                f"strategy {spec.name}: it can have {need - RESERVE} connections in one process, which needs {need} "
                f"open files; the limit is {allowed:g} (`ulimit -n`). Raise it to {need}, keep fewer requests in "
                "flight, or use more --processes"
            )


def needed(spec: CaseSpec) -> int:
    """Open files of one process with all connections of its strategy; the minimum if its bound is unknown."""
    applications = -(-spec.users // spec.processes)
    return RESERVE + applications * _in_flight(spec)


def _in_flight(spec: CaseSpec) -> int:
    settings: dict[str, Any] = spec.strategy.settings
    if spec.strategy.name == "unbounded" and spec.is_backlog:
        return -(-(spec.items or 1) // spec.users)
    return int(settings.get(IN_FLIGHT.get(spec.strategy.name, ""), 1))
