"""Loads that were measured, played once more in virtual time against a profile."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.fitting.bench import Virtual, bench
from harness.fitting.fit_loads import FitLoad
from harness.fitting.load_figures import Figures, figures
from harness.fitting.profile_file import write
from harness.fitting.seen import Seen
from mock_server.profile import Profile

_LONGEST_S = 3600.0


def played(profile: Profile, loads: Sequence[FitLoad], task: str, seed: int) -> list[Seen]:
    """The records that a client would have of these loads."""
    with tempfile.TemporaryDirectory(prefix="paceline-fit-") as folder:
        path = Path(folder) / "candidate.toml"
        write(profile, path)
        settings = RunSettings(
            strategies=("unbounded",),
            server=str(path),
            task=task,
            items=1,
            seed=seed,
            simulated=True,
            calibrate=False,
            out=Path(folder) / "run",
        )
        run = prepare(settings, kind="fit")
        with bench(run, Virtual(run), lambda event, facts: None) as server:
            return [server.play(load)[0] for load in loads]


def compared(
    profile: Profile, measured: Sequence[tuple[FitLoad, Seen]], task: str, seed: int
) -> list[tuple[Figures, Figures]]:
    """Figures of each load, measured and played. Closed loops are played with as many requests as were measured."""
    same = [_as_long(load, seen) for load, seen in measured]
    again = played(profile, same, task, seed)
    return [(_of(seen), _of(other)) for (_, seen), other in zip(measured, again, strict=True)]


def _as_long(load: FitLoad, seen: Seen) -> FitLoad:
    if not load.concurrency:
        return load
    return replace(
        load, items=max(2, len(seen.before_refusals() if load.concurrency < 64 else seen)), seconds=_LONGEST_S
    )


def _of(seen: Seen) -> Figures:
    return figures(seen.before_refusals() if 0 < seen.concurrency < 64 else seen)
