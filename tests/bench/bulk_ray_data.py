"""Ray Data's HTTP processor beside paceline on one input: `python -m tests.bench.bulk_ray_data [--lines N]`.

Needs `pip install "paceline[ray]" pandas`. Each runs twice against a mock that takes 33 ms a call: undisturbed, with
one row that the server refuses; and with one process of a worker killed in the middle. Prints a JSON object for each
run: rows per second, calls at the server that were more than the rows, the most memory of all its processes together
(PSS: shared pages count once), and what became of the refused row. The exit code of a run that was ended after
`--most-s` is null. With `--refuse 0.05` the mock answers 429 to such a share of calls; then nothing is killed, and no
row is wrong. `--retries` are those of Ray Data, whose default is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.bulk.fleet.test_local_engine import seen
from tests.bulk.helpers import rows
from tests.processes import ROOT, mock

PROFILE = "[generation]\nttft_base_s = 0.03\nitl_base_s = 0.00005\n"
REFUSALS = '[[faults]]\nkind = "status"\nstatus = 429\nprobability = {}\n'
# A row that the mock answers with 400.
REFUSED, TOO_MANY = 17, 100_000


def main() -> int:
    """Run both, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--most-s", type=float, default=300.0, help="a run that takes longer is ended")
    parser.add_argument("--refuse", type=float, default=0.0, help="share of calls that get 429")
    parser.add_argument("--retries", type=int, default=0, help="of Ray Data")
    parser.add_argument("--one", choices=("ray-data", "paceline"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        if given.one == "ray-data":
            _ray_data(given.url, Path.cwd(), given.retries)
        else:
            _paceline(given.url, Path.cwd())
        return 0
    profile = PROFILE + (REFUSALS.format(given.refuse) if given.refuse else "")
    for name in ("ray-data", "paceline"):
        for kill in (False,) if given.refuse else (False, True):
            with tempfile.TemporaryDirectory() as folder, mock(profile, Path(folder)) as server:
                print(
                    json.dumps({"tool": name, "killed": kill, **_measured(name, Path(folder), server.url, given, kill)})
                )
    return 0


def _measured(name: str, folder: Path, url: str, given: argparse.Namespace, kill: bool) -> dict[str, Any]:
    made = ({"id": n, "text": f"a b c {n}", "max_tokens": 8} for n in range(given.lines))
    wrong = None if kill or given.refuse else REFUSED
    lines = [json.dumps({**row, "max_tokens": TOO_MANY} if row["id"] == wrong else row) for row in made]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "tests.bench.bulk_ray_data", "--one", name, "--url", url]
    command += ["--retries", str(given.retries)]
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": python_path, "RAY_USAGE_STATS_ENABLED": "0"}
    run = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    watch = _Watch(run.pid, kill, lambda: seen(url) > given.lines // 3)
    watch.start()
    try:
        code: int | None = run.wait(given.most_s)
    except subprocess.TimeoutExpired:
        code = None
        for each in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
            with contextlib.suppress(psutil.Error):
                each.kill()
        run.wait()
    watch.join()
    ended = folder / "ended.json"
    found = json.loads(ended.read_text()) if ended.exists() else {}
    return {"exit_code": code, "repeated": seen(url) - given.lines, "memory_mb": round(watch.most_mb), **found}


class _Watch(threading.Thread):
    """Measures the memory of a process and all below it; kills one worker once `is_time`."""

    def __init__(self, pid: int, kill: bool, is_time: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.most_mb = 0.0
        self._root = psutil.Process(pid)
        self._kill = kill
        self._is_time = is_time

    def run(self) -> None:
        """Until the process has ended."""
        while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
            try:
                tree = [self._root, *self._root.children(recursive=True)]
                self.most_mb = max(self.most_mb, sum(_pss_mb(each) for each in tree))
                workers = [each for each in tree if _is_worker(each)]
            except psutil.Error:
                continue
            if self._kill and workers and self._is_time():
                workers[0].kill()
                self._kill = False
            time.sleep(0.3)


def _pss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0


def _is_worker(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "bulk_worker" in line or "HttpRequest" in line


def _paceline(url: str, folder: Path) -> None:
    arguments = [
        "process",
        "in.jsonl",
        "--output",
        "out.jsonl",
        "--target",
        url,
        "--task",
        "annotate",
        "--workers",
        "4",
    ]
    line = [sys.executable, "-m", "harness", *arguments, "-s", "queue-stream:concurrency=256", "--quiet"]
    began = time.perf_counter()
    code = subprocess.run(line, check=False).returncode
    took_s = time.perf_counter() - began
    answers, dead = rows(folder / "out.jsonl"), rows(folder / "out.jsonl.dead.jsonl")
    _tell(folder, took_s, [row["id"] for row in answers], [row["error"] for row in dead], code)


def _ray_data(url: str, folder: Path, retries: int) -> None:
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    # Each of its actors asks for a CPU, though it only waits.
    ray.init(num_cpus=8, include_dashboard=False, object_store_memory=256 * 1024 * 1024, log_to_driver=False)
    config = HttpRequestProcessorConfig(url=f"{url}/annotate", concurrency=4, max_retries=retries)
    processor = build_processor(
        config,
        preprocess=lambda row: {"id": row["id"], "payload": {"text": row["text"], "max_tokens": row["max_tokens"]}},
        postprocess=lambda row: {"id": row["id"], "answer": json.dumps(row["http_response"])},
    )
    began = time.perf_counter()
    data = processor(ray.data.read_json(str(folder / "in.jsonl"), lines=True))
    answers = data.take_all()
    took_s = time.perf_counter() - began
    odd = [row["answer"] for row in answers if json.loads(row["answer"]).get("error")]
    _tell(folder, took_s, [row["id"] for row in answers], odd, 0)


def _tell(folder: Path, took_s: float, ids: list[int], refused: list[str], code: int) -> None:
    found = {"took_s": round(took_s, 1), "answers": len(ids), "per_s": round(len(ids) / took_s)}
    found |= {"in order": ids == sorted(ids), "refused": refused}
    (folder / "ended.json").write_text(json.dumps(found | {"code": code}))


if __name__ == "__main__":
    sys.exit(main())
