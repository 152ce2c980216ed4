"""The memory of a benchmarked client is that of its own program."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from tests.bench.peak_memory import peak_mb
from tests.processes import ROOT

PROGRAM = "from tests.bench.peak_memory import peak_mb; print(peak_mb())"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child has its parent's peak")
def test_a_child_has_not_the_peak_of_the_process_that_started_it() -> None:
    with mmap.mmap(-1, 100_000_000) as touched:
        for place in range(0, len(touched), mmap.PAGESIZE):
            touched[place] = 1
        child = float(subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=ROOT))
        mine = peak_mb()
    assert mine > 100
    assert child < 50


def test_the_bare_loop_imports_nothing_of_the_harness_but_its_event_loop() -> None:
    program = "import sys, tests.bench.client_loops; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    ours = {name for name in loaded if name.startswith("harness")}
    assert ours == {"harness", "harness.experiment", "harness.experiment.event_loop"}
    assert not {"aiohttp", "msgspec", "numpy", "psutil", "httptools"} & set(loaded)
