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

import msgspec

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
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.fitter import LENGTHS, bounds_of, streaming
from harness.fitting.load_figures import figures, scatter
from harness.fitting.replaying import played
from harness.fitting.seen import Seen
from harness.fitting.verdicts import LoadPair, rows, verdict
from harness.measure.verification_result import VERIFICATION_VERSION, Verification
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, loaded
from mock_server.proof import VOID, digest

SHARES = (0.3, 0.6, 0.8)
"""Shares of the capacity at which the Poisson loads arrive."""
_BUSY, _LONGER = 0.7, 3
"""Above this share of the capacity waits vary more, and the load lasts so many times as long."""
_OTHER_SHARE = 0.5
_BURST_SHARE, _BURST_FACTOR = 0.3, 2.5
_FULL = 48
"""Requests in flight at which the capacity of a profile is measured, in virtual time."""
_FULL_ITEMS = 1500
_RATE_MIN, _RATE_MAX = 0.2, 2000.0
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
    """The server fails, so there is nothing to compare; the message is one line."""


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
    say("capacity of the profile")
    loads, capacity = _loads(profile, task, wanted)
    directory = wanted.out or Path("runs") / f"{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}-verify"
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
    with _benches(real, prepare(mock_settings, kind="verify"), simulated) as both:
        done = _play(both, loads, say)
        schedules = {name: key for name, key in both[0].schedules.items() if both[1].schedules.get(name) == key}
    found = [row for pair in done.pairs for row in rows(pair)]
    status, text = verdict(found, {pair.name for pair in done.pairs if pair.share in SHARES})
    if partial := len(done.pairs) < len(loads):
        text = f"interrupted after {len(done.pairs)} of {len(loads)} loads, in which {text}"
        status = "refuted" if status == "refuted" else "not established"
    result = Verification(
        VERIFICATION_VERSION, wanted.server, digest(profile), real.settings.target or f"the mock {wanted.against}",
        real.plan.started_at, status, text, found, schedules, wanted.seed, capacity, real.plan.environment,
        done.invalid, bool(profile.proof.get(VOID)), partial,
    )  # fmt: skip
    return Verified(result, directory, profile, tuple(dict.fromkeys(done.failed)))


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


def _play(both: tuple[Bench, Bench], loads: list[tuple[FitLoad, float | None, int]], say: Say) -> _Done:
    """Every load on both servers. Raises NotVerified, and KeyboardInterrupt before the first is done."""
    done = _Done()
    try:
        for server, name in zip(both, _SERVERS, strict=True):
            _answered(server.play(FitLoad("warm-up", loads[0][0].lengths, 2, seconds=_WARM_S))[0], name)
        total, numbers = 2 * sum(repeats for _, _, repeats in loads), itertools.count(1)
        seconds = 2 * sum(planned.seconds * repeats for planned, _, repeats in loads)
        say(f"{total} loads, at most {seconds / 60:.1f} minutes")
        for planned, share, repeats in loads:
            _play_load(
                both, planned, share, repeats, done, lambda text: say(f"load {next(numbers)} of {total}: {text}")
            )
    except KeyboardInterrupt:
        if not done.pairs:
            raise
    return done


def _play_load(
    both: tuple[Bench, Bench], planned: FitLoad, share: float | None, repeats: int, done: _Done, say: Say
) -> None:
    """One load on both servers, in alternation."""
    seen: tuple[list[Seen], list[Seen]] = ([], [])
    wrong: list[str] = []
    for repeat in range(repeats):
        for server, kept, name in zip(both, seen, _SERVERS, strict=True):
            say(f"{planned.name}, {name} {repeat + 1} of {repeats}")
            one, reasons = _played_well(server, replace(planned, name=f"{planned.name} ({repeat + 1})"))
            kept.append(_answered(one, name))
            wrong += [f"{planned.name} ({name}): {reason}" for reason in reasons]
            done.failed += [planned.name] if one.failed > FAILURES_MAX else []
    figured: Any = [tuple(figures(one) for one in part) for part in seen]
    done.pairs.append(LoadPair(planned.name, figured[0], figured[1], share, scatter(*seen), bool(wrong)))
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


