"""Description of a scenario: plain data, available before any process starts."""

from __future__ import annotations

from typing import Any, ClassVar


class Description:
    """The base class of every scenario; subclasses override the defaults."""

    # Arrival pattern; None is a backlog: every item due at once.
    load: ClassVar[Any] = None
    # Whether the arrivals are those of --trace.
    needs_trace: ClassVar[bool] = False
    # Duration of arrivals without --duration or -t.
    duration_s: ClassVar[float] = 20.0
    # Items of a backlog without --items.
    items: ClassVar[int | None] = None
    # Whether the load is sessions: conversations of several turns.
    sessions: ClassVar[bool] = False
    # Weight of each task.
    mix: ClassVar[dict[str, float]] = {"similarity": 1.0}
