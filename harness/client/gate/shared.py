"""One gate for all applications of a process that send to one server.

Two applications that each have a limit of their own learn against each other: each sees only its share of the queue
that both cause. So the streams of an event loop that send to the same endpoint, with the same limit and settings, share
one gate: one limit learns from all attempts, and the slots are divided evenly among those that wait for a vacancy
(watchers.py). Attempts that do not wait for one, such as retries, stand in one line in order of arrival (slots.py). The
line goes first, so an application with many retries delays the others until its line is empty. Each application keeps
its own transport and its own layers. The gate is shared as long as one of its streams lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from weakref import WeakKeyDictionary, WeakValueDictionary

from harness.client.bound import Bound
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.memory import NewLimit, current_memory
from harness.client.gate.observer import observed
from harness.client.gate.watchers import Share
from harness.client.protocols import endpoint_of
from harness.client.types import Limit, Request, Response, Send

_Key = tuple[str, str, Hashable]


class _Found:
    """A gate that a new stream finds. Only streams keep this object; timers of the loop may keep the gate longer."""

    __slots__ = ("__weakref__", "gate")

    def __init__(self, gate: ConcurrencyLimit) -> None:
        self.gate = gate


_GATES: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[_Key, _Found]] = WeakKeyDictionary()


class GateView:
    """A gate as one of several senders sees it."""

    def __init__(self, gate: ConcurrencyLimit) -> None:
        self._gate = gate

    @property
    def limit(self) -> Limit:
        """The limit of all together."""
        return self._gate.limit

    @property
    def in_flight(self) -> int:
        """Attempts in flight of all together."""
        return self._gate.in_flight

    @property
    def bound(self) -> Bound:
        """What keeps the next attempt from starting now, of whichever sender."""
        return self._gate.bound

    @property
    def vacant(self) -> bool:
        """A slot is free, and nobody waits for it."""
        return self._gate.vacant


class SharedGate(GateView):
    """One application's way through a gate that others use as well."""

    def __init__(self, found: _Found, inner: Send) -> None:
        super().__init__(found.gate)
        self._found = found
        self._share = Share(inner)
        self._gate.shares += 1

    def __del__(self) -> None:
        # The last one that is left has the quick path again.
        self._gate.shares -= 1

    async def __call__(self, request: Request, /) -> Response:
        return await self._gate.attempt(request, self._share)

    @property
    def vacant(self) -> bool:
        """A slot is free, and nobody waits for it."""
        gate = self._gate
        return gate.vacant if gate.shares == 1 else gate.unclaimed

    async def vacancy(self) -> None:
        """Return when a slot is free and it is this application's turn. The slot is not reserved."""
        await self._gate.vacancy(self._share)


def adaptive_gate(
    send: Send, new_limit: NewLimit, name: str, settings: Hashable = None, shared: bool = True
) -> ConcurrencyLimit | SharedGate:
    """The gate before `send`: the one of its server if it has an endpoint, else one of its own.

    `name` is that of the limit, under which a memory keeps what it learns. Streams share a gate only if their `name`
    and `settings` are equal.
    """
    endpoint = endpoint_of(send)
    # Outside of a loop it is not known which applications will run together.
    loop = _running_loop()
    if not endpoint or loop is None or not shared:
        return ConcurrencyLimit(send, observed(_limit(endpoint, name, new_limit)))
    gates = _GATES.setdefault(loop, WeakValueDictionary())
    key = (endpoint, name, settings)
    found = gates.get(key)
    if found is None:
        found = gates[key] = _Found(ConcurrencyLimit(send, observed(_limit(endpoint, name, new_limit))))
        found.gate.shares = 0
    return SharedGate(found, send)


def _limit(endpoint: str, name: str, new_limit: NewLimit) -> Limit:
    """The limit, with the findings about the server in the memory of this context."""
    memory = current_memory()
    return new_limit(None) if memory is None or not endpoint else memory.limit(endpoint, name, new_limit)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
