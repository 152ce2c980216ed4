"""Counts of all HTTP exchanges on work routes, by outcome.

seen = finished + refused + failed + broken + disconnected + in_flight, always. The number of attempts that a client
counts must equal `seen`; `/debug/counts` makes this comparison possible.
"""

from __future__ import annotations

from typing import Any

JOB_ITEMS = "items of jobs"
"""Name of the counts of job items, besides those of the routes: each item counts as one exchange."""

OUTCOMES = ("finished", "refused", "failed", "broken", "disconnected")


class RouteCounts:
    """The counts of one route."""

    __slots__ = ("broken", "disconnected", "failed", "finished", "refused", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.finished = 0  # a complete 2xx answer
        self.refused = 0  # 429 or 503
        self.failed = 0  # any other status
        self.broken = 0  # reset, cut off or garbled by an injected fault
        self.disconnected = 0  # the client disconnected before its answer

    @property
    def in_flight(self) -> int:
        """Exchanges without an outcome yet."""
        return self.seen - self.finished - self.refused - self.failed - self.broken - self.disconnected

    def close(self, outcome: str) -> None:
        """Count the outcome of one exchange."""
        setattr(self, outcome, getattr(self, outcome) + 1)

    def as_dict(self) -> dict[str, int]:
        """The counts as a dict for JSON."""
        counts = {name: getattr(self, name) for name in ("seen", *OUTCOMES)}
        counts["in_flight"] = self.in_flight
        return counts


class Counts:
    """The counts of all work routes since the start or the last reset.

    A reset begins new counts. Exchanges that arrived earlier still go into the old ones, so each set stays balanced.
    """

    def __init__(self, paths: list[str]) -> None:
        self.routes = {path: RouteCounts() for path in [*paths, JOB_ITEMS]}

    def accept(self, items: int) -> None:
        """Count the items of an accepted job as finished: from here on the backend counts them."""
        self.routes[JOB_ITEMS].seen += items
        self.routes[JOB_ITEMS].finished += items

    def reset(self) -> None:
        """Begin new counts."""
        self.routes = {path: RouteCounts() for path in self.routes}

    def total(self) -> dict[str, int]:
        """The counts of all routes together."""
        books = [book.as_dict() for book in self.routes.values()]
        return {name: sum(book[name] for book in books) for name in ("seen", *OUTCOMES, "in_flight")}

    def as_dict(self) -> dict[str, Any]:
        """The answer of /debug/counts; routes that were never called are left out."""
        return {
            "total": self.total(),
            "routes": {path: book.as_dict() for path, book in self.routes.items() if book.seen},
        }
