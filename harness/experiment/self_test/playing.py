"""Plays one case against a running mock, and measures what disturbed client and mock meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness import plugins
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from harness.experiment import target as targets
from harness.experiment.child_process import play
from harness.experiment.run import ExternalFacts
from harness.experiment.self_test.laws import Injected, Law, settings_of_load
from harness.experiment.spec import CaseSpec
from harness.measure.record.files import find_case
from harness.measure.record.plan import Measured, TaskShare, Transport
from harness.measure.record.run_queue import RunQueueSampler
from harness.measure.reduce.bursts import bursts
from harness.measure.reduce.columns import load_repeat
from harness.measure.reduce.summary import Observed, observe
from harness.measure.result import Distribution, Named
from harness.measure.self_test_result import Ceiling, Compared

# Of a client whose ceiling is not known.
WORK_S = 1e-4


def work_s(ceilings: Mapping[str, Ceiling], transport: str) -> float:
    """The client's work for a request."""
    return 1 / ceilings[transport].rate_per_s if transport in ceilings else WORK_S


@dataclass(frozen=True)
class Disturbed:
    """How long a process worked and waited for a processor, as shares of the time."""

    cpu_share: float | None
    wait_share: float | None


@dataclass(frozen=True)
class Played:
    """One case that was played: its figures and verdict, the mock meanwhile, and the waits in bursts of answers."""

    observed: Observed
    mock: Disturbed
    mock_cpu_s: float
    burst_waits_s: dict[str, float]


class CpuWatch:
    """CPU time and run-queue waits of a process, from now on."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._queue = RunQueueSampler(Path(f"/proc/{pid}/task"))
        self._queue.start()
        self._started = time.monotonic()
        self._cpu_s = self._now_s()

    def _now_s(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)

    @property
    def cpu_s(self) -> float:
        """CPU time since the start."""
        return self._now_s() - self._cpu_s

    def read(self) -> Disturbed:
        """Shares of the time since the start."""
        self._queue.sample()
        took_s = max(time.monotonic() - self._started, 1e-9)
        waited = self._queue.longest()
        return Disturbed(self.cpu_s / took_s, None if waited is None else waited.wait_s / took_s)


def spec_of(name: str, injected: Injected, transport: Transport = "lean") -> CaseSpec:
    """The case that meets a law. Strategies on threads have a transport of their own."""
    strategy = plugins.make("strategy", injected.strategy)
    task = plugins.make("task", injected.task)
    return CaseSpec(
        name=name,
        strategy=Named(plugins.name_of(type(strategy)), plugins.settings_of(strategy)),
        tasks=[TaskShare(Named(plugins.name_of(type(task)), plugins.settings_of(task)))],
        synthetic={},
        layers=LayerSettings(timeout_s=30.0),
        transport="blocking" if strategy.blocking else transport,
        **settings_of_load(injected),
    )


def embedded(injected: Injected, folder: Path) -> targets.RunningTarget:
    """A mock with the profile of a law. Raises UsageError if it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "profile.toml"
    profile.write_text(injected.profile, encoding="utf-8")
    return targets.embedded(str(profile), log=folder / "mock.log")


def play_once(spec: CaseSpec, target: targets.RunningTarget, folder: Path, work_s: float = WORK_S) -> Played:
    """Play a case; raises KeyboardInterrupt if it was interrupted. `work_s`: the client's work for a request."""
    if target.process is None:
        raise UsageError("a self-test needs a mock of its own")
    (folder / "records").mkdir(parents=True)
    trial = spec.trial(target.url, folder / "records")
    facts = ExternalFacts(trial, folder, target)
    watch = CpuWatch(target.process.pid)
    played = play(trial)
    mock, cpu_s = watch.read(), watch.cpu_s
    facts.end(played.exit_code, played.interrupted)
    if played.interrupted:
        raise KeyboardInterrupt
    waits_s = _bursts(folder, spec.name, work_s)
    measured = Measured(ceilings={spec.transport: 1 / work_s})
    return Played(observe(spec, folder, measured, [], 0), mock, cpu_s, waits_s)


def compared(law: Law, played: Played, **more: Any) -> Compared:
    """The injected and the measured quantiles of a law."""
    case = played.observed.case
    found: Distribution | None = None if case is None else getattr(case, law.figure)
    base = Compared(name=law.name, injected_p50_s=law.p50_s, injected_p99_s=law.p99_s, figure=law.figure, **more)
    if case is None or found is None:
        return base
    use = case.resources
    return msgspec.structs.replace(
        base,
        n=found.n,
        measured_p50_s=found.p50.value,
        measured_p99_s=found.p99.value,
        in_flight_mean=case.in_flight.mean,
        client_wait_share=use.run_queue_share,
        client_cpu_share=use.client_cpu_share,
        mock_wait_share=played.mock.wait_share,
        mock_cpu_share=played.mock.cpu_share,
        makespan_s=case.makespan_s,
        loop_lag_p50_s=use.loop_lag_p50_s,
        burst_p50_s=played.burst_waits_s.get("p50"),
        burst_p99_s=played.burst_waits_s.get("p99"),
        host_steal_share=use.host_steal_share,
        codes=sorted({reason.code for reason in played.observed.verdict.reasons}),
    )


def _bursts(folder: Path, name: str, work_s: float) -> dict[str, float]:
    """p50 and p99 of the time for which an answer waited for those before it, at most."""
    processes = find_case(folder, name, 0).get(0)
    return bursts([load_repeat(0, processes)], 1 / work_s) if processes else {}
