"""The self-test's figures, and the verdict on this machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.base import units
from harness.measure.judge.client_time import STARVED_SHARE_MAX
from harness.measure.judge.verdict import CEILING_SHARE_MAX

ERROR_SHARE_MAX = 0.01
ERROR_MIN_S = 0.001
SLEEP_LATE_MAX_S = 0.005


@dataclass(frozen=True)
class Law:
    """A known law of times; `figure` is the name of the case's distribution that shows it."""

    name: str
    figure: str
    p50_s: float
    p99_s: float | None


class LawFigures(msgspec.Struct, frozen=True):
    """Injected and measured quantiles; None: not compared, or not measured."""

    name: str
    injected_p50_s: float
    injected_p99_s: float | None
    n: int = 0
    measured_p50_s: float | None = None
    measured_p99_s: float | None = None

    @property
    def errors_s(self) -> list[tuple[str, float, float]]:
        """(percentile, measured minus injected, tolerance) of every quantile that was measured."""
        pairs = [
            ("p50", self.measured_p50_s, self.injected_p50_s),
            ("p99", self.measured_p99_s, self.injected_p99_s),
        ]
        return [
            (name, measured - injected, max(ERROR_MIN_S, ERROR_SHARE_MAX * injected))
            for name, measured, injected in pairs
            if measured is not None and injected is not None
        ]


class SelfTest(msgspec.Struct, frozen=True):
    """What this machine and this client can do."""

    measured_unix_s: float
    machine: dict[str, str]
    took_s: float
    ceilings_per_s: dict[str, float]
    laws: list[LawFigures]
    sleep_late_p50_s: float
    sleep_late_p99_s: float
    loop_lag_p50_s: float | None = None
    run_queue_share: float | None = None
    fit: bool = False
    text: str = ""
    reasons: list[str] = []


def judged(found: SelfTest) -> SelfTest:
    """The self-test with its verdict."""
    reasons = [*_of_times(found), *_of_machine(found)]
    ceiling = found.ceilings_per_s.get("asyncio")
    worst = max((error for law in found.laws for _, error, _ in law.errors_s), key=abs, default=0.0)
    if reasons or ceiling is None:
        return msgspec.structs.replace(found, fit=False, reasons=reasons, text="not fit: " + "; ".join(reasons))
    text = (
        f"fit for up to {units.rate(CEILING_SHARE_MAX * ceiling)} for each process; "
        f"timing error at most {units.seconds(abs(worst))}"
    )
    return msgspec.structs.replace(found, fit=True, reasons=[], text=text)


def _of_times(found: SelfTest) -> list[str]:
    reasons = []
    for law in found.laws:
        if not law.errors_s:
            reasons.append(f"the times of the law '{law.name}' could not be measured")
        reasons += [
            f"{law.name}: {name} is {units.seconds(abs(error))} too {'high' if error > 0 else 'low'} "
            f"(limit {units.seconds(limit)})"
            for name, error, limit in law.errors_s
            if abs(error) > limit
        ]
    return reasons


def _of_machine(found: SelfTest) -> list[str]:
    reasons = []
    if "asyncio" not in found.ceilings_per_s:
        reasons.append("the rate of the generator could not be measured")
    if (found.run_queue_share or 0.0) > STARVED_SHARE_MAX:
        reasons.append(f"the client waited for a processor {units.share(found.run_queue_share or 0.0)} of the time")
    if found.sleep_late_p99_s > SLEEP_LATE_MAX_S:
        reasons.append(f"sleeps end up to {units.seconds(found.sleep_late_p99_s)} late")
    return reasons
