"""The index of a turn: which session it belongs to, and which turn of the conversation it is.

Records hold one index for each item. For a turn it is made of both numbers, so no further column is needed.
"""

from __future__ import annotations

from typing import Any

PLACES = 1024
"""Places for turns in a session."""
TURNS_MAX = 500
"""Turns of a session. With as many earlier turns it fits into `PLACES`, and two messages each into a request."""
SESSIONS_MAX = 1_000_000


def index_of(session: int, turn: int) -> int:
    """The index of a turn; `session` counts from 0, `turn` from 1."""
    return session * PLACES + turn - 1


def session_of(index: Any) -> Any:
    """The session of a turn, from 0; of a number or of an array."""
    return index // PLACES


def turn_of(index: Any) -> Any:
    """The place of a turn in its conversation, from 1; of a number or of an array."""
    return index % PLACES + 1
