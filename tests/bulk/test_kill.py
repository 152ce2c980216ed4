"""Killed at any moment and started again, a run loses nothing and writes nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.bulk.child import CONCURRENCY
from tests.bulk.helpers import write_input
from tests.bulk.killing import check, kill_and_go_on, lines_of, repeated
from tests.processes import ROOT

LINES = 2_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "output"), [("input", "out.jsonl"), ("completion", "out.jsonl"), ("input", "out.jsonl.gz")]
)
def test_a_killed_run_goes_on(tmp_path: Path, order: str, output: str) -> None:
    """Each line has one end, in input order where asked; no more calls are repeated than were in flight."""
    write_input(tmp_path / "in.jsonl", LINES)

    def start() -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "tests.bulk.child", str(tmp_path), order, output]
        return subprocess.Popen(line, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

    kills = kill_and_go_on(start, tmp_path / f"{output}.journal", 3, Random(order + output), at_most_s=0.35)
    assert kills, "it was never killed"
    check(tmp_path / output, tmp_path / "bad.jsonl", LINES)
    assert repeated(tmp_path / "calls") <= kills * CONCURRENCY
    if order == "input":
        numbers = [row["line"] for row in lines_of(tmp_path / output)]
        assert numbers == sorted(numbers)
