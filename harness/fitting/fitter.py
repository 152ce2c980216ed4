"""`paceline fit`: a calibration of a server, the profile that plays it, and whether that profile may be used."""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.base.options import REQUIRED, option
from harness.base.quantity import duration_s
from harness.client.errors import UsageError
from harness.client.transport.connection_settings import ConnectionSettings
from harness.experiment.backend import Backend, Progress
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import ChildProcesses
from harness.experiment.settings import RunSettings
from harness.fitting.bench import Virtual, bench
from harness.fitting.calibration import Calibrating, Calibration, CalibrationPlan
from harness.fitting.candidates import Search
from harness.fitting.estimates import fits
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.fitted_parameters import Estimate, Fit, KnownParameters, NotFitted
from harness.fitting.load_figures import Figures, loss
from harness.fitting.profile_file import profile_of, rounded, with_proof
from harness.fitting.seen import Seen
from harness.fitting.suitability import Stops, changes, failures, stalls, unexplained, unmeasured
from harness.fitting.written_parameters import as_written
from mock_server.profile import Profile
from mock_server.toml_settings import ProfileError, convert

TIME_S = 300.0
_LOADS_SHARE = 0.8
"""Of the time; the rest is for the overhead of the mock and the search."""
LENGTHS = "6:230"
WORDS_MAX = 100_000
COUNT_MAX = 1_000_000
"""Most workers and items of a batch of a mock."""
_TOGETHER = 0.1
"""Answers of one batch come within this share of the latency of a request alone."""
_TOGETHER_MIN_S = 0.0003
_VIRTUAL_S = 1e-6
_OWN_S = 6.0
"""Seconds for which the mock's own overhead is measured."""


@dataclass(frozen=True)
class FitSettings:
    """The server to fit, and how long it may take."""

    out: Path = option(REQUIRED, "File of the fitted profile.", kind=Path, metavar="FILE.toml")
    target: str | None = option(None, "Server to fit.", metavar="URL")
    server: str | None = option(
        None, "Fit an embedded mock with this profile in place of --target, to try the method.", names="profile"
    )
    task: str = option("similarity", "Task of every request.", metavar="NAME[:...]", names="task")
    lengths: str = option(LENGTHS, "Shortest and longest text of the calibration, in words.", metavar="LOW:HIGH")
    time_s: float = option(
        TIME_S, "Most time of the fit; its loads take up to four fifths.", kind=duration_s, least=20, most=3600
    )
    workers: int | None = option(
        None,
        "Workers (or slots of a language model), if you know them; 0: no bound.",
        kind=int,
        least=0,
        most=COUNT_MAX,
    )
    batch_items: int | None = option(
        None, "Most items of a batch, if you know it; 1: no batches.", kind=int, least=1, most=COUNT_MAX
    )
    black_box: bool = option(False, "Do not read /debug/batches and Server-Timing, even if the server has them.")
    seed: int = option(1, "Seed of the texts and of the simulations.", least=0)
    overwrite: bool = option(False, "Replace the file and the records if they are there already.")
    records: Path | None = option(
        None, "Directory of the calibration's records [default: runs/<time>-fit].", kind=Path, metavar="DIR"
    )

    connection: ConnectionSettings = field(default_factory=ConnectionSettings)

    def __post_init__(self) -> None:
        if self.target is not None and self.server is not None:
            raise UsageError("--server and --target exclude each other: fit an embedded mock, or a server of your own")
        if self.target is None and self.server is None:
            raise UsageError("fit needs --target URL, the server to fit (or --server, to fit a mock)")
        if self.out.suffix != ".toml":
            raise UsageError(f"--out {self.out}: must end in .toml, or --server does not take it for a file")
        if self.out.is_dir():
            raise UsageError(f"--out {self.out}: is a folder; name a file")
        if self.out.exists() and not self.overwrite:
            raise UsageError(f"--out {self.out}: exists already; choose another file or add --overwrite")
        if not os.access(self.out.parent, os.W_OK):
            raise UsageError(f"--out {self.out}: {self.out.parent} is not a folder that can be written to")
        bounds_of(self.lengths)

    def plan(self) -> CalibrationPlan:
        """The loads, as long as the time allows."""
        low, high = bounds_of(self.lengths)
        share = self.time_s / TIME_S
        return CalibrationPlan(
            low, high, idle_s=24 * share, level_s=14 * share, seed=self.seed, time_s=_LOADS_SHARE * self.time_s
        )

    def run(self, simulated: bool) -> Run:
        """The run whose records the calibration is. Raises UsageError."""
        stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        return prepare(
            RunSettings(
                strategies=("queue-stream:concurrency=1",),
                target=self.target,
                server=self.server or "null",
                task=streaming(self.task),
                items=1,
                seed=self.seed,
                simulated=simulated,
                calibrate=not simulated,
                out=self.records or Path("runs") / f"{stamp}-fit",
                overwrite=self.overwrite,
                connection=self.connection,
            ),
            kind="fit",
        )


