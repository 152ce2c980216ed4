"""Finds the limiting factor of a case (server, strategy, client or load) and the figures that show it. Pure.

The reference is the server's service time when idle, its floor: the median of a case with one request in flight, or
else the fastest answer. If many requests are in flight and the service time is well above the floor, the server is the
limit. If it is at the floor, the server had room, and Little's law (L = λW) gives the rate that the strategy's
concurrency allows. A load with a changing rate is judged at the first step in which a queue grew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from harness.base import units
from harness.measure.judge.client_time import BUSY_SHARE_MAX, STARVED_WAIT_SHARE_MIN, busy_share
from harness.measure.judge.codes import CEILING_SHARE_MAX, CPU_SHARE_MAX
from harness.measure.judge.diagnosis_beside import SERVER, flight, in_flight, place, with_room, without_room
from harness.measure.judge.failing import mostly_refused
from harness.measure.judge.held_back import held_back, limit_words, own_bound
from harness.measure.judge.steps import Step, median, steps
from harness.measure.judge.usual_spread import may_be_spread
from harness.measure.result import Case, Diagnosis, Quantile

INFLATED = 1.5
"""A service time of this many times the floor has risen."""
SURELY_INFLATED = 3.0
"""The same factor if the floor is only the fastest answer, which jitter makes too low."""
REJECTED_SHARE = 0.05
DRAIN_SHARE_MAX = 0.05
GROWTH_MAX = 1.5


@dataclass(frozen=True)
class Floor:
    """The shortest service time known of a target, in seconds."""

    value_s: float
    idle: bool  # the median with one request in flight; else the fastest answer of any case
    # The rate of an earlier step of the same load, if the floor is its typical service time.
    earlier_per_s: float | None = None

    @property
    def words(self) -> str:
        """After "this server", as in "at the 0.120 s this server takes when idle"."""
        if self.earlier_per_s is not None:
            return f"took at {units.rate(self.earlier_per_s)}"
        return "takes when idle" if self.idle else "took for its fastest answer"


def diagnose(cases: Sequence[Case]) -> list[Case]:
    """The same cases, each with its diagnosis."""
    floors = {place(case): floor([other for other in cases if place(other) == place(case)]) for case in cases}
    alone = [msgspec.structs.replace(case, diagnosis=diagnosis(case, floors[place(case)])) for case in cases]
    return [msgspec.structs.replace(case, diagnosis=_with_apart(case, _beside(case, alone))) for case in alone]


def _with_apart(case: Case, found: Diagnosis) -> Diagnosis:
    """Add the calls and cache hits that explain a difference between rates and attempts, and what held the limit."""
    calls, hits = case.counts.own_calls, case.counts.cache_hits
    said = [
        f" Layers made {calls:,} calls of their own in addition; these are not attempts of a request." if calls else "",
        f" {hits:,} items were answered without an exchange of their own, from a cache or with an equal one."
        if hits
        else "",
        held_back(case),
        limit_words(case) if found.limited_by == "unknown" else "",
    ]
    return Diagnosis(found.limited_by, found.text + "".join(said))


def _beside(case: Case, others: Sequence[Case]) -> Diagnosis:
    """The diagnosis of a case compared to others of its load: a server has room only if more in flight gives more."""
    if case.diagnosis.limited_by == "strategy":
        return without_room(case, others)
    if case.diagnosis.limited_by == "server" and not refused_share(case) and not _sent_again(case):
        return with_room(case, others)
    return case.diagnosis


def floor(cases: Sequence[Case]) -> Floor | None:
    """The shortest service time of these cases; None if there was no answer."""
    idle = [case.service_time_s.p50.value for case in cases if case.in_flight.max == 1]
    known = [value for value in idle if value]
    if known:
        return Floor(min(known), idle=True)
    fastest = [case.service_time_s.min for case in cases if case.service_time_s.min]
    return Floor(min(fastest), idle=False) if fastest else None


def diagnosis(case: Case, known: Floor | None) -> Diagnosis:
    """The limiting factor of one case."""
    if not case.counts.ok or known is None:
        return Diagnosis("unknown", "No request was answered, so the limiting factor is unknown.")
    return (
        _client(case)
        or _mostly_failed(case)
        or own_bound(case)
        or _in_step(case, known)
        or _load(case, known)
        or _server(case, known)
        or _strategy(case, known)
    )


def _client(case: Case) -> Diagnosis | None:
    use = case.resources
    at_ceiling = use.ceiling_share is not None and use.ceiling_share > CEILING_SHARE_MAX
    # A client that is refused at once runs at its ceiling, which then limits the refusals alone.
    if at_ceiling and not mostly_refused(case):
        figure = f"{units.share(use.ceiling_share)} of the rate it reaches against a server that answers at once"
    elif use.client_cpu_share is not None and use.client_cpu_share > CPU_SHARE_MAX:
        figure = f"{units.share(use.client_cpu_share)} of a core"
    elif (use.run_queue_share or 0.0) >= STARVED_WAIT_SHARE_MIN and (busy_share(case) or 0.0) > BUSY_SHARE_MAX:
        waited = units.share(use.run_queue_share or 0.0)
        return Diagnosis("client", f"The client waited for a processor {waited} of the time: the client was the limit.")
    else:
        return None
    return Diagnosis("client", f"The client used {figure}: the client was the limit.")


def _mostly_failed(case: Case) -> Diagnosis | None:
    """More failures than answers, other than refusals: a server that is gone or hangs has no limit."""
    counts = case.counts
    failed = counts.timed_out + counts.server_error + counts.client_error + counts.connection_error
    failed += counts.bad_response
    if failed <= counts.ok:
        return None
    text = f"{failed:,} of {counts.scheduled:,} requests failed: the figures of the others do not show a limit."
    return Diagnosis("unknown", text)


def _in_step(case: Case, known: Floor) -> Diagnosis | None:
    """Judge the first step of a load in which a queue grew, relative to the steps before it."""
    reached = steps(case)
    place = next((at for at, step in enumerate(reached) if step.saturated(known.value_s)), None)
    if place is None:
        return None
    step, before = reached[place], [earlier for earlier in reached[:place] if earlier.service_s]
    if before and not known.idle:
        lowest = min(before, key=lambda earlier: earlier.rate_per_s)
        known = Floor(lowest.service_s or known.value_s, idle=True, earlier_per_s=lowest.rate_per_s)
    found = _server(_only(case, step), known, queue_grew=True) or _strategy(_only(case, step), known)
    kept = (
        f"It kept up with {units.listing([units.rate(earlier.rate_per_s) for earlier in reached[:place]])}. "
        if place
        else ""
    )
    span = f"{units.significant(step.start_s)} to {units.significant(step.end_s)} s"
    grew = f"At {units.rate(step.rate_per_s)} ({span}) the queue grew by {step.left:,}. "
    return Diagnosis(found.limited_by, f"{kept}{grew}{found.text}")


def _only(case: Case, step: Step) -> Case:
    """The case reduced to one step. Figures that a step does not have are those of the whole case."""
    service = msgspec.structs.replace(
        case.service_time_s, p50=Quantile(step.service_s or case.service_time_s.p50.value)
    )
    return msgspec.structs.replace(
        case,
        service_time_s=service,
        in_flight=msgspec.structs.replace(case.in_flight, mean=step.in_flight),
        rates_per_s=msgspec.structs.replace(case.rates_per_s, completed=step.ok / step.length_s),
    )


def _load(case: Case, known: Floor) -> Diagnosis | None:
    rates, flight = case.rates_per_s, case.in_flight
    if case.load.kind == "backlog":
        return _all_at_once(case, known)
    if not _kept_up(case, known) or case.counts.failed > 0.05 * case.counts.scheduled:
        return None
    offered = f"{units.rate(rates.offered)} were offered and " if rates.offered else ""
    meanwhile = f" with {units.level(flight.mean)} in flight on average" if flight.mean is not None else ""
    completed = units.rate(rates.completed or 0.0)
    text = f"{offered}{completed} completed{meanwhile}, no queue was left: the load was the limit."
    return Diagnosis("load", text[0].upper() + text[1:])


def _all_at_once(case: Case, known: Floor) -> Diagnosis | None:
    """A backlog of which all items were in flight at once, so that none was left to send."""
    items = case.counts.sent / max(case.repeats, 1)
    peak, wait_s = case.in_flight.max or 0, case.queue_wait_s.max
    if peak < 2 or peak < 0.9 * items or _inflation(case, known) >= INFLATED or wait_s is None:
        return None
    if wait_s <= known.value_s:
        return Diagnosis(
            "load",
            f"All {peak} items were in flight at once and the service time stayed at {units.seconds(known.value_s)}: "
            "there was nothing left to send, the load was the limit.",
        )
    return Diagnosis(
        "client",
        f"Sending all items took the client {units.seconds(wait_s)}, more than the "
        f"{units.seconds(known.value_s)} of an answer: the client was the limit.",
    )


def _kept_up(case: Case, known: Floor) -> bool:
    """Whether the server kept up with arrivals: few were left at the end, or latency did not grow."""
    due = [bucket for bucket in case.timeline if bucket.due]
    if not due or case.makespan_s is None:
        return False
    horizon_s = max(case.load.duration_s or 0.0, due[-1].t_s + due[-1].width_s)
    if case.makespan_s - horizon_s <= DRAIN_SHARE_MAX * horizon_s + 3 * known.value_s:
        return True
    third = len(due) // 3
    early, late = (median(bucket.latency_p50_s for bucket in part) for part in (due[:third], due[-third:]))
    return early is not None and late is not None and late <= GROWTH_MAX * early


def _inflation(case: Case, known: Floor) -> float:
    typical = case.service_time_s.p50.value or case.service_time_s.mean
    return typical / known.value_s if typical else 1.0


def refused_share(case: Case) -> float:
    """The share of refused requests if it is large; else 0."""
    tried = case.counts.scheduled - case.counts.not_sent
    share = case.counts.rejected / tried if tried else 0.0
    return share if share > REJECTED_SHARE else 0.0


def _sent_again(case: Case) -> float:
    """Attempts per request if there were many retries; else 0."""
    counts = case.counts
    of_items = counts.attempts - counts.own_calls - counts.side_attempts
    return of_items / counts.sent if counts.sent and of_items > 1.2 * counts.sent else 0.0


def _server(case: Case, known: Floor, queue_grew: bool = False) -> Diagnosis | None:
    if refused := refused_share(case):
        return Diagnosis("server", f"It refused {units.share(refused)} of the requests (429, 503 or 529){SERVER}")
    inflation = _inflation(case, known)
    if inflation < INFLATED or (case.in_flight.mean or 0.0) < INFLATED:
        return None
    may_be_usual = inflation < SURELY_INFLATED or (not queue_grew and may_be_spread(case, inflation))
    if may_be_usual and not known.idle:
        return Diagnosis(
            "unknown",
            f"Its median service time is {units.times(inflation)} the fastest answer of this server, which may be "
            "caused by load or by the server's usual spread: add -s sync to measure its service time when idle.",
        )
    typical = known.value_s * inflation
    return Diagnosis(
        "server",
        f"{_little(case, known)}; it gave {units.rate(case.rates_per_s.completed or 0.0)} because its service "
        f"time rose to {units.seconds(typical)} ({units.times(inflation)}) with {flight(case)} in flight"
        f"{_client_use(case)}{SERVER}",
    )


def _strategy(case: Case, known: Floor) -> Diagnosis:
    """The server had room, so the strategy's concurrency determined the rate."""
    if extra := _sent_again(case):
        return Diagnosis(
            "server", f"It took {units.significant(extra)} attempts a request, and the pauses between them{SERVER}"
        )
    gave = f"it gave {units.rate(case.rates_per_s.completed or 0.0)}{_client_use(case)}"
    room = "the server had room, the strategy's"
    if case.in_flight.max == 1:
        return Diagnosis("strategy", f"{_little(case, known)}; {gave}: {room} one request at a time was the limit.")
    kept = f"{flight(case)} in flight were the limit"
    return Diagnosis("strategy", f"{_little(case, known)}; {gave}, with the service time at that floor: {room} {kept}.")


def _little(case: Case, known: Floor) -> str:
    allowed = units.rate(in_flight(case) / known.value_s)
    idle = f"{units.seconds(known.value_s)} this server {known.words}"
    return f"Little's law allows {allowed} for {flight(case)} in flight at the {idle}"


def _client_use(case: Case) -> str:
    use = case.resources
    if use.ceiling_share is not None:
        return f", while the client used {units.share(use.ceiling_share)} of its ceiling"
    if use.client_cpu_share is not None:
        return f", while the client used {units.share(use.client_cpu_share)} of a core"
    return ""
