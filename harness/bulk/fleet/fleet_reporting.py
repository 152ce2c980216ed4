"""Reports the state of a run with workers: to the terminal, the live page, and the file that `process status` reads."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import msgspec

from harness.base import units
from harness.base.clock import clock
from harness.bulk.fleet.fleet_status import Snapshot, write_snapshot
from harness.bulk.fleet.opening import Opening
from harness.bulk.fleet.range_coordinator import RangeCoordinator
from harness.bulk.reporting import STATUS_S
from harness.bulk.results import Tell
from harness.bulk.tally import RowCounts, Speed


class Reporter:
    """`await report()` until it is cancelled, then `await write_end()`."""

    def __init__(
        self, opening: Opening, coordinator: RangeCoordinator, counts: Callable[[], RowCounts], tell: Tell
    ) -> None:
        self._opening = opening
        self._coordinator = coordinator
        self._counts = counts
        self._tell = tell
        # Workers that were named as slow.
        self._slow: set[str] = set()
        self._speed = Speed()
        self._written: asyncio.Task[None] | None = None

    async def report(self) -> None:
        """Report twice a second."""
        now = clock()
        while True:
            facts = self._facts()
            facts["rate_per_s"] = self._speed.add(now(), facts["counts"].settled)
            facts["workers"] = self._coordinator.members.described(now())
            self._tell("status", facts)
            self._name_stragglers(facts["workers"])
            self._written = asyncio.create_task(self._write(_snapshot(self._coordinator, facts)))
            # Its thread cannot be cancelled, and the last state is written after it.
            await asyncio.shield(self._written)
            await asyncio.sleep(STATUS_S)

    async def write_end(self) -> None:
        """Write that the session is over, so that nobody has to conclude it from silence."""
        if self._written is not None:
            await asyncio.gather(self._written, return_exceptions=True)
        facts = {**self._facts(), "in_flight": 0, "rate_per_s": 0.0, "workers": []}
        await self._write(msgspec.structs.replace(_snapshot(self._coordinator, facts), ended=True))

    async def _write(self, snapshot: Snapshot) -> None:
        await asyncio.to_thread(write_snapshot, self._opening.parts, snapshot)

    def _facts(self) -> dict[str, Any]:
        coordinator = self._coordinator
        return {
            "counts": self._counts(),
            "in_flight": coordinator.governor.in_flight,
            "lines": coordinator.lines_expected(self._opening.source.size),
            "lines_exact": coordinator.leases.closed and coordinator.is_counted,
        }

    def _name_stragglers(self, workers: list[dict[str, Any]]) -> None:
        """Say once of each worker that it is much slower than the others."""
        for worker in workers:
            name = worker["worker"]
            if worker["straggler"] and name not in self._slow:
                self._slow.add(name)
                rate = units.rate(worker["rate_per_s"])
                text = f"{name} on {worker['host']} is slower than the other workers, or silent ({rate})"
                self._tell("note", {"text": text})


def _snapshot(coordinator: RangeCoordinator, facts: dict[str, Any]) -> Snapshot:
    governor = coordinator.governor
    return Snapshot(
        facts["rate_per_s"],
        facts["in_flight"],
        facts["lines"],
        facts["counts"],
        facts["workers"],
        list(coordinator.members.lost),
        governor.limit.value if governor.limit is not None else None,
        governor.throttle.factor,
        governor.throttle.pause_s(clock()()),
        facts["lines_exact"],
        coordinator.members.waits_s,
        socket.gethostname(),
        os.getpid(),
    )
