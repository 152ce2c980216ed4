"""The figures of a load of sessions, as they stand in result.json."""

from __future__ import annotations

import msgspec

from harness.measure.repeat_figures import Points

TURNS_SHOWN = 20
"""Turns with figures of their own; later ones have them together."""


class TurnFigures(msgspec.Struct, frozen=True):
    """All requests with one place in their conversation, over all repeats and without the warm-up."""

    turn: int  # from 1; earlier turns of a continued conversation count
    and_later: bool = False  # all turns from this one on
    requests: int = 0
    ok: int = 0
    stopped: int = 0  # streams that the client ended on purpose
    failed: int = 0  # turns after a failed one included
    latency_s: Points = Points()  # of successes, from due time
    ttft_s: Points | None = None  # of streams
    prompt_tokens: float | None = None  # mean of successes, as the server counted them; null where it did not


class SessionFigures(msgspec.Struct, frozen=True):
    """Sessions of a case, and their requests by turn."""

    sessions: int  # that were begun, over all repeats
    failed: int = 0  # of these, sessions with a turn that failed, or that had no answer at the end
    turns: int = 0  # of all sessions
    histories_cut: int = 0  # turns whose history was too long to be sent whole
    duration_s: Points | None = None  # from the first turn's due time to the last answer, of sessions without a failure
    by_turn: list[TurnFigures] = []