def bounds_of(lengths: str) -> tuple[int, int]:
    """The shortest and the longest text. Raises UsageError."""
    both = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", lengths)
    if both is None or not 1 <= int(both[1]) < int(both[2]) <= WORDS_MAX:
        raise UsageError(f"--lengths {lengths[:40]}: must be LOW:HIGH in words, 1 <= LOW < HIGH <= {WORDS_MAX}")
    return int(both[1]), int(both[2])


def streaming(task: str) -> str:
    """The task, with its answers streamed if it can do that: tokens are timed one by one."""
    from harness import plugins

    made = plugins.make("task", task)
    if "stream" not in plugins.settings_of(made) or plugins.settings_of(made)["stream"]:
        return task
    return task + (",stream=true" if ":" in task else ":stream=true")


def streams(task: str) -> bool:
    """Whether its answers are streamed: the server is a language model."""
    from harness import plugins

    return bool(plugins.settings_of(plugins.make("task", streaming(task))).get("stream"))


@dataclass(frozen=True)
class Fitted:
    """The result of a fit. `refused` says why the server cannot be fitted."""

    profile: Profile
    fit: Fit
    calibration: Calibration
    pairs: tuple[tuple[str, Figures, Figures], ...]
    loss: float
    refused: tuple[str, ...]
    own_s: float = 0.0
    stops: Stops = field(default_factory=Stops)
    # False: the server was not steady, so `fit` is the first estimate.
    searched: bool = True


Say = Callable[[str], None]


def fit_server(wanted: FitSettings, say: Say, *, simulated: bool = False, progress: Progress | None = None) -> Fitted:
    """Calibrate a server and fit a profile to it. Raises UsageError, NotFitted and KeyboardInterrupt."""
    if find_spec("scipy") is None:
        raise UsageError('fit needs the package scipy: pip install "paceline[fit]"')
    known = KnownParameters(wanted.workers, wanted.batch_items)
    known.check(streams(wanted.task))
    run = wanted.run(simulated)
    calibration = _calibrated(run, wanted, say, simulated, progress or _silent)
    if (failed := failures(calibration)) is not None:
        raise NotFitted(failed)
    idle = calibration.idle
    assert idle is not None  # noqa: S101 - a calibration has one
    own_s = 0.0 if simulated else _own_s(wanted, idle, say)
    say("fitting")
    tolerance_s = _VIRTUAL_S if simulated else max(_TOGETHER_MIN_S, _TOGETHER * float(np.median(idle.latency[idle.ok])))
    candidates = fits(calibration, tolerance_s, known)
    check_playable(candidates[0], own_s)
    measured = [(calibration.loads[seen.name], seen) for seen in calibration.all]
    task = streaming(wanted.task)
    search = Search(measured, task, wanted.seed + 1, own_s)
    stalled, stops = stalls(calibration, profile_of(candidates[0], own_s), task, wanted.seed)
    unsteady = changes(calibration) + stalled
    # A server that cannot be fitted is not worth the search.
    found = candidates[0] if unsteady else search.best(candidates, say)
    both = search.whole(found)
    pairs, lost = [(seen.name, *pair) for (_, seen), pair in zip(measured, both, strict=True)], loss(both)
    profile = rounded(profile_of(found, own_s))
    found = as_written(found, profile)
    refused = (*unsteady, *([] if unsteady else unexplained(calibration, pairs, lost)))
    if refused:
        refused = (*refused, *unmeasured(calibration))
    proof = _proof(run, wanted, found, calibration, lost, stops)
    summary = f"Fitted to {proof['fitted_to']} on {proof['date'][:10]}, task {wanted.task}: {found.structure.text}."
    made = with_proof(msgspec.structs.replace(profile, summary=summary), proof)
    return Fitted(made, found, calibration, tuple(pairs), lost, refused, own_s, stops, searched=not unsteady)


def check_playable(found: Fit, own_s: float) -> None:
    """Raise NotFitted for a parameter that is beyond what a mock can play."""
    try:
        convert(msgspec.to_builtins(profile_of(found, own_s)), Profile, "a parameter is beyond what a mock can play")
    except ProfileError as error:
        raise NotFitted(str(error)) from error


