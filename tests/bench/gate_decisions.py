"""How often a gate decides right, on real servers and in virtual time. Run by hand: it measures for minutes.

    python -m tests.bench.gate_decisions --equal 3 --slower 3 --log decisions.jsonl
    python -m tests.bench.gate_decisions --equal 2 --slower 2 --busy-loops 1 --log decisions.jsonl
    python -m tests.bench.gate_decisions --virtual 100
    python -m tests.bench.gate_decisions --drifting 2000

With --virtual, mock servers are played in virtual time. With --drifting, the figures are made up: a machine that drifts
by 4 %, in half of the gates becomes 25 % slower at once, and adds 2 % of noise to each trial.

A gate is right if it passes an equal server and fails one that is 5 % slower, wrong if it does the reverse, and
undecided otherwise. The exit code is 1 if a gate was wrong. The log collects the gates of several calls.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.experiment.gate import blocks, decided, interleaved
from harness.experiment.gate_settings import GateSettings
from harness.experiment.prepare import Run, prepare
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.gate_result import Gate, decode
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.gate import judge
from harness.measure.result import RunResult, Verdict
from tests.bench.comparison_error import NOISE, host
from tests.comparison_samples import case
from tests.processes import ROOT

SLOWER = 1.05
ITEMS, VIRTUAL_ITEMS = 600, 150
PROFILE = """
[service]
base_s = {base_s}

[service.jitter]
kind = "lognormal"
cv = 0.1

[capacity]
workers = {workers}
"""
EXPECTED = {"equal": "passed", "slower": "failed"}


class Decision(NamedTuple):
    """One gate: the truth about its candidate, and its answer."""

    candidate: str  # equal or slower
    busy_loops: int
    status: str
    pairs: int
    confirmation: int
    noise_floor: float | None
    wall_s: float
    load_average: float
    text: str

    @property
    def kind(self) -> str:
        """right, wrong or undecided."""
        if self.status == EXPECTED[self.candidate]:
            return "right"
        return "wrong" if self.status in EXPECTED.values() else "undecided"


def real(candidate: str, busy_loops: int, folder: Path, seed: int) -> Decision:
    """A gate of two mock servers, started and played as in CI."""
    profiles = [_profile(folder, "base", 0.02, 8), _profile(folder, "new", 0.02 * _factor(candidate), 8)]
    serve = f"{sys.executable} -m harness serve mock --port {{port}} --server "
    commands = [serve + shlex.quote(str(profile)) for profile in profiles]
    line = [sys.executable, "-m", "harness", "gate", "--baseline-cmd", commands[0], "--candidate-cmd", commands[1]]
    line += ["-s", "queue-stream:concurrency=8", "--items", str(ITEMS), "--seed", str(seed), "--quiet"]
    started = time.monotonic()
    with busy(busy_loops):
        code, said = _played([*line, "--out", str(folder / "gate")])
        load = os.getloadavg()[0]
    file = folder / "gate" / "gate.json"
    if not file.exists():
        raise SystemExit(f"the gate ended with exit code {code}: {said}")
    return _decision(candidate, busy_loops, decode(file.read_bytes()), time.monotonic() - started, load)


def _played(line: Sequence[str]) -> tuple[int, str]:
    """Exit code and standard error of the gate. Ctrl-C ends it with its servers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as gate:
        try:
            _, said = gate.communicate()
        except BaseException:
            gate.terminate()
            raise
    return gate.returncode, said


def virtual(candidate: str, folder: Path, seed: int) -> Decision:
    """A gate in virtual time. Both sides have random service times of their own, because their seeds differ."""
    runs = [
        side(folder, name, 0.1 * factor, 2 * seed + number)
        for number, (name, factor) in enumerate((("baseline", 1.0), ("candidate", _factor(candidate))))
    ]
    started = time.monotonic()
    gate = interleaved(GateSettings(), runs, [VirtualTime(run) for run in runs], lambda event, facts: None)
    return _decision(candidate, 0, gate, time.monotonic() - started, os.getloadavg()[0])


def side(folder: Path, name: str, base_s: float, seed: int) -> Run:
    """One side of a gate in virtual time."""
    profile = _profile(folder, name, base_s, 4)
    return prepare(
        RunSettings(
            strategies=("queue-stream:concurrency=4",),
            server=str(profile),
            items=VIRTUAL_ITEMS,
            seed=seed,
            out=folder / name,
            simulated=True,
            calibrate=False,
        )
    )


