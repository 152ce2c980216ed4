"""Plays a capacity search, or one probe of it, against a known profile in virtual time."""

from __future__ import annotations

from pathlib import Path

from harness.experiment.capacity import CapacityOrder, CapacitySettings, prepare_capacity
from harness.experiment.prepare import Run
from harness.experiment.run import execute, opened
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.capacity_result import CapacityResult, Probe
from harness.measure.judge.capacity.search import Ask
from tests.simulation.capacity.profiles import Known


def prepared(known: Known, out: Path, seed: int = 1) -> tuple[Run, CapacityOrder]:
    """A run that is ready to search, and its order."""
    settings = RunSettings(
        server=known.path,
        task=known.task,
        seed=seed,
        out=out,
        simulated=True,
        calibrate=False,
        strategies=("queue-stream",),
    )
    return prepare_capacity(settings, CapacitySettings(slo=(known.slo,), by=known.by, warmup_s=known.warmup_s))


def search(known: Known, out: Path, seed: int = 1) -> CapacityResult:
    """A whole search."""
    run, _order = prepared(known, out, seed)
    result, interrupted = execute(run, lambda event, facts: None, VirtualTime(run))
    assert not interrupted
    assert result.capacity is not None
    return result.capacity


def probe(known: Known, load: float, out: Path, seed: int, trials: int = 4) -> Probe:
    """One probe with its first trials, as a search would play it."""
    run, order = prepared(known, out, seed)
    with opened(run, VirtualTime(run), lambda event, facts: None) as session:
        for case, repeat in order.trials(known.by, Ask(load, trials, "narrow")):
            assert session.play(case, repeat, order)
    return order.probes()[0]
