"""What a scenario says about itself: plain data, known before any process is started."""

from __future__ import annotations

from typing import Any, ClassVar


class Description:
    """The base of every scenario's class; subclasses override what differs."""

    load: ClassVar[Any] = None  # a pacer; None is a backlog: every item due at once
    duration_s: ClassVar[float] = 20.0  # of arrivals, unless --duration or -t says otherwise
    items: ClassVar[int | None] = None  # of a backlog, unless --items says otherwise
    mix: ClassVar[dict[str, float]] = {"similarity": 1.0}  # tasks by weight
