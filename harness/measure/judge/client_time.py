"""The client's own part of the measured times: event-loop lag, and waits for a processor. Pure.

Rules of this file
  1. A request is delayed twice when its client must first get a processor: when it is sent and when it is read.
  2. A client that is busy all the time delays every request by the share of time for which it waited.
  3. The tolerance belongs to the question: `--lag-tolerance`, else a share of the SLO's bound, else a share of the
     latency measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base import units
from harness.measure.judge.slo import Condition, bounds_s
from harness.measure.result import Case

BUSY_SHARE_MAX = 0.8
CLIENT_SHARE_REPORTED = 0.05
LAG_MIN_S = 0.001
LAG_P99_SHARE_MAX = 0.10
LAG_SHARE_MAX = 0.05
STARVED_SHARE_MAX = 0.25
STARVED_WAIT_SHARE_MIN = 0.10
# Timers of an event loop have a resolution of one millisecond.
TIMER_S = 0.001

Reasons = Iterator[tuple[str, str]]


def tolerance_s(given_s: float | None, conditions: Sequence[Condition]) -> float | None:
    """The lag that does not change the answer: as given, else 5 % of the SLO's latency bound; None without either."""
    if given_s is not None:
        return given_s
    bound_s = bounds_s(conditions).latency if conditions else None
    return None if bound_s is None else max(LAG_MIN_S, LAG_SHARE_MAX * bound_s)


def lag_limit_s(case: Case, percentile: str, asked_s: float | None) -> float:
    """The limit for this percentile of the lag."""
    if asked_s is not None:
        return asked_s
    median_s = case.latency_s.p50.value or 0.0
    same_s = getattr(case.latency_s, percentile).value or 0.0
    return max(LAG_MIN_S, LAG_SHARE_MAX * median_s, LAG_P99_SHARE_MAX * same_s)


def busy_share(case: Case) -> float | None:
    """Share of the time in which the client had work to do: on a processor or waiting for one."""
    use = case.resources
    if use.client_cpu_share is None:
        return None
    return use.client_cpu_share + (use.run_queue_share or 0.0)


def processor_wait_s(case: Case) -> float | None:
    """The part of a request's service time in which the client waited for a processor; None if unknown."""
    use, service_s = case.resources, _service_s(case)
    if use.run_queue_share is None or service_s is None:
        return None
    busy = min(1.0, busy_share(case) or 0.0)
    # While a request is in flight, the client cannot have waited for longer than it waited at all.
    most_s = use.run_queue_share * service_s / min(1.0, case.in_flight.mean or 1.0)
    return min(most_s, max(2 * (use.run_queue_wait_s or 0.0), use.run_queue_share * busy * service_s))


def own_time_s(case: Case) -> float:
    """The client's own part of a request's service time: loop lag beyond the timer's resolution, or processor wait."""
    lag_s = max(0.0, (case.resources.loop_lag_p50_s or 0.0) - TIMER_S)
    return max(lag_s, processor_wait_s(case) or 0.0)


def starved(case: Case, asked_s: float | None) -> Reasons:
    """Whether the client lacked a processor, so that the result shows its waits; else whether its own time counts."""
    use, service_s = case.resources, _service_s(case)
    waited_s, wait = processor_wait_s(case), use.run_queue_share or 0.0
    if waited_s is None or service_s is None or service_s <= 0:
        return
    limit_s = STARVED_SHARE_MAX * service_s if asked_s is None else asked_s
    late_s = _late_s(case) if case.load.kind != "backlog" else 0.0
    if wait >= STARVED_WAIT_SHARE_MIN and _needs_too_much(case) and late_s > (asked_s or LAG_MIN_S):
        yield "client_starved", _late_text(case, late_s)
    elif wait >= STARVED_WAIT_SHARE_MIN and waited_s > limit_s:
        yield "client_starved", _starved_text(case, waited_s, service_s)
    elif (own_s := own_time_s(case)) > CLIENT_SHARE_REPORTED * service_s and (asked_s is None or own_s > asked_s):
        yield (
            "client_time",
            (
                f"The client's own time (event-loop lag, waits for a processor) was about {units.seconds(own_s)}, "
                f"{units.share(own_s / service_s)} of the mean service time of {units.seconds(service_s)}: "
                "times and rates are the server's and the client's together."
            ),
        )


def lag_bound(case: Case, lag: tuple[str, float]) -> Reasons:
    """The effect of a tolerated lag on the published latencies, if it is worth a word."""
    name, value = lag
    if value > LAG_MIN_S:
        text = (
            f"The load generator was late by up to {units.seconds(value)} ({name} of the lag), within the tolerance: "
            f"latencies are at most {units.seconds(value)} too high, "
            "or too low by as much if late requests met a less busy server."
        )
        yield "lag_bound", text


def _service_s(case: Case) -> float | None:
    """The mean service time, because the waits are known as a mean."""
    return case.service_time_s.mean or case.service_time_s.p50.value


def _needs_too_much(case: Case) -> bool:
    return case.load.kind != "backlog" and (busy_share(case) or 0.0) > BUSY_SHARE_MAX


def _late_s(case: Case) -> float:
    """How late items were sent, in the generator and behind it."""
    late = [part.p99.value or part.p50.value or 0.0 for part in (case.lag_s, case.queue_wait_s)]
    return max(late)


def _late_text(case: Case, late_s: float) -> str:
    use = case.resources
    return (
        f"The client was starved of its processor: it had work {units.share(min(1.0, busy_share(case) or 0.0))} of the "
        f"time and waited for a processor {units.share(use.run_queue_share or 0.0)} of it. Items sent up to "
        f"{units.seconds(late_s)} late are the generator's lag; the strategy did not choose to wait. "
        "Use a quieter machine, more processors, or a lower rate."
    )


def _starved_text(case: Case, waited_s: float, service_s: float) -> str:
    waited = units.share(case.resources.run_queue_share or 0.0)
    return (
        f"The client was starved of its processor: it waited for one {waited} "
        f"of the time, which is about {units.seconds(waited_s)} of each request's service time of "
        f"{units.seconds(service_s)}. The result shows the machine and not the server. "
        "Use a quieter machine, more processors, or fewer requests in flight."
    )
