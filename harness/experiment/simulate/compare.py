"""`paceline simulate compare`: the cases of a prepared run in virtual time, in this process.

The plan, the records, the result and the report are those of a real run, marked as simulated. Figures that a
simulation does not have (CPU, memory, the machine) are omitted. Two runs with one seed differ only in the name of their
directory and in `started_at`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from harness.base import units
from harness.client.errors import UsageError
from harness.client.tasks.http import Http
from harness.client.types import Outcome, Send
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.prepare import Run
from harness.experiment.simulate.case import play
from harness.experiment.simulate.direct import DirectSend
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.routes import check_route
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.terms import Terms
from harness.experiment.simulate.virtual_loop import DeadlockError, NotSimulated
from harness.experiment.simulate.virtual_loop import run as run_virtual
from harness.experiment.spec import Trial
from harness.measure.record.rows_file import FLAG_STOPPED
from mock_server.simulated_engine import proof_note, scale_note

T = TypeVar("T")
URL = "simulated:"


class MockInProcess:
    """The server of a simulated run: a fresh mock for each repeat of a case."""

    def __init__(self, run: Run, note: str) -> None:
        self.url = URL
        self._settings = run.settings
        self.mock = self.fresh()
        self.profile: str | None = self.mock.profile.name
        speed = self.mock.profile.speed * (run.settings.speed or 1.0)
        self.note: str | None = note + scale_note(speed) + proof_note(self.mock.profile)

    def fresh(self, repeat: int = 0) -> SimulatedServer:
        """A new mock with all schedules at their start; each repeat has its own seed."""
        settings = self._settings
        self.mock = SimulatedServer(settings.server, settings.seed, settings.speed, repeat)
        return self.mock

    def reset(self) -> None:
        """Restart its schedule and counts."""
        self.fresh()

    def ask(self, dialogue: Callable[[Send], Awaitable[T]]) -> T:
        """A few requests to a mock of their own, in virtual time."""

        async def whole() -> T:
            async with DirectSend(self.fresh().app) as send:
                return await dialogue(send)

        return run_virtual(whole())

    def seen(self) -> int:
        """Exchanges that it counted."""
        return self.mock.seen


class VirtualTime:
    """Plays each repeat of a case in virtual time."""

    def __init__(self, run: Run, terms: Terms | None = None) -> None:
        self._run = run
        self._terms = terms or Terms()

    @contextmanager
    def server(self) -> Iterator[MockInProcess]:
        """A mock in this process."""
        if self._run.settings.target is not None:
            raise UsageError(
                "--target: a simulation has its server in the process; describe it with --server FILE.toml"
            )
        terms, note = self._terms, "simulated in virtual time"
        if terms.network != "none":
            note += f"; HTTP over a network in memory, {units.seconds(terms.delay_s)} each way"
        self._server = MockInProcess(self._run, note)
        for share in (share for case in self._run.cases for share in case.tasks if share.task.name == "http"):
            check_route(Http(**share.task.settings), self._server.mock)
        yield self._server

    def ceilings(self) -> dict[str, float]:
        """None: the client costs nothing in virtual time."""
        return {}

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        """Play a trial; exit code 1 if it cannot end."""
        try:
            played = play(trial, self._server.fresh(trial.repeat), self._terms, watch)
        except KeyboardInterrupt:
            return TrialEnd(0, True, self._run.records)
        except (DeadlockError, NotSimulated) as error:
            watch({"done": 0, "t_s": 0.0, "in_flight": 0, "ok": 0, "failed": 0, "error": str(error)})
            return TrialEnd(1, False, self._run.records)
        watch(_status(played))
        return TrialEnd(0, False, self._run.records)


def _status(played: SimulatedRun) -> dict[str, Any]:
    ok, done = played.count(Outcome.ok), len(played.rows)
    stopped = int(((played.rows["flags"] & FLAG_STOPPED) > 0).sum())
    return {
        "ok": ok,
        "done": done,
        "failed": done - ok - stopped,
        "in_flight": 0,
        "t_s": played.virtual_s,
        "limit": None,
    }
