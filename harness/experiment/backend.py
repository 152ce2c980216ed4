"""Protocols of a run: the server under test, and the backend that plays the cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from harness.client.types import Send
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.spec import Trial

T = TypeVar("T")
Progress = Callable[[str, dict[str, Any]], None]
"""Gets each event and its facts.

Events: target, counting, counted, calibrating, calibrated, case, status, case_done.
"""


class Server(Protocol):
    """The server under test."""

    url: str
    profile: str | None
    note: str | None

    def reset(self) -> None:
        """Restart the schedule and counts of an embedded server."""

    def seen(self) -> int | None:
        """Exchanges that the server counted; None if it does not report them."""

    def ask(self, dialogue: Callable[[Send], Awaitable[T]]) -> T:
        """A few requests beside the load."""


class Backend(Protocol):
    """Plays the cases of a run: in child processes, or in virtual time."""

    def server(self) -> AbstractContextManager[Server]:
        """The server under test, while the run lasts."""

    def ceilings(self) -> dict[str, float]:
        """The client's own limits in requests per second, by transport."""

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        """Play a trial to its end, or until Ctrl-C."""
