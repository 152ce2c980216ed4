"""A million lines with four local workers: `python -m tests.bench.bulk_million [--http]`.

The strategy `Instant` answers without a call, so the figure is that of everything else: cutting, journals, joining.
With `--http` the lines go to a mock that answers at once, the profile `null`, with 64 calls in flight; with
`--workers 0` one process does it alone. Prints the resident memory of the coordinator, or of that process, when 10,000
lines were in the output and the most from then on, and checks every line of the output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

from harness.client.types import Item, Layers, Outcome, Response, Result, Send, no_layers
from tests.processes import ROOT, mock

ANSWERS = ("an annotation of a dozen words, as they come from a small language model",)


@dataclass(frozen=True)
class Instant:
    """Answers every item without sending it."""

    blocking: ClassVar[bool] = False

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        """Results in the order of the items."""
        async for item in items:
            yield Result(item, Response(Outcome.ok, 200, ANSWERS, sent=0.0, done=0.0))


def main() -> int:
    """Run it, and check the output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--http", action="store_true")
    given = parser.parse_args()
    strategy = "queue-stream:concurrency=64" if given.http else "tests.bench.bulk_million:Instant"
    with tempfile.TemporaryDirectory() as folder, mock() as server:
        place = Path(folder)
        with (place / "in.jsonl").open("w") as file:
            file.writelines(f'{{"id": "i{n}", "text": "a b c {n}"}}\n' for n in range(1, given.lines + 1))
        found = _run(place, server.url, given.workers, strategy)
        found |= _checked(place / "out.jsonl", given.lines)
    print(json.dumps(found))
    return int(found["wrong"] > 0 or found["most_mb"] - found["first_mb"] > 20)


def _run(folder: Path, url: str, workers: int, strategy: str) -> dict[str, float]:
    arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "--target", url, "--quiet"]
    arguments += ["-s", strategy, *(["--workers", str(workers)] if workers else [])]
    line = [sys.executable, "-m", "harness", "process", *arguments]
    started = time.perf_counter()
    run = subprocess.Popen(line, cwd=folder, env={"PATH": "", "PYTHONPATH": str(ROOT)})
    me, seen = psutil.Process(run.pid), []
    output = folder / "out.jsonl"
    while run.poll() is None:
        if output.exists() and output.stat().st_size > 10_000 * 100:
            seen.append(me.memory_info().rss / 1e6)
        time.sleep(0.1)
    took_s = time.perf_counter() - started
    assert run.returncode == 0
    return {"took_s": round(took_s, 1), "first_mb": round(seen[0], 1), "most_mb": round(max(seen), 1)}


def _checked(output: Path, lines: int) -> dict[str, float]:
    """Lines that are not where they belong."""
    wrong = count = 0
    with output.open("rb") as file:
        for count, line in enumerate(file, 1):
            wrong += not line.startswith(b'{"line":%d,"id":"i%d",' % (count, count))
    return {"lines": count, "wrong": wrong + abs(lines - count)}


if __name__ == "__main__":
    sys.exit(main())
