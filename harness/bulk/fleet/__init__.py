"""Bulk processing by several workers: a coordinator leases ranges of the input, an engine starts the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bulk.fleet.fleet_settings import FleetSettings

if TYPE_CHECKING:
    from harness.bulk.ending import Summary
    from harness.bulk.results import Tell
    from harness.bulk.settings import ProcessSettings

__all__ = ["FleetSettings", "process_with_workers"]


async def process_with_workers(settings: ProcessSettings, fleet: FleetSettings, tell: Tell | None = None) -> Summary:
    """Work through the input with `fleet.workers` workers, and return how it ended. Raises UsageError."""
    from harness.bulk.fleet.engines.worker_engine import engine_of
    from harness.bulk.fleet.fleet import Fleet

    engine = engine_of(fleet.engine or "local", fleet.ray_address, settings.output)
    return await Fleet(settings, fleet, engine, tell).run()
