"""The verdict of a self-test on this machine, and why a measured time is off. Pure.

Rules of this file
  1. A machine is fit if every time is within 1 ms or 1 % of the injected one, sleeps end on time, the client had a
     processor when it needed one, and every larger error with many requests in flight has a known cause.
  2. Waits for a processor explain an error only if all of them together are as long as it, and if they would be enough
     to delay the share of the requests above the percentile, were all requests in flight delayed by each.
  3. Requests and answers of a burst wait for each other. That is a cause if it can be at least half of the error.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.base import units
from harness.measure.judge.client_time import CLIENT_SHARE_REPORTED, STARVED_SHARE_MAX
from harness.measure.judge.codes import CEILING_SHARE_MAX
from harness.measure.judge.verdict import STEAL_SHARE_REPORTED
from harness.measure.record.plan import Transport, transport_name
from harness.measure.reduce.statistics import PERCENTILES
from harness.measure.self_test_result import Compared, SelfTest

NEEDED: tuple[Transport, ...] = ("lean", "asyncio")
"""The transports whose ceilings a self-test has to find."""

SLEEP_LATE_MAX_S = 0.005
CLIENT_CODES = ("client_starved", "client_time", "client_ceiling", "bursts")
LAG_CODES = ("lag", "lag_bound")
"""Reasons of a run's verdict that explain a time that is off. Lag is a part of the latency and not of other times."""

SAYS = "the verdict of the run says "


def judged(found: SelfTest) -> SelfTest:
    """The self-test with its verdict."""
    reasons = [*_of_times(found), *_of_table(found), *_of_machine(found)]
    text = f"not fit now: {_worst(found, reasons)}" if reasons else _fit(found)
    return msgspec.structs.replace(found, fit=not reasons, reasons=reasons, text=text)


def causes(compared: Compared, percentile: str) -> list[str]:
    """What disturbed this measurement enough to explain that the percentile is off."""
    found = []
    error_s = max((abs(error) for name, error, _ in compared.errors_s if name == percentile), default=0.0)
    if _waited(compared, percentile, error_s):
        found.append(
            f"the client waited for a processor {units.share(compared.client_wait_share)} of the time, "
            f"the mock {units.share(compared.mock_wait_share)}"
        )
    burst_s = compared.burst_p99_s if percentile == "p99" else compared.burst_p50_s
    if burst_s is not None and burst_s >= error_s / 2 > 0:
        found.append(f"requests or answers came together and waited up to {units.seconds(burst_s)} for each other")
    if (compared.host_steal_share or 0.0) > STEAL_SHARE_REPORTED:
        found.append(f"the host gave {units.share(compared.host_steal_share)} of the processor to other machines")
    telling = CLIENT_CODES + (LAG_CODES if compared.figure == "latency_s" else ())
    if codes := [code for code in compared.codes if code in telling]:
        found.append(f"{SAYS}{', '.join(codes)}")
    return found


def off_text(compared: Compared, name: str, error_s: float, limit_s: float) -> str:
    """One error beyond its tolerance, with its causes."""
    said = _error_text(compared, name, error_s, limit_s)
    found = causes(compared, name)
    return f"{said}, because {'; '.join(found)}" if found else f"{said}, and no cause was found"


def _error_text(compared: Compared, name: str, error_s: float, limit_s: float) -> str:
    """One error beyond its tolerance."""
    return (
        f"{law_name(compared)}{_flight(compared)}: {name} is {units.seconds(abs(error_s))} "
        f"too {'high' if error_s > 0 else 'low'} (limit {units.seconds(limit_s)})"
    )


def law_name(compared: Compared) -> str:
    """The law, with the transport that measured it."""
    return compared.name if compared.transport is None else f"{compared.name} over {transport_name(compared.transport)}"


def worst_of(found: SelfTest) -> tuple[Compared, str, float, float] | None:
    """The law, percentile, error and limit of the largest error in proportion to its limit; None without any."""
    errors = [(law, *error) for law in found.laws for error in law.errors_s]
    return max(errors, key=lambda of: _in_limits(of[1:]), default=None)


def _in_limits(error: tuple[str, float, float]) -> float:
    """An error of (percentile, error, limit) in units of its limit."""
    _, error_s, limit_s = error
    return abs(error_s) / limit_s


def _fit(found: SelfTest) -> str:
    rates = [
        f"{units.rate(CEILING_SHARE_MAX * found.ceilings[name].rate_per_s)} over {transport_name(name)}"
        for name in NEEDED
    ]
    largest = max((abs(error) for law in found.laws for _, error, _ in law.errors_s), default=0.0)
    return f"fit for up to {' and '.join(rates)} for each process; timing error at most {units.seconds(largest)}"


def _worst(found: SelfTest, reasons: list[str]) -> str:
    """The largest error of a time, and the times that are still right; else the first reason."""
    worst = worst_of(found)
    if worst is None or abs(worst[2]) <= worst[3]:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return reasons[0] + more
    largest = max(abs(error) for law in found.laws for _, error, _ in law.errors_s)
    right = f"times above {units.seconds(largest / CLIENT_SHARE_REPORTED)} are right"
    return f"{_error_text(*worst)}; {right} to {units.share(CLIENT_SHARE_REPORTED)}"


def _of_times(found: SelfTest) -> Iterator[str]:
    for law in found.laws:
        if not law.errors_s:
            yield f"the times of the law '{law_name(law)}' could not be measured"
        # The worse percentile is enough; the figures show both.
        if law.off:
            yield off_text(law, *max(law.off, key=_in_limits))


def _of_table(found: SelfTest) -> Iterator[str]:
    for cell in found.table:
        if not cell.errors_s:
            yield f"the times of {cell.name}{_flight(cell)} could not be measured"
        for off in cell.off:
            if not causes(cell, off[0]):
                yield off_text(cell, *off)


def _of_machine(found: SelfTest) -> Iterator[str]:
    for name in NEEDED:
        if name not in found.ceilings:
            yield f"the rate of the generator over {transport_name(name)} could not be measured"
    if (found.run_queue_share or 0.0) > STARVED_SHARE_MAX:
        yield f"the client waited for a processor {units.share(found.run_queue_share)} of the time"
    if found.sleep_late_p99_s > SLEEP_LATE_MAX_S:
        yield f"sleeps end up to {units.seconds(found.sleep_late_p99_s)} late"


def _waited(compared: Compared, percentile: str, error_s: float) -> bool:
    wait = (compared.client_wait_share or 0.0) + (compared.mock_wait_share or 0.0)
    above = 1 - PERCENTILES[percentile]
    time_s = getattr(compared, f"measured_{percentile}_s") or 0.0
    return 0 < error_s <= wait * (compared.makespan_s or 0.0) and wait * time_s >= above * error_s


def _flight(compared: Compared) -> str:
    return "" if compared.in_flight is None else f" at {compared.in_flight} in flight"
