"""What all boards have in common: events by name, what happened, and the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from harness.client.redaction import one_line

LINES_MAX = 30


class EventBoard(ABC):
    """Passes each event to its method `_on_EVENT`, if there is one."""

    def __init__(self, run: str, title: str, command: str) -> None:
        self._run = run
        self._title = one_line(title)
        # Shown once work has begun: only then are all secrets known that it may hold.
        self._command, self._begun = command, False
        self._phase, self._said = "starting", "starting"
        self._lines: list[str] = []
        self._report = ""
        self._has_report = False

    @property
    @abstractmethod
    def stoppable(self) -> bool:
        """Whether a stop is possible now."""

    def on(self, event: str, facts: dict[str, Any]) -> None:
        """An event of the run, or of its end."""
        handle = getattr(self, f"_on_{event}", None)
        if handle is not None:
            handle(facts)

    def _on_over(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "over", one_line(facts["text"])
        self._report, self._has_report = facts["report"], facts["page"]

    def _line(self, text: str) -> None:
        """Something that happened."""
        self._lines = [*self._lines, one_line(text)][-LINES_MAX:]

    def _common(self) -> dict[str, Any]:
        """The fields of a state that every board has."""
        return {
            "run": self._run,
            "title": self._title,
            "command": one_line(self._command) if self._begun else self._title,
            "phase": self._phase,
            "said": self._said,
            "stoppable": self.stoppable,
            "lines": self._lines,
            "report": self._report,
            "has_report": self._has_report,
        }
