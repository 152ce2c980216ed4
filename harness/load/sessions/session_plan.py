"""The plan of a load of sessions: drawn from a seed before the run, and the same for every strategy.

Rules of this file
  1. Everything about a session is a pure function of seed and number: how many turns it has, how many came before,
     its think times, and which of its streams are cancelled. So nothing is stored for each turn.
  2. Each of these has a random generator of its own, so that another think time leaves the turns as they are.
  3. Only instants that depend on answers are left to the run: turn k + 1 is due when the answer to turn k came, plus
     think time.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from harness.base.turn_index import SESSIONS_MAX, TURNS_MAX
from harness.client.errors import UsageError
from harness.load.schedule import ARRIVALS_MAX, SESSIONS, Schedule, compute
from harness.load.sessions.distributions import think_of, turns_of

_SIZES, _NEW, _THINK, _CANCEL, _FIRST = range(5)
"""Purposes of random generators."""
DEFAULT_TURNS = "5"


class Length(NamedTuple):
    """The turns of a session: those that the history holds already, and those that are played."""

    earlier: int
    turns: int


@dataclass(frozen=True)
class SessionLoad:
    """The settings of a load of sessions, as the plan and the result show them."""

    turns: str | None = None
    think: str = "none"
    new_sessions: float = 1.0
    cancel: float = 0.0
    history: int = 16_000
    users: int | None = None
    """Users, each of whom plays one session after another; None: sessions arrive."""
    sessions: int | None = None
    """Sessions in all; None: as many as arrive, or as begin until the duration."""
    arrivals: dict[str, Any] | None = None
    """Name and settings of the load that the arrivals of sessions follow."""


class SessionPlan:
    """The sessions of a load. `sizes` are the user turns of the conversations of a file; None: made-up texts."""

    def __init__(self, load: SessionLoad, duration_s: float, seed: int, sizes: Sequence[int] | None = None) -> None:
        self.load = load
        self._duration_s = duration_s
        self._seed = seed
        self._sizes = sizes
        self._turns = turns_of(load.turns or (DEFAULT_TURNS if sizes is None else str(TURNS_MAX)))
        self._think = think_of(load.think)

    @property
    def users(self) -> int | None:
        """Users that play one session after another; None: sessions arrive."""
        return self.load.users

    @cached_property
    def offsets(self) -> array[float] | None:
        """When sessions arrive, in seconds from the load's zero; None if users play them."""
        arrivals = self.load.arrivals
        if arrivals is None:
            return None
        made = compute(arrivals["name"], arrivals["settings"], self._duration_s, self.load.sessions, self._seed)
        if len(made) > SESSIONS_MAX:
            raise UsageError(f"the load has more than {SESSIONS_MAX:,} sessions: lower --session-rate or --duration")
        return made.offsets

    @property
    def count(self) -> int | None:
        """Sessions in all; None if users begin them until a time ends the load."""
        return self.load.sessions if self.offsets is None else len(self.offsets)

    @cached_property
    def total(self) -> int | None:
        """Turns that are played, of all sessions; None if a time ends the load."""
        return None if self.count is None else sum(self.lengths)

    @cached_property
    def lengths(self) -> array[int]:
        """The turns that are played of each session, where their number is known."""
        if self._alike:
            return array("H", [self._turns.min]) * (self.count or 0)
        found = array("H")
        for session in range(self.count or 0):
            found.append(self.length(session).turns)
        return found

    def share(self, part: int, parts: int) -> int:
        """Turns of one part: of the users `part`, `part + parts` ..., or of these among the sessions that arrive."""
        users = self.users
        if users is None:
            return sum(self.lengths[part::parts])
        return sum(self.lengths[session] for session in range(len(self.lengths)) if session % users % parts == part)

    @cached_property
    def _alike(self) -> bool:
        """Whether all sessions have one number of turns, and no history."""
        return self._turns.min == self._turns.max and self.load.new_sessions >= 1 and self._sizes is None

    def length(self, session: int) -> Length:
        """The turns of a session."""
        if self._alike:
            return Length(0, self._turns.min)
        drawn, new = self._random(session, _SIZES), self._random(session, _NEW)
        turns, is_new = self._turns.draw(drawn), new.random() < self.load.new_sessions
        if self._sizes is None:
            return Length(0 if is_new else self._turns.draw(drawn), turns)
        there = min(self._sizes[session % len(self._sizes)], TURNS_MAX)
        earlier = 0 if is_new or there < 2 else new.randint(1, there - 1)
        return Length(earlier, min(there - earlier, turns))

    def thinks_s(self, session: int) -> Iterator[float]:
        """Think times of a session: before its second turn, its third ...; the last is before the user's next one."""
        rng = self._random(session, _THINK)
        while True:
            yield self._think.draw(rng)

    def first_s(self, user: int) -> float:
        """When a user begins: within a think time from the load's zero, so that they do not begin together."""
        rng = self._random(user, _FIRST)
        return rng.random() * self._think.draw(rng)

    def cancel_after(self, session: int, turn: int, tokens_max: int) -> int | None:
        """Pieces of the answer after which the client cancels the stream of a turn; None: it does not."""
        if not self.load.cancel:
            return None
        rng = self._random(session * (2 * TURNS_MAX) + turn, _CANCEL)
        return rng.randint(1, max(1, tokens_max // 2)) if rng.random() < self.load.cancel else None

    def last_s(self, answer_s: float) -> float | None:
        """When the last session ends if answers take this time on average; None if users play sessions."""
        if self.offsets is None:
            return None
        ends = (
            arrival + turns * answer_s + sum(islice(self.thinks_s(session), turns - 1))
            for session, (arrival, turns) in enumerate(zip(self.offsets, self.lengths, strict=True))
        )
        return max(ends)

    def schedule(self) -> Schedule:
        """What identifies the plan. It has no offsets, because due times depend on answers."""
        total = self.total
        if total is not None and total > ARRIVALS_MAX:
            raise UsageError(
                f"the load has {total:,} turns, more than {ARRIVALS_MAX:,}: use fewer --sessions or --turns"
            )
        identity = json.dumps(
            [SESSIONS, vars(self.load), self._duration_s, self._seed], sort_keys=True, default=str
        ).encode()
        drawn = b"" if self.offsets is None else self.offsets.tobytes()
        return Schedule(SESSIONS, None, hashlib.sha256(identity + drawn + self.lengths.tobytes()).hexdigest())

    def _random(self, number: int, purpose: int) -> Random:
        return Random((self._seed * 1_000_003 + number) * 8 + purpose)
