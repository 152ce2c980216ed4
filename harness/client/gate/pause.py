"""Whether to pause for a server that refuses everything, and how to begin again; pure.

Rules of this file
  1. A refusal with a hint (Retry-After) pauses all only if nothing was accepted since the refused attempt was sent: an
     outage, or a quota that is used up. Else it is a matter of how many, and that the limit learns.
  2. While paused, each answer that is still accepted lets one attempt start: what leaves is replaced, so a server that
     is merely full stays full. Once something is accepted that was sent after the pause began, the pause is over.
  3. After the hint one probe goes first. The rest follow when it is accepted, or when it has not been refused for
     several times as long as the refusal took: refusals are quick, answers need not be.
  4. A probe that ends without a word (cancelled, broken off, timed out, 5xx) is replaced by the next.
"""

from __future__ import annotations

import math

HINT_MAX_S = 60.0
PATIENCE, PATIENCE_MIN_S = 4.0, 1.0  # times the refusal took; a probe not refused for so long was accepted

PLAIN, INSTEAD, PROBE = 1, 2, 3
"""What a start is: like any; in the place of one accepted while paused; the probe. All are true."""


class Pause:
    """When the next may start, as far as refusals tell."""

    __slots__ = ("_begun", "_instead", "_patience_s", "_probe", "_until", "accepted_at", "active")

    def __init__(self) -> None:
        self.active = False
        self.accepted_at = -math.inf  # when an attempt was last accepted; its owner may write it, too
        self._begun = self._until = -math.inf
        self._instead = 0  # starts that answers have allowed
        self._probe: float | None = None  # when it started
        self._patience_s = PATIENCE_MIN_S

    def refused(self, sent: float, done: float, hint_s: float) -> None:
        """The server refused an attempt and said when to come again."""
        if self.accepted_at > sent or not hint_s > 0.0:
            return
        if not self.active:
            self.active, self._begun, self._until, self._instead, self._probe = True, done, done, 0, None
        self._until = max(self._until, done + min(hint_s, HINT_MAX_S))
        self._patience_s = max(PATIENCE_MIN_S, PATIENCE * (done - sent))

    def accepted(self, sent: float, done: float) -> None:
        """The server took an attempt."""
        self.accepted_at = done
        if self.active and sent >= self._begun:
            self.active = False
        elif self.active:
            self._instead += 1

    def earliest(self, now: float, ahead: int = 0) -> float:
        """When one could start that has so many before it; nothing is taken."""
        if not self.active or self._instead > ahead:
            return now
        if now < self._until:
            return self._until
        if self._probe is None:
            return now if not ahead else now + self._patience_s
        return max(now, self._probe + self._patience_s)

    def take(self, now: float) -> int:
        """One starts, as `earliest` allows; what it is."""
        if not self.active:
            return PLAIN
        if self._instead:
            self._instead -= 1
            return INSTEAD
        if self._probe is None:
            self._probe = now
            return PROBE
        self.active = False  # the probe was not refused
        return PLAIN

    def give_back(self, kind: int) -> None:
        """What was to start did not."""
        if kind == INSTEAD and self.active:
            self._instead += 1
        elif kind == PROBE:
            self.probe_ended()

    def probe_ended(self) -> None:
        """The probe is over; unless it was accepted, another one follows."""
        self._probe = None