def _loads(
    profile: Profile, task: str, wanted: VerifySettings
) -> tuple[list[tuple[FitLoad, float | None, int]], float]:
    """Loads with their shares of the capacity and their repeats; and the capacity."""
    low, high = bounds_of(wanted.lengths or str(profile.proof.get("lengths") or LENGTHS))
    mean = (low * high) ** 0.5
    mixed, other = WordLengths("lognormal", low, high, mean), WordLengths("uniform", low, high, (low + high) / 2)
    full, full_other = (_capacity(profile, task, lengths, wanted.seed) for lengths in (mixed, other))
    seconds, seed = wanted.duration_s, wanted.seed * 100
    loads: list[tuple[FitLoad, float | None, int]] = [
        (
            FitLoad(
                f"Poisson at {share:g}",
                mixed,
                rate_per_s=_rate(full * share),
                seconds=seconds * (1 if share < _BUSY else _LONGER),
                seed=seed + number,
            ),
            share,
            2,
        )
        for number, share in enumerate(SHARES)
    ]
    rate = _rate(full_other * _OTHER_SHARE)
    loads.append((FitLoad("other lengths", other, rate_per_s=rate, seconds=seconds, seed=seed + 4), _OTHER_SHARE, 2))
    spike = f"spike:factor={_BURST_FACTOR},start_share=0.4,width_share=0.2"
    rate = _rate(full * _BURST_SHARE)
    loads.append(
        (FitLoad("on and off", mixed, rate_per_s=rate, arrivals=spike, seconds=seconds, seed=seed + 5), None, 2)
    )
    if (bound := _bound(profile)) is not None:
        items = min(512, round(1.5 * bound) + 4)
        loads.append((FitLoad(f"burst of {items}", mixed, items, seconds=60, items=items, seed=seed + 6), None, 2))
    return loads, full


def _bound(profile: Profile) -> int | None:
    """Requests at once above which the profile refuses; None if it never does."""
    limits, capacity, generation = profile.limits, profile.capacity, profile.generation
    found = [limits.in_flight] if limits.in_flight else []
    found += [limits.burst] if limits.rate_per_s else []
    found += [capacity.queue_max + capacity.workers] if capacity.workers and capacity.queue_max < 500 else []
    found += (
        [generation.queue_max + generation.running_max] if generation.running_max and generation.queue_max < 500 else []
    )
    return min(found) if found else None


def _rate(rate: float) -> float:
    return float(f"{min(_RATE_MAX, max(_RATE_MIN, rate)):.4g}")


def _capacity(profile: Profile, task: str, lengths: WordLengths, seed: int) -> float:
    """Answers per second of the profile when many requests are in flight."""
    level = min(_FULL, _bound(profile) or _FULL)
    (seen,) = played(profile, [FitLoad("full", lengths, level, seconds=3600, items=_FULL_ITEMS, seed=seed)], task, seed)
    rate = figures(seen.before_refusals()).rate or 1.0
    return min(rate, profile.limits.rate_per_s * profile.speed) if profile.limits.rate_per_s else rate


def proven(profile: Profile, found: Verification) -> Profile:
    """The profile with the errors of a verification in its proof."""
    decided = [row for row in found.rows if row.error is not None and row.status != "bounded below"]
    worst = {name: max(abs(row.error or 0.0) for row in decided if row.figure == name)
             for name in dict.fromkeys(row.figure for row in decided)}  # fmt: skip
    floors = {name: max(row.floor for row in decided if row.figure == name) for name in worst}
    errors = [
        f"{row.load} | {row.figure} | {'no figure' if row.error is None else f'{row.error:+.4f}'} | "
        f"floor {row.floor:.4f} | {row.status}"
        for row in found.rows
    ]
    more = {
        "status": found.status,
        "verified": found.date,
        "verdict": found.text,
        "worst_errors": worst,
        "floors": floors,
        "rows": errors,
        "capacity_per_s": found.capacity_per_s,
        "verified_on": str(found.environment.get("cpu_model") or found.environment.get("simulated", ""))[:120],
    }
    return msgspec.structs.replace(profile, proof={**profile.proof, **more})
