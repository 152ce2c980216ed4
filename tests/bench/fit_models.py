"""Fits and verifies our own model server: `python -m tests.bench.fit_models [--task NAME] [--save]`.

Each task is served with random weights, fitted with stamps, and verified; profile and report stay in runs/fitted. With
`--save` a profile that is supported is written to mock_server/profiles, too. It needs the model extra, a machine
without other load, and about ten minutes a task.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT = Path("runs/fitted")
PROFILES = Path(__file__).parents[2] / "mock_server" / "profiles"
TASKS = {
    "similarity": ("fitted-minilm-similarity", "similarity", "6:120"),
    "zero-shot": ("fitted-nli-zero-shot", "zero-shot", "6:60"),
    "fill-mask": ("fitted-bert-fill-mask", "fill-mask", "6:60"),
    "annotate": ("fitted-llama-annotate", "annotate:max_tokens=24", "6:120"),
}


@contextmanager
def served(task: str) -> Iterator[str]:
    """The URL of a model server."""
    line = [sys.executable, "-m", "harness", "serve", "model", "--task", task, "--random-weights", "--port", "0"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Fit, verify and say what came out, task by task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--time", default="240s")
    parser.add_argument("--duration", default="15s")
    parser.add_argument("--tries", type=int, default=1, help="fits until one is not refused, on an unsteady machine")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--black-box", action="store_true")
    asked = parser.parse_args()
    for name in asked.task or TASKS:
        profile, task, lengths = TASKS[name]
        print(f"== {name} {time.strftime('%H:%M:%S')}", flush=True)
        where = OUT / name
        where.mkdir(parents=True, exist_ok=True)
        with served(name) as url:
            path = where / f"{profile}.toml"
            of = ["--target", url, "--task", task, "--lengths", lengths]
            more = ["--black-box"] if asked.black_box else []
            fit = ["fit", *of, *more, "--out", str(path), "--records", f"{where}/fit", "--time", asked.time, "--quiet"]
            if not any(_command([*fit, "--overwrite"]) == 0 for _ in range(asked.tries)):
                continue
            print(f"{name}: fitted {time.strftime('%H:%M:%S')}", flush=True)
            verify = ["verify", "--server", str(path), *of, "--out", f"{where}/verify", "--duration", asked.duration]
            code = _command([*verify, "--overwrite", "--quiet"])
            print(f"{name}: exit code {code}", flush=True)
            if asked.save and code == 0:
                shutil.copy(path, PROFILES)


def _command(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], check=False).returncode


if __name__ == "__main__":
    main()
