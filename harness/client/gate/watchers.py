"""Those that wait for a vacancy, by the application that they belong to; pure.

With one application the order is that of arrival. With several the application with the fewest attempts in flight goes
first (max-min fairness), and applications that have as many take turns: so the slots are shared evenly among those that
wait here. Attempts in the line of slots.py go before all of them, in order of arrival.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from harness.client.types import Send


class Share:
    """One application's use of a gate: its transport, its attempts in flight, and its watchers."""

    __slots__ = ("in_flight", "inner", "notified", "watchers")

    def __init__(self, inner: Send) -> None:
        self.inner = inner
        self.in_flight = 0
        # Watchers that were notified and have not run since.
        self.notified = 0
        self.watchers: OrderedDict[asyncio.Future[int], None] = OrderedDict()


class Watchers:
    """Adds, removes and chooses watchers; each operation but `pop` takes constant time."""

    __slots__ = ("_shares", "count")

    def __init__(self) -> None:
        # Only those with watchers, in the order in which they take turns.
        self._shares: OrderedDict[Share, None] = OrderedDict()
        # All of them, as an attribute: it is asked for with each attempt.
        self.count = 0

    def add(self, watch: asyncio.Future[int], share: Share, first: bool = False) -> None:
        """One more; with `first` before the others of its application."""
        if not share.watchers:
            self._shares[share] = None
        share.watchers[watch] = None
        if first:
            share.watchers.move_to_end(watch, last=False)
            self._shares.move_to_end(share, last=False)
        self.count += 1

    def discard(self, watch: asyncio.Future[int], share: Share) -> None:
        """It waits no longer."""
        if watch in share.watchers:
            del share.watchers[watch]
            self._removed(share)

    def pop(self) -> tuple[asyncio.Future[int], Share]:
        """The next one."""
        share = next(iter(self._shares))
        if len(self._shares) > 1:
            share = min(self._shares, key=_load)
            self._shares.move_to_end(share)
        watch, _ = share.watchers.popitem(last=False)
        self._removed(share)
        return watch, share

    def _removed(self, share: Share) -> None:
        self.count -= 1
        if not share.watchers:
            del self._shares[share]


def _load(share: Share) -> int:
    return share.in_flight + share.notified
