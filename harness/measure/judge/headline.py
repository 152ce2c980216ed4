"""The headline of a report: the best strategy for each purpose, and whether to trust the result. Pure.

Rules of this file
  1. A backlog is never ranked against arrivals.
  2. A case without a success, or with its own reason for an invalid run, is never ranked first.
  3. Figures within 5 % of the best share first place: a single run cannot distinguish them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.base import units
from harness.measure.judge.slo import failed, outcome
from harness.measure.judge.verdict import CODES
from harness.measure.result import Case, Verdict

ALIKE = 0.05
_TAILS = ("p99", "p95", "p90", "p50")


def headline(cases: Sequence[Case], verdict: Verdict) -> str:
    """One to a few sentences. A failed SLO comes first."""
    broken = failed(cases)
    said = _measured(cases, verdict)
    return f"{outcome(cases)}. {'; '.join(broken)}. {said}" if broken else said


def _measured(cases: Sequence[Case], verdict: Verdict) -> str:
    answered = [case for case in cases if case.counts.ok]
    if not answered:
        return "No request succeeded: there is nothing to compare."
    bad = {reason.case for reason in verdict.reasons if CODES[reason.code][0] == "invalid"}
    sound = [case for case in answered if case.name not in bad]
    sentences = [_group(kind, [c for c in sound if (c.load.kind == "backlog") is kind]) for kind in (True, False)]
    left_out = [case.name for case in cases if case not in sound]
    if left_out and sound:
        sentences.append(
            f"{units.listing(left_out)} {'is' if len(left_out) == 1 else 'are'} left out: see the verdict."
        )
    sentences.append(_server_limited(sound))
    sentences.append(_trust(verdict, bool(sound)))
    return " ".join(sentence for sentence in sentences if sentence)


def _group(backlog: bool, cases: Sequence[Case]) -> str:
    if not cases:
        return ""
    if len(cases) == 1:
        return _single(cases[0], backlog)
    claims = [_throughput(cases) if backlog else None, _tail(cases, backlog), _cheapest(cases)]
    winners: dict[tuple[str, ...], list[str]] = {}
    for claim in claims:
        if claim is not None:
            winners.setdefault(claim[0], []).append(claim[1])
    said = "; ".join(f"{units.listing(names)} {units.listing(what)}" for names, what in winners.items())
    where = "For a batch job" if backlog else f"For arrivals{_offered(cases)}"
    said = said or f"{units.listing([case.name for case in cases])} performed alike"
    return f"{where}: {said}.{_failures(cases)}"


def _single(case: Case, backlog: bool) -> str:
    done = f"{case.name} answered {case.counts.ok} of {case.counts.scheduled} items"
    took = f" in {units.seconds(case.makespan_s)}" if case.makespan_s else ""
    rate = f" ({units.rate(case.rates_per_s.completed)})" if case.rates_per_s.completed else ""
    name = _common_tail([case], backlog)
    of = "service time" if backlog else "latency from due time"
    tail = f"; {_label(name)} of its {of} is {units.seconds(_tail_of(case, name, backlog) or 0.0)}" if name else ""
    return f"{done}{took}{rate}{tail}."


def _offered(cases: Sequence[Case]) -> str:
    offered = [case.rates_per_s.offered for case in cases if case.rates_per_s.offered]
    return f" at {units.rate(offered[0])}" if offered else ""


Claim = tuple[tuple[str, ...], str]
"""The best cases, and the statement about them."""


def _throughput(cases: Sequence[Case]) -> Claim | None:
    best, alike = _best(cases, lambda case: case.rates_per_s.completed, most=True)
    if best is None or best.makespan_s is None:
        return None
    figures = f"{units.rate(best.rates_per_s.completed or 0.0)}, {units.seconds(best.makespan_s)}"
    return alike, f"{'is' if len(alike) == 1 else 'are'} fastest ({figures})"


def _tail(cases: Sequence[Case], backlog: bool) -> Claim | None:
    """Arrivals are compared by latency from due time. In a backlog this is the makespan, so service time is used."""
    name = _common_tail(cases, backlog)
    best, alike = _best(cases, lambda case: _tail_of(case, name, backlog) if name else None, most=False)
    if best is None or name is None:
        return None
    value = units.seconds(_tail_of(best, name, backlog) or 0.0)
    of = "service time" if backlog else "latency from due time"
    return alike, f"{'has' if len(alike) == 1 else 'have'} the shortest tail ({_label(name)} of {of} {value})"


def _cheapest(cases: Sequence[Case]) -> Claim | None:
    best, alike = _best(cases, lambda case: case.resources.client_cpu_us_per_request, most=False)
    if best is None:
        return None
    cost = f"{units.microseconds(best.resources.client_cpu_us_per_request or 0.0)} of CPU per request"
    return alike, f"{'costs' if len(alike) == 1 else 'cost'} the client least ({cost})"


def _failures(cases: Sequence[Case]) -> str:
    failed = {case.name: 1 - case.counts.ok / case.counts.scheduled for case in cases if case.counts.scheduled}
    some = [f"{name} ({units.share(share)})" for name, share in failed.items() if share > 0]
    if not some:
        return " Nothing failed."
    if len(some) == len(failed):
        return f" Not answered: {units.listing(some)}."
    return f" Only {units.listing(some)} left items unanswered."


def _server_limited(cases: Sequence[Case]) -> str:
    names = [case.name for case in cases if case.diagnosis.limited_by == "server"]
    return f"The server, not the client, limited {units.listing(names)}." if names else ""


def _trust(verdict: Verdict, sound: bool) -> str:
    if verdict.status == "valid":
        return "The measurement is valid."
    first = next(reason for reason in verdict.reasons if CODES[reason.code][0] == verdict.status)
    where = f"{first.case}: " if first.case else ""
    if verdict.status == "inconclusive":
        return f"Not conclusive: {where}{first.text}"
    return f"{'Do not trust the run as a whole' if sound else 'Do not trust it'}: {where}{first.text}"


def _best(
    cases: Sequence[Case], figure: Callable[[Case], float | None], most: bool
) -> tuple[Case | None, tuple[str, ...]]:
    """The best case and the names of all cases within 5 % of it; none if a figure is missing or all are alike."""
    known = [(case, value) for case in cases if (value := figure(case)) is not None]
    if len(known) < len(cases):
        return None, ()
    known.sort(key=lambda pair: pair[1], reverse=most)
    best, top = known[0]
    alike = tuple(case.name for case, value in known if abs(value - top) <= ALIKE * abs(top))
    return (best, alike) if len(alike) < len(known) else (None, ())


def _common_tail(cases: Sequence[Case], backlog: bool) -> str | None:
    return next((name for name in _TAILS if all(_tail_of(case, name, backlog) is not None for case in cases)), None)


def _tail_of(case: Case, name: str | None, backlog: bool) -> float | None:
    distribution = case.service_time_s if backlog else case.latency_s
    value: float | None = getattr(distribution, name or "p50").value
    return value


def _label(name: str | None) -> str:
    return (name or "").replace("_", ".")
