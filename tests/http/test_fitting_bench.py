"""Loads of a calibration over HTTP: what the client saw, and the server's report of its batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.experiment.run import ChildProcesses
from harness.fitting.bench import bench
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.fitter import FitSettings

pytestmark = pytest.mark.slow

SERVER = (
    "[service]\nbase_s = 0.02\nper_item_s = 0.005\n[capacity]\nworkers = 1\nbatch_max_items = 4\npad_multiple = 8\n"
)


def test_a_load_over_http_is_read_with_shapes_and_batches(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(SERVER)
    wanted = FitSettings(out=tmp_path / "my.toml", server=str(tmp_path / "server.toml"), records=tmp_path / "run")
    run = wanted.run(simulated=False)
    with bench(run, ChildProcesses(run, lambda event, facts: None), lambda event, facts: None) as server:
        assert server.queue_s(WordLengths("levels", 6, 60)) < 0.005
        seen, _ = server.play(FitLoad("in flight 8", WordLengths("levels", 6, 60), 8, seconds=1.0, items=200, seed=5))
        batches = server.batches()
    assert seen.concurrency == 8
    assert bool(seen.ok.all())
    # The mock counts two special tokens more than words.
    assert {shape.longest - 2 for shape in seen.shapes} == {6, 10, 15, 24, 38, 60}
    assert sum(one.items for one in batches) >= len(seen)
    assert max(one.items for one in batches) == 4
    assert {one.length % 8 for one in batches} == {0}
    full = [one.duration_s for one in batches if one.items == 4]
    assert np.median(full) == pytest.approx(0.04, rel=0.02)
    # Two batches of four take 80 ms, whatever the client's machine does.
    assert float(np.median(seen.latency)) >= 0.079