def _calibrated(run: Run, wanted: FitSettings, say: Say, simulated: bool, progress: Progress) -> Calibration:
    backend: Backend = Virtual(run) if simulated else ChildProcesses(run, progress)
    clock = _no_clock if simulated else time.monotonic
    with bench(run, backend, progress) as server:
        try:
            return Calibrating(server, wanted.plan(), say, not wanted.black_box, clock).run()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"; no profile is written, the records are in {run.directory}") from None


def _no_clock() -> float:
    """In virtual time a load does not depend on how busy this machine is."""
    return 0.0


def _silent(event: str, facts: dict[str, Any]) -> None:
    return None


def _own_s(wanted: FitSettings, idle: Seen, say: Say) -> float:
    """The mean time that a mock process and its client add to the times of a profile, on this machine.

    The mock has the service time of the server, because a machine that sleeps between requests wakes up late.
    """
    say("overhead of a mock on this machine")
    streams = bool(idle.shapes[0].output)
    known = (idle.first - idle.sent if streams else idle.latency)[idle.ok]
    service_s = float(f"{np.median(known):.6g}")
    with tempfile.TemporaryDirectory(prefix="paceline-fit-") as folder:
        plain = Path(folder) / "plain.toml"
        plain.write_text(f"[service]\nbase_s = {service_s!r}\n[generation]\nttft_base_s = {service_s!r}\n")
        settings = replace(
            wanted,
            out=Path(folder) / "own.toml",
            target=None,
            server=str(plain),
            records=Path(folder) / "run",
            connection=ConnectionSettings(),
        )
        run = settings.run(simulated=False)
        run.settings = replace(run.settings, calibrate=False)
        with bench(run, ChildProcesses(run, _silent), _silent) as server:
            seen = server.play(FitLoad("alone", WordLengths.constant(16), 1, seconds=_OWN_S, items=2000))[0]
    of = (seen.first - seen.sent if streams else seen.latency)[seen.ok]
    return max(0.0, float(of.mean()) - service_s) if len(of) else 0.0


def _proof(
    run: Run, wanted: FitSettings, found: Fit, calibration: Calibration, lost: float, stops: Stops
) -> dict[str, Any]:
    """The proof in a profile: its origin and its errors."""
    environment = run.plan.environment
    undetermined = [f"{one.name}: {one.note}" for one in found.estimates if not one.determined]
    return {
        "status": "fitted",
        "fitted_to": run.settings.target or f"the mock {Path(wanted.server or '').stem}",
        "date": run.plan.started_at,
        "task": wanted.task,
        "lengths": wanted.lengths,
        "command": _command(wanted, run.settings.target),
        "tool": run.plan.tool.get("version", ""),
        "machine": str(environment.get("cpu_model") or environment.get("simulated", ""))[:120],
        "cores": environment.get("cpu_cores_usable") or 0,
        "calibration_loss": lost,
        "warm_up_settled": calibration.settled,
        "calibration_drift": calibration.drift,
        "calibration_requests": sum(len(seen) for seen in calibration.all),
        "invalid_loads": [f"{one.case}: {one.code}" for one in calibration.problems],
        **({"stops": stops.text} if stops.text else {}),
        "largest_residual": _largest(found),
        "not_determined": undetermined,
        "parameters": {one.name: _written(one) for one in found.estimates if one.determined},
    }


def _command(wanted: FitSettings, target: str | None) -> str:
    """The command without secrets: the URL is that of the run, which has no user and no password."""
    parts = ["--target", target] if target else ["--server", str(wanted.server)]
    parts += ["--task", wanted.task, "--out", wanted.out.name, "--seed", str(wanted.seed)]
    parts += ["--lengths", wanted.lengths, "--time", f"{wanted.time_s:g}s"]
    parts += [] if wanted.workers is None else ["--workers", str(wanted.workers)]
    parts += [] if wanted.batch_items is None else ["--batch-items", str(wanted.batch_items)]
    parts += ["--black-box"] if wanted.black_box else []
    return f"paceline fit {shlex.join(parts)}"


def _largest(found: Fit) -> float:
    """The largest relative residual of a batch or a first token."""
    ratios = found.law.ratios if found.law is not None else found.streams.first_ratios if found.streams else np.ones(1)
    return float(np.abs(ratios - 1).max())


def _written(one: Estimate) -> Any:
    return one.value if one.error is None else [one.value, one.error]
