"""The coordinator's side of the lease protocol, as a state machine without files and clock.

Rules of this file
  1. A lease is a range, an epoch and a time to live. The epoch of a range grows with each lease and never repeats.
  2. A range is leased again only when its lease has ended: its worker gave it back, is known to be dead, or has not
     renewed it in time. A worker counts the time to live from an earlier instant (`held.Held`), so it has stopped by
     then.
  3. A range is done once: by a report of the epoch that holds the lease. Reports of earlier epochs are refused; a
     repeated report of the accepted epoch is accepted again, because the answer to the first may have been lost.
  4. Workers may outlive their coordinator. So a later session leases their ranges again only after the time to live,
     unless it knows that they are gone.
  5. `grant` and `done` change the state; write their result to the journal, synced, before the worker hears of it.
  6. Memory: a range is held from its cut until it was joined, so at most the ranges that are ahead of the first
     unfinished one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from harness.bulk.leases.range import Range

EARLIER = "earlier session"
"""Holder of the leases of an earlier session."""


class Lease(msgspec.Struct, frozen=True):
    """The right of one worker to process one range."""

    range: Range
    epoch: int
    worker: str


class Finished(msgspec.Struct, frozen=True):
    """A worker's report of a range whose part is synced to disk."""

    number: int
    epoch: int
    # Size and CRC-32 of the part and of its dead letters.
    part_bytes: int = 0
    part_crc: int = 0
    dead_bytes: int = 0
    dead_crc: int = 0


@dataclass
class _State:
    """A range that is not joined yet."""

    range: Range
    epoch: int = 0
    holder: str | None = None
    expires_at: float = -math.inf
    finished: Finished | None = None
    # Its input cannot be read to the end: not leased again in this session.
    aside: bool = False


class Leases:
    """Ranges of a run and who holds them. All instants are those of one clock of the caller."""

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        # No range follows the last one.
        self.closed = False
        # Number of ranges that were joined: all before this one.
        self.joined = 0
        # Numbers of ranges before the next one to cut.
        self.cut = 0
        self._states: dict[int, _State] = {}

    # Ranges.

    def add(self, new: Range) -> None:
        """A range was cut. They are added in order."""
        if new.number != self.cut:
            raise ValueError(f"range {new.number} follows range {self.cut - 1}")
        self._states[new.number] = _State(new)
        self.cut += 1

    def skip_to(self, number: int) -> None:
        """Begin with this range: all before it were joined in an earlier session."""
        self.joined = self.cut = number

    def restore(self, number: int, epoch: int, until: float = -math.inf) -> None:
        """A lease of an earlier session: its epoch is used up. Its worker may live on `until` it misses its renewal."""
        if (state := self._states.get(number)) is not None and epoch >= state.epoch:
            state.epoch, state.holder, state.expires_at = epoch, EARLIER, until

    def restore_done(self, report: Finished) -> None:
        """A range that was done in an earlier session."""
        if (state := self._states.get(report.number)) is not None:
            state.epoch, state.finished, state.holder = max(state.epoch, report.epoch), report, None

    # Leases.

    def grant(self, worker: str, now: float) -> Lease | None:
        """Lease the first free range to a worker; None if there is none."""
        self.expire(now)
        for state in self._states.values():
            if state.finished is None and state.holder is None and not state.aside:
                state.epoch += 1
                state.holder, state.expires_at = worker, now + self.ttl_s
                return Lease(state.range, state.epoch, worker)
        return None

    def renew(self, worker: str, number: int, epoch: int, now: float) -> bool:
        """Extend a lease; False if the worker does not hold it any more and must stop."""
        self.expire(now)
        state = self._held(worker, number, epoch)
        if state is None:
            return False
        state.expires_at = now + self.ttl_s
        return True

    def give_back(self, worker: str, number: int, epoch: int) -> bool:
        """A worker stopped before the range was done; False if it did not hold the lease any more."""
        state = self._held(worker, number, epoch)
        if state is not None:
            state.holder = None
        return state is not None

    def set_aside(self, worker: str, number: int, epoch: int) -> bool:
        """A worker cannot read the input of a range to its end: the others go on without it. False as `give_back`."""
        state = self._held(worker, number, epoch)
        if state is not None:
            state.holder, state.aside = None, True
        return state is not None

    def _held(self, worker: str, number: int, epoch: int) -> _State | None:
        """The range, if the worker holds this lease of it."""
        state = self._states.get(number)
        return state if state is not None and state.holder == worker and state.epoch == epoch else None

    def done(self, worker: str, report: Finished, now: float) -> bool:
        """Whether a range is done by this report. False: it is fenced, and its part must not be used."""
        self.expire(now)
        state = self._states.get(report.number)
        if state is None:
            # It was joined, so an answer was lost if the epoch is that of the part; the worker needs no other answer.
            return False
        if state.finished is not None:
            return state.finished == report
        if state.holder != worker or state.epoch != report.epoch:
            return False
        state.finished, state.holder = report, None
        return True

    def lost(self, worker: str) -> list[Lease]:
        """A worker is known to be dead: its leases end at once. Returns them."""
        ended = [state for state in self._states.values() if state.holder == worker]
        for state in ended:
            state.holder = None
        return [Lease(state.range, state.epoch, worker) for state in ended]

    def expire(self, now: float) -> None:
        """End leases that were not renewed in time."""
        for state in self._states.values():
            if state.holder is not None and state.expires_at < now:
                state.holder = None

    # Results.

    def join(self) -> None:
        """The next range was joined: forget it."""
        state = self._states.pop(self.joined)
        if state.finished is None:
            raise ValueError(f"range {self.joined} is joined before it is done")
        self.joined += 1

    @property
    def complete(self) -> bool:
        """Whether every range was joined."""
        return self.closed and not self._states

    @property
    def all_done(self) -> bool:
        """Whether nothing is left to process."""
        return self.closed and all(state.finished is not None or state.aside for state in self._states.values())

    @property
    def ahead(self) -> int:
        """Number of ranges that nobody holds and that are not done."""
        free = (state for state in self._states.values() if state.finished is None and not state.aside)
        return sum(state.holder is None for state in free)

    def unjoined(self) -> Iterator[tuple[Range, int, Finished | None]]:
        """Each range that is not joined: with its epoch, and its report once it is done."""
        for state in self._states.values():
            yield state.range, state.epoch, state.finished
