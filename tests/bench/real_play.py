"""A shape played for real: a mock process, a client process for each run, HTTP over the loopback."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from harness import plugins
from harness.experiment import target
from harness.experiment.child_process import play
from harness.experiment.spec import SAMPLE_PAIRS, Trial
from harness.load.schedule import BACKLOG
from harness.measure.record.files import slug
from harness.measure.record.plan import TaskShare
from harness.measure.record.rows_file import read
from harness.measure.result import Named
from tests.simulation.limits import product
from tests.simulation.limits.run import Played
from tests.simulation.limits.server import Shape

ENDLESS = 10**9  # items; the clock ends the backlog
DRAIN_S = 5.0
GRACE_S = 40.0  # beyond the run: to start the client, and to drain


class RealPlay:
    """Use it with `with`; the mock lives as long, and restarts its schedule for each run."""

    def __init__(self, profile: Path, shape: Shape, seed: int, folder: Path) -> None:
        self.lag_s = 0.0  # the client's loop was late by so much, at the 99th percentile of the worst run
        self._shape = shape
        self._profile = profile
        self._seed = seed
        self._folder = folder / f"{shape.name}-records"

    def __enter__(self) -> RealPlay:
        self._folder.mkdir()
        self._target = target.embedded(str(self._profile), seed=self._seed, log=self._folder / "mock_server.log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._target.stop()
        shutil.rmtree(self._folder)

    def play(self, name: str) -> Played:
        """A limit by name, or a static number; raises RuntimeError if the client recorded nothing."""
        shape = self._shape
        spec = Trial(
            name=name,
            target=self._target.url,
            strategy=Named(*plugins.split_spec(product.strategy(name))),
            tasks=[TaskShare(Named("similarity"))],
            records=str(self._folder),
            load=Named(BACKLOG),
            duration_s=shape.duration_s,
            items=ENDLESS,
            input=str(SAMPLE_PAIRS),
            seed=self._seed,
            drain_s=DRAIN_S,
        )
        self._target.reset()
        stem = slug(name, 0, 0)
        ended = self._run(spec)
        files = [self._folder / f"{stem}.{kind}" for kind in ("requests", "timeline")]
        if not all(file.exists() for file in files):
            raise RuntimeError(f"{shape.name}, {name}: nothing was recorded: {ended}")
        rows, ticks = (read(file)[1] for file in files)
        self.lag_s = max(self.lag_s, float(np.percentile(ticks["loop_lag"], 99)))
        played = product.measured(rows, ticks, shape)
        rate = played.ok / shape.duration_s
        print(f"{shape.name:>22} {name:>10}: {rate:7.1f} ok/s, p50 {played.p50_s * 1e3:6.1f} ms", file=sys.stderr)
        return played

    def _run(self, spec: Trial) -> str:
        def watch(status: dict[str, Any]) -> None:
            if status["t_s"] >= spec.duration_s:
                raise KeyboardInterrupt  # as a user who has seen enough: the client drains, and what it recorded stands

        def bound(signum: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, bound)
        signal.alarm(int(spec.duration_s + GRACE_S))
        try:
            played = play(spec, watch)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return played.log.read_text(encoding="utf-8", errors="replace")[-500:]