def drifting(candidate: str, seed: int, pairs_max: int = 16) -> Decision:
    """A gate on made-up figures of a machine that drifts."""
    random, turns, settings = np.random.default_rng(seed), blocks(seed), GateSettings(pairs_max=pairs_max)
    speeds = iter(host(2 * (settings.pairs_max + settings.confirmation), random))
    rates: list[list[float]] = [[], []]
    factors = (1.0, 1 / _factor(candidate))

    def play(first: int, last: int) -> bool:
        for turn in (turn for _ in range(first, last) for turn in next(turns)):
            rates[turn].append(100 * factors[turn] * next(speeds) * math.exp(random.normal(0, NOISE)))
        return True

    def judged(confirmed_from: int | None) -> Gate:
        return judge(*map(_finished, rates), limit=settings.limit, confirmed_from=confirmed_from)

    started = time.monotonic()
    gate = decided([settings.pairs, settings.pairs_max], settings.confirmation, [], play, judged)
    return _decision(candidate, 0, gate, time.monotonic() - started, os.getloadavg()[0])


def _finished(rates: Sequence[float]) -> FinishedRun:
    found = case("queue-stream", rates)
    return FinishedRun(RunResult(1, "made-up", "", {}, {}, 1, None, Verdict("valid"), "", [found]))


def _factor(candidate: str) -> float:
    return SLOWER if candidate == "slower" else 1.0


def _profile(folder: Path, name: str, base_s: float, workers: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(PROFILE.format(base_s=base_s, workers=workers), encoding="utf-8")
    return path


def _decision(candidate: str, busy_loops: int, gate: Gate, wall_s: float, load: float) -> Decision:
    floor = gate.noise_floor
    return Decision(candidate, busy_loops, gate.status, gate.pairs, gate.confirmation, floor, wall_s, load, gate.text)


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that use a core each, as far as they get it."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(decisions: Sequence[Decision]) -> str:
    """Right, wrong and undecided gates for each kind of candidate, as a Markdown table."""
    lines = ["| candidate | busy loops | gates | right | wrong | undecided | seconds a gate | load average |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    for candidate, loops in sorted({(one.candidate, one.busy_loops) for one in decisions}, key=lambda key: key[::-1]):
        own = [one for one in decisions if (one.candidate, one.busy_loops) == (candidate, loops)]
        number = {kind: sum(one.kind == kind for one in own) for kind in ("right", "wrong", "undecided")}
        seconds, loads = [one.wall_s for one in own], [one.load_average for one in own]
        cells = [candidate, loops, len(own), *number.values(), _range(seconds, 0), _range(loads, 1)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _range(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def main() -> int:
    """Play the gates that the command line asks for."""
    # So that SIGTERM, too, ends the gate and the busy loops.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--equal", type=int, default=0, metavar="N", help="Gates of an equal server.")
    parser.add_argument("--slower", type=int, default=0, metavar="N", help="Gates of a server that is 5 %% slower.")
    parser.add_argument("--busy-loops", type=int, default=0, metavar="N", help="Processes beside it that use a core.")
    parser.add_argument("--virtual", type=int, default=0, metavar="N", help="Gates of each kind in virtual time.")
    parser.add_argument("--drifting", type=int, default=0, metavar="N", help="Gates of each kind on made-up figures.")
    parser.add_argument("--pairs-max", type=int, default=16, metavar="N", help="Pairs of a gate on made-up figures.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="Seed of the first gate.")
    parser.add_argument("--log", type=Path, help="File to which each gate is added, a JSON object a line.")
    given = parser.parse_args()
    made_up = given.virtual or given.drifting
    decisions = []
    for candidate, number in (("equal", given.equal), ("slower", given.slower)):
        for seed in range(given.seed, given.seed + (made_up or number)):
            decisions.append(_decided(given, candidate, seed))
            _log(decisions[-1], given.log, quiet=bool(made_up))
    if given.log and given.log.exists():
        decisions = [Decision(**json.loads(line)) for line in given.log.read_text(encoding="utf-8").splitlines()]
    print(table(decisions))
    return 1 if any(one.kind == "wrong" for one in decisions) else 0


def _decided(given: argparse.Namespace, candidate: str, seed: int) -> Decision:
    if given.drifting:
        return drifting(candidate, seed, given.pairs_max)
    with tempfile.TemporaryDirectory() as folder:
        if given.virtual:
            return virtual(candidate, Path(folder), seed)
        return real(candidate, given.busy_loops, Path(folder), seed)


def _log(found: Decision, log: Path | None, quiet: bool) -> None:
    values: dict[str, Any] = found._asdict()
    if not quiet:
        print(f"{found.candidate}: {found.status} ({found.kind}), {found.wall_s:.0f} s: {found.text}", flush=True)
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    sys.exit(main())
