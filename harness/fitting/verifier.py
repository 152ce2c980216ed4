"""`paceline verify`: a fitted profile against its server, on loads that the fit has never seen.

Both servers get the same schedules, whose hashes are in the result. The Poisson loads are played twice on each, in the
order real, mock, real, mock; the two runs on the real server give the noise floor.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.base import units
from harness.base.options import REQUIRED, option
from harness.base.quantity import duration_s
from harness.client.errors import UsageError
from harness.client.transport.connection_settings import ConnectionSettings
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import ChildProcesses
from harness.experiment.settings import RunSettings
from harness.fitting.bench import Bench, Virtual, bench
from harness.fitting.calibration import FAILURES_MAX
from harness.fitting.fit_loads import FitLoad
from harness.fitting.fitter import LENGTHS, bounds_of, streaming
from harness.fitting.load_figures import figures, scatter
from harness.fitting.seen import Seen
from harness.fitting.verdicts import LoadPair, rows, verdict
from harness.fitting.verify_loads import VerifyLoad, VerifyLoads, loads_of
from harness.measure.verification_result import VERIFICATION_VERSION, Verification
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, loaded
from mock_server.proof import FITTED_HASH, VOID, digest

_WARM_S = 3.0
_FAILS = 0.5
"""A server that fails a larger share of a load is not compared at all."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class VerifySettings:
    """The profile, the server, and how long each load takes."""

    server: str = option(REQUIRED, "Fitted profile.", metavar="FILE.toml", names="profile")
    target: str | None = option(None, "The real server.", metavar="URL")
    against: str | None = option(
        None, "An embedded mock with this profile in place of --target, to try the method.", names="profile"
    )
    task: str | None = option(
        None, "Task of every request [default: that of the fit].", metavar="NAME[:...]", names="task"
    )
    lengths: str | None = option(
        None, "Shortest and longest text, in words [default: those of the fit].", metavar="LOW:HIGH"
    )
    duration_s: float = option(
        15.0,
        "Time of each load; the one at 0.8 of the capacity takes three times as long.",
        kind=duration_s,
        least=2,
        most=600,
    )
    near_capacity: bool = option(
        False, "Also play a load at 0.95 of the capacity; its latencies show their sensitivity and do not refute."
    )
    seed: int = option(7, "Seed of schedules and texts.", least=0)
    out: Path | None = option(None, "Directory of the records and the report [default: runs/<time>-verify].", kind=Path)
    overwrite: bool = option(False, "Replace a verification that is in the directory already.")
    save: bool = option(True, "Write the errors into the profile, as its proof.", flag="--save")

    connection: ConnectionSettings = field(default_factory=ConnectionSettings)

    def __post_init__(self) -> None:
        if self.target is not None and self.against is not None:
            raise UsageError("--against and --target exclude each other: verify with a mock, or with the real server")
        if self.target is None and self.against is None:
            raise UsageError("verify needs --target URL, the server that the profile was fitted to")


@dataclass(frozen=True)
class Verified:
    """The result, its directory, and the profile."""

    result: Verification
    directory: Path
    profile: Profile
    # Loads of which the server failed some requests: then nothing is written into the profile.
    failed: tuple[str, ...] = ()


class NotVerified(Exception):  # noqa: N818 - a finding, not a fault
    """The server fails, or its profile is too slow for any load, so there is nothing to compare; one line."""


def verify(wanted: VerifySettings, say: Say, *, simulated: bool = False) -> Verified:
    """Play every load on both servers; if it is interrupted, the verdict is on the loads until then.

    Raises UsageError, NotVerified, and KeyboardInterrupt before the end of the first load.
    """
    try:
        profile = loaded("--server", wanted.server)
        if wanted.against is not None:
            loaded("--against", wanted.against)
    except ProfileError as error:
        raise UsageError(str(error)) from error
    task = streaming(wanted.task or str(profile.proof.get("task") or "similarity"))
    lengths = bounds_of(wanted.lengths or str(profile.proof.get("lengths") or LENGTHS))
    say("capacity of the profile")
    planned = loads_of(profile, task, lengths, wanted.duration_s, wanted.seed, wanted.near_capacity)
    if (why := planned.impossible) is not None:
        raise NotVerified(why)
    directory = wanted.out or Path("runs") / f"{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}-verify"
    real, mock = _runs(wanted, task, directory, simulated)
    with _benches(real, mock, simulated) as both:
        done = _play(both, planned, say)
        schedules = {name: key for name, key in both[0].schedules.items() if both[1].schedules.get(name) == key}
    found = [row for pair in done.pairs for row in rows(pair)]
    status, text = verdict(found, {pair.name for pair in done.pairs} & set(planned.decisive))
    text += planned.caveat
    if partial := len(done.pairs) < len(planned.loads):
        text = f"interrupted after {len(done.pairs)} of {len(planned.loads)} loads, in which {text}"
        status = "refuted" if status == "refuted" else "not established"
    target = real.settings.target or f"the mock {Path(str(wanted.against)).stem}"
    changed = bool(profile.proof.get(VOID) or profile.proof.get(FITTED_HASH))
    result = Verification(
        VERIFICATION_VERSION, wanted.server, digest(profile), target, real.plan.started_at, status, text, found,
        schedules, wanted.seed, planned.capacity, real.plan.environment, done.invalid, changed, partial,
    )  # fmt: skip
    return Verified(result, directory, profile, tuple(dict.fromkeys(done.failed)))


