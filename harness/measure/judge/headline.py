"""The headline of a report, one line, and at most three findings below it. Pure.

Rules of this file
  1. The headline is a recommendation if the run is valid; else it says why not to trust the run.
  2. A backlog is never ranked against arrivals.
  3. A case without a success, or with its own reason for an invalid run, is never ranked or recommended.
  4. With enough repeats, cases that are not found worse than the best share first place with it. With too few for a
     test, those within 5 % of it do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.base import units
from harness.measure.judge.codes import CODES
from harness.measure.judge.distinguished import figure_of_tail, found_worse, no_difference
from harness.measure.judge.failing import nothing_succeeded
from harness.measure.judge.recommendation import advice, failed_share, holds, lost, reasons, recommend
from harness.measure.judge.slo import outcome
from harness.measure.judge.tails import common_tail, tail_of, tail_words
from harness.measure.result import Case, Verdict

ALIKE = 0.05


def headline(cases: Sequence[Case], verdict: Verdict) -> str:
    """One line. A failed SLO comes first."""
    broken = any(not check.passed for case in cases for check in case.slo)
    return f"{outcome(cases)}. {_advice(cases, verdict)}" if broken else _advice(cases, verdict)


def findings(cases: Sequence[Case], verdict: Verdict) -> list[str]:
    """At most three: why this recommendation, the best for each purpose, what limited them and whether to trust it."""
    sound = _sound(cases, verdict)
    if not sound:
        return []
    groups = _groups(sound)
    why = [_why(group) for group in groups]
    # The headline of a valid run has the figures of a single case.
    best = [_group(group) for group in groups if len(group) > 1 or verdict.status != "valid"]
    left_out = [case.name for case in cases if case not in sound]
    out = f"{units.listing(left_out)} {'is' if len(left_out) == 1 else 'are'} left out: see the verdict."
    trusted = _trust(verdict, bool(sound)) if verdict.status == "valid" else ""
    trust = [_server_limited(sound), out if left_out else "", trusted]
    found = (" ".join(filter(None, sentences)) for sentences in (why, best, trust))
    return [finding for finding in found if finding]


def _advice(cases: Sequence[Case], verdict: Verdict) -> str:
    if not any(case.counts.ok for case in cases):
        if verdict.status == "inconclusive":
            return "It was stopped before the first answer: there is nothing to compare."
        return nothing_succeeded(cases)
    sound = _sound(cases, verdict)
    if verdict.status != "valid":
        return _first_sentence(_trust(verdict, bool(sound)))
    return " ".join(_single(group[0]) if len(group) == 1 else _choice(group) for group in _groups(sound))


def _sound(cases: Sequence[Case], verdict: Verdict) -> list[Case]:
    bad = {reason.case for reason in verdict.reasons if CODES[reason.code][0] == "invalid"}
    return [case for case in cases if case.counts.ok and case.name not in bad]


def _groups(cases: Sequence[Case]) -> list[list[Case]]:
    """Backlog, then arrivals; those that occur."""
    split = [[case for case in cases if (case.load.kind == "backlog") is kind] for kind in (True, False)]
    return [group for group in split if group]


def _purpose(group: Sequence[Case]) -> str:
    kind = group[0].load.kind
    return {"backlog": "a batch job", "sessions": "sessions"}.get(kind, f"arrivals{_offered(group)}")


def _choice(group: Sequence[Case]) -> str:
    found = recommend(group)
    return f"{advice(found, _purpose(group))}." if found else ""


def _why(group: Sequence[Case]) -> str:
    found = recommend(group)
    if found is None or len(group) == 1:
        return ""
    return reasons(found) if found.best else f"{lost(found.losing)}."


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    return text.split(". ", 1)[0].removesuffix(".") + "."


def _group(cases: Sequence[Case]) -> str:
    """The best case for each purpose, of those that do not fail too much; of a single case, its figures."""
    backlog = cases[0].load.kind == "backlog"
    if len(cases) == 1:
        return _single(cases[0])
    ranked = [case for case in cases if holds(case)] or cases
    claims = [_throughput(ranked) if backlog else None, _tail(ranked, backlog), _cheapest(ranked)]
    winners: dict[tuple[str, ...], list[str]] = {}
    for claim in claims:
        if claim is not None:
            winners.setdefault(claim[0], []).append(claim[1])
    said = "; ".join(f"{units.listing(names)} {units.listing(what)}" for names, what in winners.items())
    # The finding before this one states the failures of cases that are left out here.
    failures = _failures(cases) if len(ranked) == len(cases) else ""
    said = said or _alike(ranked, backlog)
    return f"For {_purpose(cases)}: {said}.{failures}"


def _alike(cases: Sequence[Case], backlog: bool) -> str:
    tail = common_tail(cases, backlog)
    return no_difference(cases, "completed" if backlog or tail is None else tail)


def _single(case: Case) -> str:
    backlog = case.load.kind == "backlog"
    done = f"{case.name} answered {case.counts.ok} of {case.counts.scheduled} items"
    took = f" in {units.seconds(case.makespan_s)}" if case.makespan_s else ""
    rate = f" ({units.rate(case.rates_per_s.completed)})" if case.rates_per_s.completed else ""
    name = common_tail([case], backlog)
    tail = f"; {tail_words(name, backlog)} {units.seconds(tail_of(case, name, backlog))}" if name else ""
    return f"{done}{took}{rate}{tail}."


def _offered(cases: Sequence[Case]) -> str:
    offered = [case.rates_per_s.offered for case in cases if case.rates_per_s.offered]
    return f" at {units.rate(offered[0])}" if offered else ""


Claim = tuple[tuple[str, ...], str]
"""The best cases, and the statement about them."""


def _throughput(cases: Sequence[Case]) -> Claim | None:
    best, alike = _best(cases, lambda case: case.rates_per_s.completed, "completed")
    if best is None or best.makespan_s is None:
        return None
    figures = f"{units.rate(best.rates_per_s.completed or 0.0)}, {units.seconds(best.makespan_s)}"
    return alike, f"{'is' if len(alike) == 1 else 'are'} fastest ({figures})"


def _tail(cases: Sequence[Case], backlog: bool) -> Claim | None:
    """Arrivals are compared by latency from due time. In a backlog this is the makespan, so service time is used."""
    name = common_tail(cases, backlog)
    figure = figure_of_tail(name, backlog) if name else None
    best, alike = _best(cases, lambda case: tail_of(case, name, backlog) if name else None, figure)
    if best is None or name is None:
        return None
    value = units.seconds(tail_of(best, name, backlog))
    return alike, f"{'has' if len(alike) == 1 else 'have'} the shortest tail ({tail_words(name, backlog)} {value})"


def _cheapest(cases: Sequence[Case]) -> Claim | None:
    best, alike = _best(cases, lambda case: case.resources.client_cpu_us_per_request)
    if best is None:
        return None
    cost = f"{units.microseconds(best.resources.client_cpu_us_per_request or 0.0)} of CPU per request"
    return alike, f"{'costs' if len(alike) == 1 else 'cost'} the client least ({cost})"


def _failures(cases: Sequence[Case]) -> str:
    failed = {case.name: failed_share(case) for case in cases}
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
    cases: Sequence[Case], value_of: Callable[[Case], float | None], figure: str | None = None
) -> tuple[Case | None, tuple[str, ...]]:
    """The best case and the names of all cases that are no worse; none if a value is missing or all are alike.

    `figure` is the figure of single repeats that belongs to the value. Without one, cases within 5 % are no worse.
    """
    known = [(case, value) for case in cases if (value := value_of(case)) is not None]
    if len(known) < len(cases):
        return None, ()
    known.sort(key=lambda pair: pair[1], reverse=figure == "completed")
    best, top = known[0]
    worse = found_worse(best, [case for case, _ in known[1:]], figure) if figure else None
    if worse is None:
        worse = [case.name for case, value in known if abs(value - top) > ALIKE * abs(top)]
    alike = tuple(case.name for case, _ in known if case.name not in worse)
    return (best, alike) if worse else (None, ())
