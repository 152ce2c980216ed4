"""Runs that are killed at random moments and go on, and what must be true of them at the end."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.bulk.helpers import rows

Start = Callable[[], "subprocess.Popen[Any]"]


def kill_and_go_on(start: Start, journal: Path, kills: int, rng: Random, at_most_s: float) -> int:
    """Start again and again, each time killed some moment after it began to work; then let it end. The kills made."""
    made = 0
    for _ in range(kills):
        before = _state(journal)
        run = start()
        while _state(journal) == before and run.poll() is None:
            time.sleep(0.002)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(rng.uniform(0.0, at_most_s))
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
            made += 1
        run.communicate()
    last = start()
    said, _ = last.communicate(timeout=120)
    assert last.returncode == 0, said
    return made


def _state(journal: Path) -> tuple[int, int]:
    try:
        info = journal.stat()
    except FileNotFoundError:
        return (0, 0)
    return (info.st_ino, info.st_size)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Of a JSONL file, packed or not."""
    if path.suffix == ".gz":
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return rows(path)


def check(output: Path, dead: Path, lines: int) -> None:
    """Every line is in one of the two files, once; the output's answers are those of their lines."""
    answers, letters = lines_of(output), rows(dead)
    assert sorted(row["line"] for row in [*answers, *letters]) == list(range(1, lines + 1))
    assert len({row["id"] for row in [*answers, *letters]}) == lines
    assert all(row["id"] == f"i{row['line']}" for row in answers)


def repeated(calls: Path) -> int:
    """Calls made more than once."""
    made = Counter(calls.read_text().split())
    return sum(made.values()) - len(made)
