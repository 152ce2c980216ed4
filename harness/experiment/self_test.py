"""What this machine and this client can do, and how true its times are: measured against servers of known times.

Rules of this file
  1. Each law is injected by the mock; its quantiles are computed from the law and not measured.
  2. The timing error is measured minus injected. It contains the client's, the loopback's and the mock's own time.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness import plugins
from harness.base.files import write_atomically
from harness.client.layer_settings import LayerSettings
from harness.experiment import target as targets
from harness.experiment.ceiling import ceilings
from harness.experiment.child_process import play
from harness.experiment.spec import CaseSpec
from harness.measure.judge.self_test import Law, LawFigures, SelfTest, judged
from harness.measure.record.environment import environment
from harness.measure.record.plan import Measured, TaskShare
from harness.measure.record.run_queue import RunQueueSampler
from harness.measure.reduce.summary import observe
from harness.measure.result import Case, Distribution, Named

MEAN_S = 0.020
CV = 0.3
TTFT_S, ITL_S = 0.040, 0.010
SLEEPS, SLEEP_S = 200, 0.002
STREAM = "annotate:stream=true,max_tokens=8"


@dataclass(frozen=True)
class Injected:
    """A profile of the mock, the task that meets it, and the laws that its times follow."""

    profile: str
    task: str
    laws: tuple[Law, ...]


def _sigma() -> float:
    return math.sqrt(math.log(1 + CV**2))


def _lognormal(z: float) -> float:
    return MEAN_S * math.exp(-(_sigma() ** 2) / 2 + _sigma() * z)


INJECTED = (
    Injected(
        f"# Constant.\n[service]\nbase_s = {MEAN_S}\n",
        "similarity",
        (Law("constant", "service_time_s", MEAN_S, MEAN_S),),
    ),
    Injected(
        f'# Lognormal.\n[service]\nbase_s = {MEAN_S}\n[service.jitter]\nkind = "lognormal"\ncv = {CV}\n',
        "similarity",
        # The tail of some hundred draws is itself random, so that only the median is compared.
        (Law("lognormal", "service_time_s", _lognormal(0.0), None),),
    ),
    Injected(
        f"# A stream.\n[generation]\nttft_base_s = {TTFT_S}\nitl_base_s = {ITL_S}\n",
        STREAM,
        (Law("first token", "ttft_s", TTFT_S, TTFT_S), Law("between tokens", "itl_s", ITL_S, ITL_S)),
    ),
)


def self_test(progress: Callable[[str], None], items: int = 300) -> SelfTest:
    """Run every measurement, one after another; raises UsageError if the mock does not start."""
    sampler = RunQueueSampler()
    sampler.start()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="paceline-self-test-") as name:
        folder = Path(name)
        progress("sleep precision")
        sleep_late_s = sleep_precision_s()
        progress("generator ceiling")
        specs = [_spec(transport, "similarity", 1, transport) for transport in ("asyncio", "blocking")]
        found = ceilings(specs, folder, lambda _event, _about: None)
        laws, cases = list[LawFigures](), list[Case]()
        for number, injected in enumerate(INJECTED):
            progress(f"timing error: {injected.laws[0].name}")
            case = _measure(injected, number, folder, items)
            cases += [] if case is None else [case]
            laws += [_figures(law, case) for law in injected.laws]
    sampler.sample()
    shares = [share for case in cases if (share := case.resources.run_queue_share) is not None]
    lags = [lag for case in cases if (lag := case.resources.loop_lag_p50_s) is not None]
    return judged(
        SelfTest(
            measured_unix_s=time.time(),
            machine=machine(),
            took_s=time.monotonic() - begun,
            ceilings_per_s=found,
            laws=laws,
            sleep_late_p50_s=sleep_late_s[0],
            sleep_late_p99_s=sleep_late_s[1],
            loop_lag_p50_s=max(lags, default=None),
            run_queue_share=max(shares, default=None),
        )
    )


def sleep_precision_s() -> tuple[float, float]:
    """How late a sleep of two milliseconds ends: the median and the 99th percentile."""
    late = []
    for _ in range(SLEEPS):
        before = time.perf_counter()
        time.sleep(SLEEP_S)
        late.append(time.perf_counter() - before - SLEEP_S)
    late.sort()
    return late[SLEEPS // 2], late[SLEEPS * 99 // 100]


def machine() -> dict[str, str]:
    """The facts by which a later run knows that it is on the same machine."""
    known = environment()
    return {name: str(known[name]) for name in ("cpu_model", "cpu_cores", "cpu_cores_usable", "os", "python")}


def state_file() -> Path:
    """Where the last self-test is kept."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "paceline" / "self-test.json"


def store(found: SelfTest, path: Path) -> None:
    """Keep the self-test; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def _spec(name: str, task: str, items: int, transport: str = "asyncio") -> CaseSpec:
    strategy = plugins.make("strategy", "queue-stream:concurrency=4")
    made = plugins.make("task", task)
    return CaseSpec(
        name=name,
        strategy=Named(plugins.name_of(type(strategy)), plugins.settings_of(strategy)),
        tasks=[TaskShare(Named(plugins.name_of(type(made)), plugins.settings_of(made)))],
        items=items,
        synthetic={},
        layers=LayerSettings(timeout_s=10.0),
        transport="blocking" if transport == "blocking" else "asyncio",
    )


def _measure(injected: Injected, number: int, folder: Path, items: int) -> Case | None:
    profile = folder / f"law-{number}.toml"
    profile.write_text(injected.profile, encoding="utf-8")
    records = folder / f"law-{number}" / "records"
    records.mkdir(parents=True)
    spec = _spec(f"law-{number}", injected.task, items)
    with targets.embedded(str(profile), log=folder / f"law-{number}.log") as target:
        if play(spec.trial(target.url, records)).interrupted:
            raise KeyboardInterrupt
    return observe(spec, records.parent, Measured(), [], 0).case


def _figures(law: Law, case: Case | None) -> LawFigures:
    found: Distribution | None = None if case is None else getattr(case, law.figure)
    if found is None:
        return LawFigures(law.name, law.p50_s, law.p99_s)
    return LawFigures(law.name, law.p50_s, law.p99_s, found.n, found.p50.value, found.p99.value)
