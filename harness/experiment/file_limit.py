"""Checks the open files and local ports that a case needs before its load starts, where their number is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.client.errors import UsageError
from harness.client.transport.local_ports import WIDER, local_ports
from harness.client.transport.open_files import limits
from harness.client.transport.unix_socket import is_unix
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


def check(specs: Iterable[CaseSpec], target: str | None = None) -> None:
    """Raise UsageError for a case that needs more open files in one process, or more local ports, than are allowed."""
    allowed = limits()[1]
    for spec in specs:
        if target is None or not is_unix(target):
            _check_ports(spec)
        need = needed(spec)
        if need > allowed:
            raise UsageError(
                f"strategy {spec.name}: it can have {need - RESERVE} connections in one process, which needs {need} "
                f"open files; the limit is {allowed:g} (`ulimit -n`). Raise it to {need}, keep fewer requests in "
                "flight, or use more --processes"
            )


def _check_ports(spec: CaseSpec) -> None:
    connections, ports = spec.users * _in_flight(spec), local_ports()
    if ports is not None and connections > ports:
        raise UsageError(
            f"strategy {spec.name}: it can have {connections} connections, each with a local port of its own, and "
            f"this machine has {ports} ports for one server. Widen the range with `{WIDER}`, or keep fewer requests in "
            "flight"
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
