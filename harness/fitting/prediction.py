"""The curve of a sweep as a profile of the mock predicts it, in virtual time, before anything is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np

from harness.client.errors import UsageError
from harness.client.types import Outcome
from harness.experiment.cases import check_simulated
from harness.experiment.prepare import Run
from harness.experiment.run_directory import give_back
from harness.experiment.simulate.case import play
from harness.experiment.simulate.results import SimulatedRun
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.virtual_loop import DeadlockError, NotSimulated
from harness.experiment.spec import CaseSpec
from harness.measure.sweep_result import PredictedLevel, Prediction
from mock_server.profiles import ProfileError, loaded
from mock_server.proof import words

_TAIL_MIN = {0.5: 5, 0.95: 40, 0.99: 200}


def with_prediction(run: Run, profile: str) -> None:
    """Put the prediction into the plan of a sweep. Raises UsageError, and then leaves no run directory behind."""
    assert run.plan.sweep is not None  # noqa: S101 - it is a sweep
    try:
        loaded("--predicted", profile)
        found = predicted(run, profile)
    except (UsageError, ProfileError) as error:
        run.release()
        give_back(run.directory)
        text = str(error)
        raise UsageError(text if text.startswith("--predicted ") else f"--predicted: {text}") from error
    run.plan = msgspec.structs.replace(run.plan, sweep=msgspec.structs.replace(run.plan.sweep, predicted=found))


def predicted(run: Run, profile: str) -> Prediction:
    """A level for each case of a sweep. Raises UsageError."""
    assert run.plan.sweep is not None  # noqa: S101 - it is a sweep
    check_simulated(run.cases)
    server = SimulatedServer(profile, run.plan.seed)
    by_case = {one.case: one.level for one in run.plan.sweep.levels}
    levels = []
    for case in run.cases:
        try:
            levels.append(_level(case, by_case[case.name], profile, run.plan.sweep.by == "rate"))
        except (DeadlockError, NotSimulated) as error:
            raise UsageError(f"{profile}: {error}") from error
    return Prediction(Path(profile).name, words(server.profile), levels)


def _level(case: CaseSpec, level: float, profile: str, by_rate: bool) -> PredictedLevel:
    with tempfile.TemporaryDirectory(prefix="paceline-predicted-") as folder:
        played = play(case.trial("simulated:", Path(folder)), SimulatedServer(profile, case.seed))
    p50, p95, p99 = _quantiles(played, by_rate)
    ok = played.count(Outcome.ok)
    return PredictedLevel(level, ok / played.virtual_s if played.virtual_s > 0 else None, p50, p95, p99)


def _quantiles(played: SimulatedRun, by_rate: bool) -> list[float | None]:
    """Of the latency from due time by rate, else of the service time."""
    rows = played.rows[played.rows["outcome"] == Outcome.ok]
    seconds = (rows["done"] - rows["due" if by_rate else "sent"]) / 1e9
    return [float(np.quantile(seconds, share)) if len(seconds) >= least else None for share, least in _TAIL_MIN.items()]
