"""One case through one process, two processes and a Locust master with two workers: is anything lost or changed?

    python -m tests.distributed docs/locust.md [undisturbed] [killed]      writes the tables of the page (a minute)

Percentiles of the result are held against those of the raw records, which `tests.raw_records` reads byte by byte.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.base import units
from harness.experiment import target as targets
from harness.measure.result import Case, RunResult, decode
from tests.processes import ROOT, mock
from tests.raw_records import percentiles, pooled

PROFILE = """# 10 ms with a long tail.
[service]
base_s = 0.01
[service.jitter]
kind = "lognormal"
cv = 0.5
"""
STRATEGY = "queue-stream:concurrency=16"
ITEMS = 3000
# A killed process has done about half of its share by then.
KILL_AFTER = 700
LIMIT_S = 120.0
BEGIN, END = "<!-- {} -->\n", "<!-- end of {} -->\n"

Start = Callable[[str, Path], list[subprocess.Popen[bytes]]]
"""Starts the processes of a way: gets the server's URL and the working directory; the first one ends last."""


def _started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment, null = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.DEVNULL
    line = [sys.executable, "-m", *arguments]
    return subprocess.Popen(line, cwd=folder, env=environment, stdout=null, stderr=null)


def _paceline(processes: int) -> Start:
    line = ["harness", "compare", "-s", STRATEGY, "--items", str(ITEMS), "--users", "2", "--no-calibrate"]
    line += ["--no-report", "--processes", str(processes), "--out", "run"]
    return lambda url, folder: [_started(folder, *line, "--target", url)]


def _master_and_workers(url: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    file = str(ROOT / "scenarios" / "backlog.py")
    line = ["locust", "-f", file, "--headless", "-u", "2", "-r", "2", "--host", url, "--strategy", STRATEGY]
    line += ["--items", str(ITEMS), "--out", "run", "--exit-code-on-error", "0"]
    master = _started(folder, *line, "--master", "--master-bind-port", port, "--expect-workers", "2")
    worker = ["locust", "-f", file, "--worker", "--master-port", port]
    return [master, _started(folder, *worker), _started(folder, *worker)]


WAYS: dict[str, Start] = {
    "`paceline compare`": _paceline(1),
    "`paceline compare --processes 2`": _paceline(2),
    "`locust --master` and two `--worker`": _master_and_workers,
}


@dataclass(frozen=True)
class Played:
    """A run that ended, and the server's count."""

    result: RunResult
    raw: list[tuple[int, ...]]
    seen: int

    @property
    def case(self) -> Case:
        return self.result.cases[0]


def play(start: Start, kill: bool = False) -> Played:
    """Play the case; `kill` ends one of the sending processes with SIGKILL in the middle."""
    with tempfile.TemporaryDirectory() as name, mock(PROFILE, Path(name)) as server:
        folder = Path(name)
        processes = start(server.url, folder)
        try:
            if kill:
                _kill_one(server, processes)
            processes[0].wait(LIMIT_S)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        result = decode((folder / "run" / "result.json").read_bytes())
        return Played(result, pooled(folder / "run"), server.seen() or 0)


def _kill_one(server: targets.RunningTarget, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while (server.seen() or 0) < KILL_AFTER and time.monotonic() < deadline:
        time.sleep(0.05)
    if len(processes) > 1:
        os.kill(processes[-1].pid, signal.SIGKILL)
        return
    # Locust's workers are the leaves of the tree.
    below = psutil.Process(processes[0].pid).children(recursive=True)
    os.kill(next(child.pid for child in below if not child.children()), signal.SIGKILL)


def differences(played: Played) -> list[str]:
    """The percentiles of the result that are not those of the raw records."""
    case, raw = played.case, percentiles(played.raw)
    shown = {"latency": case.latency_s, "service": case.service_time_s}
    return [name for name, value in raw.items() if getattr(shown[name.split()[0]], name.split()[1]).value != value]


def undisturbed() -> str:
    """The table of the runs that end by themselves."""
    table = "| way | records | the server counted | Locust counted | p50 | p99 | p99 of service | raw records |\n"
    table += "|---|---:|---:|---:|---:|---:|---:|---|\n"
    for way, start in WAYS.items():
        played = play(start)
        case, counts = played.case, played.case.counts
        assert counts.ok == len(played.raw) == played.seen == ITEMS, (way, counts)
        equal = ", ".join(differences(played)) or "all equal"
        figures = (case.latency_s.p50, case.latency_s.p99, case.service_time_s.p99)
        times = " | ".join(units.seconds(figure.value) for figure in figures)
        numbers = f"{len(played.raw):,} | {played.seen:,} | {units.count(counts.locust_seen)}"
        table += _shown(f"| {way} | {numbers} | {times} | {equal} |\n")
    return table


def killed() -> str:
    """The table of the runs that lose a process, and what their verdicts say."""
    table = "| way | items | answered | the server counted | without a record | no outcome | never sent |\n"
    table += "|---|---:|---:|---:|---:|---:|---:|\n"
    said = []
    for way, start in WAYS.items():
        played = play(start, kill=True)
        counts, lost = played.case.counts, played.case.lost
        assert lost is not None, played.result.verdict
        assert lost.exchanges == played.seen - len(played.raw), (way, lost)
        assert counts.scheduled == counts.ok + counts.unfinished + counts.not_sent == ITEMS, (way, counts)
        assert not differences(played), way
        numbers = (counts.scheduled, counts.ok, played.seen, lost.exchanges, counts.unfinished, counts.not_sent)
        table += _shown(f"| {way} | {' | '.join(f'{number:,}' for number in numbers)} |\n")
        (reason,) = [reason for reason in played.result.verdict.reasons if reason.code == "partial"]
        said.append(_shown(f"- {way}: {reason.text}\n"))
    return table + "\n" + "".join(said)


def _shown(line: str) -> str:
    print(line, end="", file=sys.stderr)
    return line


def write(page: Path, name: str, text: str) -> None:
    """Replace the part of the page between the marks of this name."""
    old = page.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name), END.format(name)
    page.write_text(old.split(begin)[0] + begin + text + end + old.split(end)[1], encoding="utf-8")


PARTS: dict[str, Callable[[], str]] = {"undisturbed": undisturbed, "killed": killed}

if __name__ == "__main__":
    for part in sys.argv[2:] or PARTS:
        made = PARTS[part]()
        if len(sys.argv) > 1:
            write(Path(sys.argv[1]), part, made)
