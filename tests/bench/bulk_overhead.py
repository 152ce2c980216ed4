"""Time of workers beside one process on a run that the server bounds: `python -m tests.bench.bulk_overhead`.

Both have the same strategy over the same number of lines; the runs alternate. Prints seconds of each and the ratio.
`--strategy adaptive --server demo-bounded` compares one limit that learns from all workers with that of one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bulk.helpers import write_input
from tests.processes import ROOT, mock

PROFILE = "[generation]\nttft_base_s = 0.05\nitl_base_s = 0.0001\n"


def main() -> int:
    """Run both, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=30_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--strategy", default="queue-stream:concurrency=32")
    parser.add_argument("--server", default=PROFILE, help="a profile of the mock")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    took: dict[str, list[float]] = {"alone": [], "workers": []}
    with tempfile.TemporaryDirectory() as folder, mock(given.server, Path(folder)) as server:
        write_input(Path(folder, "in.jsonl"), given.lines)
        for _ in range(given.rounds):
            took["alone"].append(_run(Path(folder), server.url, given.strategy, ()))
            took["workers"].append(_run(Path(folder), server.url, given.strategy, ("--workers", str(given.workers))))
    alone, workers = (statistics.mean(took[name]) for name in ("alone", "workers"))
    print(json.dumps({**took, "ratio": round(workers / alone, 4)}))
    return int(workers > 1.03 * alone)


def _run(folder: Path, url: str, strategy: str, more: tuple[str, ...]) -> float:
    arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "--target", url, "--overwrite", "--quiet"]
    line = [sys.executable, "-m", "harness", "process", *arguments, "-s", strategy]
    started = time.perf_counter()
    subprocess.run([*line, *more], cwd=folder, env={"PATH": "", "PYTHONPATH": str(ROOT)}, check=True)
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    sys.exit(main())
