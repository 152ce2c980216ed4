"""The state of `paceline process` while it works: from its own status, twice a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.base import units
from harness.client.redaction import one_line
from harness.live.event_board import EventBoard
from harness.live.exposition import Family
from harness.live.page_state import Chart, PageState, Row, Table, Tile, VerdictState, chart
from harness.live.series import SHOWN_S

LEAST_S = 0.9


class ProcessBoard(EventBoard):
    """The board of bulk processing. There is no verdict: it measures nothing."""

    def __init__(self, run: str, title: str, command: str, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(run, title, command)
        self._now = now
        self._counts: dict[str, Any] = {}
        self._status: dict[str, Any] = {}
        self._findings: list[str] = []
        self._verdict = VerdictState("none", "no answers yet")
        # Answers and dead letters of each second, and the exchanges in flight at its end.
        self._points: deque[tuple[int, float, float, float]] = deque(maxlen=SHOWN_S)
        self._before: tuple[float, int, int] | None = None
        self._began_s = 0.0
        # Answers at the start of an outage of the server.
        self._down_at: int | None = None

    @property
    def stoppable(self) -> bool:
        """Until it is stopped or has ended."""
        return self._phase == "playing"

    def _on_begin(self, facts: dict[str, Any]) -> None:
        self._begun = True
        self._phase, self._said = "playing", "processing"
        if facts["resumed"]:
            self._line(f"resuming after {facts['resumed']:,} lines")

    def _on_note(self, facts: dict[str, Any]) -> None:
        self._line(f"note: {facts['text']}")

    def _on_status(self, facts: dict[str, Any]) -> None:
        self._status, self._counts = facts, facts["counts"]
        if self._down_at is not None and self._counts["ok"] > self._down_at and self._phase == "playing":
            self._down_at, self._said = None, "processing"
            self._line("the server answers again")

    def _on_waiting(self, facts: dict[str, Any]) -> None:
        if self._down_at is None:
            self._down_at = int(facts["ok"])
            self._said = one_line("the server takes no connections: " + (facts.get("error") or "waiting"))
            self._line(self._said)

    def _on_stopping(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "ending", one_line(f"stopping: {facts['text']}")
        self._line(self._said)

    def _on_stop_asked(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "ending", "stopping: calls in flight are drained"
        self._line("stopped from this page")

    def _on_summary(self, facts: dict[str, Any]) -> None:
        """`passed`, `text` and the counts of all sessions."""
        self._counts, self._phase = facts["counts"], "ending"
        words = "passed" if facts["passed"] else "stopped before the end" if facts["stopped"] else "failed"
        self._verdict = VerdictState("passed" if facts["passed"] else "failed", words)
        self._findings = [one_line(facts["text"])] if facts["text"] else []

    @property
    def _dead(self) -> int:
        return sum(self._counts.get("dead", {}).values())

    def read(self) -> None:
        """A point of the charts, from the last status; at most one a second."""
        if self._phase != "playing" or not self._counts:
            return
        now_s, ok, dead = self._now(), int(self._counts["ok"]), self._dead
        if self._before is None:
            self._began_s = now_s
        else:
            then_s, ok_then, dead_then = self._before
            if (took_s := now_s - then_s) < LEAST_S:
                return
            rates = (ok - ok_then) / took_s, (dead - dead_then) / took_s
            self._points.append((int(then_s - self._began_s), *rates, float(self._status["in_flight"])))
        self._before = now_s, ok, dead

    def state(self) -> PageState:
        """The present content of the page."""
        verdict = self._verdict
        if verdict.status == "none" and self._counts:
            verdict = VerdictState("none", "in progress")
        return PageState(
            **self._common(),
            verdict=verdict,
            share=self._share(),
            tiles=list(self._tiles()) if self._counts else [],
            seconds=[point[0] for point in self._points],
            charts=self._charts(),
            tables=self._tables(),
            findings=self._findings,
        )

    def _share(self) -> float | None:
        lines = self._status.get("lines")
        return min(1.0, self._done() / lines) if lines and self._phase in {"playing", "ending"} else None

    def _done(self) -> int:
        """Lines that are settled or are no items."""
        return int(self._counts["ok"]) + self._dead + int(self._counts["blank"]) + int(self._counts["left_out"])

    def _tiles(self) -> Iterator[Tile]:
        counts, lines = self._counts, self._status.get("lines")
        if self._phase != "over":
            yield Tile("throughput", "lines settled", units.rate(self._status.get("rate_per_s")), "over the last 20 s")
            yield Tile("in_flight", "in flight", units.count(self._status.get("in_flight")))
        about = "" if self._status.get("lines_exact") else "about "
        of = f"of {about}{units.count(lines)} lines" if lines else ""
        yield Tile("ok", "answers", units.count(counts["ok"]), of)
        yield Tile("failed", "dead letters", units.count(self._dead), _share_words(self._dead, counts["ok"]))
        if counts["from_cache"]:
            yield Tile("cached", "from the cache", units.count(counts["from_cache"]))
        failed = counts["failed_attempts"]
        share = units.share(failed / counts["attempts"]) if failed and counts["attempts"] else ""
        yield Tile("attempts", "failed calls", units.count(failed), f"of {units.count(counts['attempts'])} {share}")

    def _charts(self) -> list[Chart]:
        points = list(self._points)
        dead = [point[2] for point in points] if any(point[2] for point in points) else []
        ended = [("answers", "ok", [point[1] for point in points]), ("dead letters", "bad", dead)]
        flight = [("in flight", "ok", [point[3] for point in points])]
        return [
            chart("rate", "lines settled", "per second", units.rate, ended),
            chart("in_flight", "in flight", "calls sent and not answered", units.level, flight),
        ]

    def _tables(self) -> list[Table]:
        dead = self._counts.get("dead", {})
        if not dead:
            return []
        samples = self._counts.get("samples", {})
        rows = [
            Row("", [kind, units.count(number), one_line(samples.get(kind, ""))], {"lines": float(number)})
            for kind, number in sorted(dead.items(), key=lambda one: -one[1])
        ]
        return [Table("dead", "Dead letters", ["reason", "lines", "the first one"], rows)]

    def families(self) -> Iterable[Family]:
        """The metrics of the processing."""
        counts = self._counts
        yield Family("paceline_run_info", "gauge", "1, with the state of the run", [({"phase": self._phase}, 1.0)])
        if not counts:
            return
        lines = [({"outcome": "ok"}, float(counts["ok"]))]
        lines += [({"outcome": kind}, float(number)) for kind, number in counts["dead"].items()]
        yield Family("paceline_lines_total", "counter", "Lines with an answer, or a dead letter by its reason", lines)
        attempts = [({"failed": "false"}, float(counts["attempts"] - counts["failed_attempts"]))]
        attempts += [({"failed": "true"}, float(counts["failed_attempts"]))]
        yield Family("paceline_attempts_total", "counter", "HTTP exchanges", attempts)
        flight = float(self._status.get("in_flight") or 0)
        yield Family("paceline_in_flight", "gauge", "Calls sent and not answered", [({}, flight)])


def _share_words(dead: int, ok: int) -> str:
    return units.share(dead / (dead + ok)) if dead else ""
