"""Every HTTP exchange the server saw on a work route, and what became of it.

seen = finished + refused + failed + broken + disconnected + in_flight, always. A client that counts its own attempts
must come to the same number as `seen`; `/debug/counts` is there to be compared with.
"""

from __future__ import annotations

from typing import Any

JOB_ITEMS = "items of jobs"
"""A book beside those of the routes: an item of a job counts as one exchange, asking for the job does not."""

OUTCOMES = ("finished", "refused", "failed", "broken", "disconnected")


class RouteCounts:
    """The book of one route."""

    __slots__ = ("broken", "disconnected", "failed", "finished", "refused", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.finished = 0  # a 2xx answer, written to its end
        self.refused = 0  # 429 or 503
        self.failed = 0  # any other status
        self.broken = 0  # reset, cut off or garbled by an injected fault
        self.disconnected = 0  # the client was gone before its answer

    @property
    def in_flight(self) -> int:
        """Seen and not yet anything else."""
        return self.seen - self.finished - self.refused - self.failed - self.broken - self.disconnected

    def close(self, outcome: str) -> None:
        """Enter what became of one exchange."""
        setattr(self, outcome, getattr(self, outcome) + 1)

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        counts = {name: getattr(self, name) for name in ("seen", *OUTCOMES)}
        counts["in_flight"] = self.in_flight
        return counts


class Counts:
    """The books of all work routes since the start or the last reset.

    A reset opens new books: exchanges seen before it are still entered in the old ones, so each set stays balanced.
    """

    def __init__(self, paths: list[str]) -> None:
        self.routes = {path: RouteCounts() for path in [*paths, JOB_ITEMS]}

    def accept(self, items: int) -> None:
        """Items of a job: taken over by the jobs' backend, which has its own books of them."""
        self.routes[JOB_ITEMS].seen += items
        self.routes[JOB_ITEMS].finished += items

    def reset(self) -> None:
        """Open new books."""
        self.routes = {path: RouteCounts() for path in self.routes}

    def total(self) -> dict[str, int]:
        """All routes together."""
        books = [book.as_dict() for book in self.routes.values()]
        return {name: sum(book[name] for book in books) for name in ("seen", *OUTCOMES, "in_flight")}

    def as_dict(self) -> dict[str, Any]:
        """What /debug/counts answers; routes never called are left out."""
        return {
            "total": self.total(),
            "routes": {path: book.as_dict() for path, book in self.routes.items() if book.seen},
        }