def _runs(wanted: VerifySettings, task: str, directory: Path, simulated: bool) -> tuple[Run, Run]:
    """The runs on the server and on the mock, whose random numbers are others. Raises UsageError."""
    settings = RunSettings(
        strategies=("unbounded",),
        items=1,
        task=task,
        seed=wanted.seed,
        simulated=simulated,
        calibrate=False,
        overwrite=wanted.overwrite,
    )
    real_server = {"target": wanted.target, "server": wanted.against or "null", "connection": wanted.connection}
    real = prepare(replace(settings, **real_server, out=directory / "real"), kind="verify")  # type: ignore[arg-type]
    mock_settings = replace(settings, server=wanted.server, seed=wanted.seed + 10_000, out=directory / "mock")
    return real, prepare(mock_settings, kind="verify")


@contextmanager
def _benches(real: Run, mock: Run, simulated: bool) -> Iterator[tuple[Bench, Bench]]:
    """Both servers, started."""

    def backend(run: Run) -> Any:
        return Virtual(run) if simulated else ChildProcesses(run, _silent)

    with bench(real, backend(real), _silent) as first, bench(mock, backend(mock), _silent) as second:
        yield first, second


def _silent(event: str, facts: dict[str, Any]) -> None:
    return None


@dataclass
class _Done:
    """Loads that were played on both servers; the invalid runs, and the loads that a server failed in part."""

    pairs: list[LoadPair] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def _play(both: tuple[Bench, Bench], planned: VerifyLoads, say: Say) -> _Done:
    """Every load on both servers. Raises NotVerified, and KeyboardInterrupt before the first is done."""
    done = _Done()
    try:
        for server, name in zip(both, _SERVERS, strict=True):
            warm = FitLoad("warm-up", planned.loads[0].load.lengths, 2, seconds=_WARM_S)
            _answered(server.play(warm)[0], name)
        total, numbers = 2 * sum(one.repeats for one in planned.loads), itertools.count(1)
        say(f"{total} loads, at most {planned.seconds / 60:.1f} minutes")
        for one in planned.loads:
            _play_load(both, one, done, lambda text: say(f"load {next(numbers)} of {total}: {text}"))
    except KeyboardInterrupt:
        if not done.pairs:
            raise
    return done


def _play_load(both: tuple[Bench, Bench], planned: VerifyLoad, done: _Done, say: Say) -> None:
    """One load on both servers, in alternation."""
    load = planned.load
    seen: tuple[list[Seen], list[Seen]] = ([], [])
    wrong: list[str] = []
    for repeat in range(planned.repeats):
        for server, kept, name in zip(both, seen, _SERVERS, strict=True):
            say(f"{load.name}, {name} {repeat + 1} of {planned.repeats}")
            one, reasons = _played_well(server, replace(load, name=f"{load.name} ({repeat + 1})"))
            kept.append(_answered(one, name))
            wrong += [f"{load.name} ({name}): {reason}" for reason in reasons]
            done.failed += [load.name] if one.failed > FAILURES_MAX else []
    figured: Any = [tuple(figures(one) for one in part) for part in seen]
    done.pairs.append(LoadPair(load.name, figured[0], figured[1], planned.share, scatter(*seen), bool(wrong)))
    done.invalid += wrong


_SERVERS = ("real", "mock")


def _answered(seen: Seen, name: str) -> Seen:
    """The load, if the server answers at all. Raises NotVerified."""
    if seen.failed > _FAILS:
        which = "server" if name == "real" else "mock of the profile"
        raise NotVerified(f"the {which} failed {units.share(seen.failed)} of the requests of the load '{seen.name}'")
    return seen


def _played_well(server: Bench, planned: FitLoad) -> tuple[Seen, list[str]]:
    """Play a load, once more if the measurement is not valid; the reasons against the second."""
    seen, reasons = server.play(planned)
    if reasons:
        again = replace(planned, name=f"{planned.name}, again")
        seen, reasons = server.play(again)
    failures = [f"{units.share(seen.failed)} of the requests failed"] if seen.failed > FAILURES_MAX else []
    return seen, [*failures, *(reason.text for reason in reasons)]
