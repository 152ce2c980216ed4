"""Keeps one worker going: starts it, exchanges messages with it, and replaces it when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec

from harness.base import units
from harness.bulk.fleet.engines.worker_engine import Contact, WorkerEngine
from harness.bulk.fleet.messages import Beat, Reply, WorkerLostError, WorkerOrder
from harness.bulk.fleet.range_coordinator import RangeCoordinator
from harness.bulk.fleet.starts import Starts
from harness.client.errors import UsageError

# A worker that is silent for so many times the life of a lease is ended.
_SILENT_TTLS = 2
# Before its first message it holds nothing, and a busy cluster starts processes slowly.
_STARTING_TTLS = 12
_AGAIN_MIN_S, _AGAIN_MAX_S = 0.2, 10.0
# Losses in a row of one worker, without a beat in between, that end the run.
_STARTS_MAX = 3


async def attend(
    engine: WorkerEngine, coordinator: RangeCoordinator, starts: Starts, order: WorkerOrder, note: Callable[[str], None]
) -> None:
    """Return when nothing is left to do, or the run stops. Raises OSError if the journal cannot be written."""
    failures, after_s, again_s, count = 0, 0.0, _AGAIN_MIN_S, 0
    while not coordinator.leases.all_done and not coordinator.stopping:
        count += 1
        name = order.worker if count == 1 else f"{order.worker}.{count}"
        beats = 0
        try:
            of_life = msgspec.structs.replace(order, worker=name)
            async for _ in _life(engine, coordinator, starts, of_life, after_s):
                beats += 1
        except WorkerLostError as error:
            coordinator.lost(name, str(error))
            note(f"{name}: {error}")
            failures, again_s = (failures + 1, min(2 * again_s, _AGAIN_MAX_S)) if not beats else (0, _AGAIN_MIN_S)
            if failures >= _STARTS_MAX:
                coordinator.fail("worker", f"workers cannot be started: {error}")
        except UsageError as error:
            coordinator.fail("usage", str(error))
        else:
            return
        after_s = again_s


async def _life(
    engine: WorkerEngine, coordinator: RangeCoordinator, starts: Starts, order: WorkerOrder, after_s: float
) -> AsyncIterator[Beat]:
    """Start a worker and exchange messages with it until it leaves. Raises WorkerLostError."""
    silent_s = _SILENT_TTLS * order.ttl_s
    contact: Contact | None = None
    try:
        async with starts.turn(after_s) as is_needed:
            if not is_needed:
                return
            contact = await engine.start(order)
            beat = await _next_beat(contact, Reply(), _STARTING_TTLS * order.ttl_s)
        while True:
            reply = coordinator.beat(beat)
            yield beat
            if beat.leaves:
                return
            beat = await _next_beat(contact, reply, silent_s)
    finally:
        if contact is not None:
            await contact.close()


async def _next_beat(contact: Contact, reply: Reply, silent_s: float) -> Beat:
    """The next beat of a worker. One that is alive but silent is lost, too: it holds a share of the limits."""
    try:
        return await asyncio.wait_for(contact.exchange(reply), silent_s)
    except TimeoutError:
        raise WorkerLostError(f"no sign of life for {units.seconds(silent_s)}") from None
