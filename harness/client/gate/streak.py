"""Whether the server accepts nothing at all: failures in a row, with no older attempt under way; pure.

Rules of this file
  1. A streak begins with a failure and ends with the next attempt that the server accepts.
  2. While an attempt is in flight that was admitted before the streak, the server may merely be full: that attempt may
     still succeed. Only when all of them have ended, without a success, is it certain that nothing is accepted.
  3. An attempt that fails late (a time-out) is no failure of now if one that was sent after it was accepted.
  4. Each attempt has the epoch of its admission, which grows with each streak. So an attempt needs no entry in a list.
"""

from __future__ import annotations

import math


class Streak:
    """Counts failures in a row. Attempts carry the `epoch` in which they were admitted."""

    __slots__ = ("_older", "accepted_sent", "epoch", "failures")

    def __init__(self) -> None:
        self.epoch = 0
        # Both are public, as the gate writes them itself after a success.
        self.failures = 0
        # When the attempt was sent that was accepted last.
        self.accepted_sent = -math.inf
        # Attempts in flight that were admitted before the streak.
        self._older = 0

    def accepted(self, sent: float) -> None:
        """The server accepted an attempt."""
        self.accepted_sent = sent
        self.failures = 0

    def failed(self, epoch: int, others: int, sent: float) -> int:
        """An attempt failed while `others` are in flight. Failures in a row; 0 while one of before is under way."""
        if sent < self.accepted_sent:
            self.left(epoch)
            return 0
        if not self.failures:
            self.epoch += 1
            self._older = others
        elif epoch < self.epoch:
            self._older -= 1
        self.failures += 1
        return 0 if self._older else self.failures

    def left(self, epoch: int) -> None:
        """An attempt ended that says nothing about the server."""
        if self.failures and epoch < self.epoch:
            self._older -= 1
