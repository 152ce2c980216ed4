"""A server that stopped answering in the middle of a repeat: after its last answer, every request failed."""

from __future__ import annotations

import msgspec
import numpy as np

from harness.client.types import Outcome
from harness.measure.reduce.columns import Repeat

SILENT_MIN = 10
"""Unanswered requests after the last success that are no coincidence."""
SILENT_SHARE_MIN = 0.01
# A server that answers slowly has shorter pauses between its answers.
PAUSES = 2.0
_UNANSWERED = (Outcome.connection_error, Outcome.timed_out, Outcome.unfinished)
# These items say nothing about the server.
_OWN = (Outcome.cancelled, Outcome.not_sent)


class Silence(msgspec.Struct, frozen=True):
    """The end of a repeat, in which no request was answered."""

    since_s: float  # the last success
    unanswered: int
    refused: bool  # every connection was refused or broke: the server is gone


def silence(repeat: Repeat) -> Silence | None:
    """The silence at the end of a repeat; None if there is none, or if nothing was answered before it."""
    rows = repeat.rows
    answered = np.sort(repeat.ok()["done"])
    if not len(answered):
        return None
    last = int(answered[-1])
    after = rows[(rows["done"] > last) & ~np.isin(rows["outcome"], _OWN)]
    if len(after) < max(SILENT_MIN, SILENT_SHARE_MIN * len(rows)) or not np.isin(after["outcome"], _UNANSWERED).all():
        return None
    refused = bool((after["outcome"] == Outcome.connection_error).all())
    pause = int(np.diff(answered, prepend=0).max())
    if not refused and int(after["done"].max()) - last <= PAUSES * pause:
        return None
    return Silence(last / 1e9, len(after), refused)
