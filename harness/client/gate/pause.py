"""Pauses for a server that refuses everything, and how to start again; pure.

Rules of this file
  1. A refusal with Retry-After pauses all attempts only if nothing was accepted since the refused attempt was sent: an
     outage, or an exhausted quota. Otherwise too many were in flight, and the limit learns that.
  2. During a pause each response that is still accepted lets one attempt start in its place, so that a server that is
     merely full stays full. Once an attempt is accepted that was sent after the pause began, the pause is over.
  3. After Retry-After one probe goes first. The others follow when it is accepted, or when it has not been refused for
     several times as long as the refusal took: refusals are quick, answers need not be.
  4. A probe that ends without an answer (cancelled, broken off, timed out, 5xx) is replaced by another.
"""

from __future__ import annotations

import math

HINT_MAX_S = 60.0
# A probe that is not refused within this multiple of the time of the refusal counts as accepted.
PATIENCE, PATIENCE_MIN_S = 4.0, 1.0

ORDINARY, REPLACEMENT, PROBE = 1, 2, 3
"""Kinds of start: ordinary; in the place of an attempt that was accepted during a pause; the probe. All are true."""


class Pause:
    """The earliest start that refusals allow."""

    __slots__ = ("_begun", "_patience_s", "_probe", "_replacements", "_until", "accepted_at", "active")

    def __init__(self) -> None:
        self.active = False
        # When an attempt was last accepted. The gate writes it, too.
        self.accepted_at = -math.inf
        self._begun = self._until = -math.inf
        # Starts allowed by responses that were accepted during the pause.
        self._replacements = 0
        # When the probe started.
        self._probe: float | None = None
        self._patience_s = PATIENCE_MIN_S

    def refused(self, sent: float, done: float, hint_s: float) -> None:
        """The server refused an attempt, with `hint_s` from its Retry-After."""
        if self.accepted_at > sent or not hint_s > 0.0:
            return
        if not self.active:
            self.active, self._begun, self._until, self._replacements, self._probe = True, done, done, 0, None
        self._until = max(self._until, done + min(hint_s, HINT_MAX_S))
        self._patience_s = max(PATIENCE_MIN_S, PATIENCE * (done - sent))

    def accepted(self, sent: float, done: float) -> None:
        """The server accepted an attempt."""
        self.accepted_at = done
        if self.active and sent >= self._begun:
            self.active = False
        elif self.active:
            self._replacements += 1

    def earliest(self, now: float, ahead: int = 0) -> float:
        """When an attempt could start that has `ahead` others before it; takes nothing."""
        if not self.active or self._replacements > ahead:
            return now
        if now < self._until:
            return self._until
        if self._probe is None:
            return now if not ahead else now + self._patience_s
        return max(now, self._probe + self._patience_s)

    def take(self, now: float) -> int:
        """An attempt starts, as `earliest` allows; returns its kind."""
        if not self.active:
            return ORDINARY
        if self._replacements:
            self._replacements -= 1
            return REPLACEMENT
        if self._probe is None:
            self._probe = now
            return PROBE
        # The probe was not refused.
        self.active = False
        return ORDINARY

    def give_back(self, kind: int) -> None:
        """An attempt of this kind did not start after all."""
        if kind == REPLACEMENT and self.active:
            self._replacements += 1
        elif kind == PROBE:
            self.probe_ended()

    def probe_ended(self) -> None:
        """The probe ended. Unless it was accepted, another one follows."""
        self._probe = None
