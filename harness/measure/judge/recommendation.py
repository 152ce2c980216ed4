"""Which strategy to use: weighs throughput, tail and failures. Pure.

Rules of this file
  1. A case that misses its SLO, or without an SLO fails more than 1 % of its items, is not recommended.
  2. Of the others, the best has the highest rate^a / tail: Kleinrock's power, the usual definition of a knee. In a
     backlog a = 2 because throughput matters more: twice the rate is worth a tail of up to four times the length.
     Under arrivals a = 1: the load gives the rate, and the tail decides.
  3. Cases whose scores differ by less than 20 % are recommended together: a single run cannot distinguish them.
  4. With enough repeats the intervals over them decide: a case that is found worse in neither rate nor tail is
     recommended with the best one, whatever its score. One that is found worse in either and better in neither is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.base import units
from harness.measure.judge.distinguished import decisions, figure_of_tail
from harness.measure.judge.failing import ERROR_SHARE_MAX
from harness.measure.judge.slo import describe
from harness.measure.judge.tails import common_tail, tail_of, tail_words
from harness.measure.result import Case, SloCheck

RATE_POWER = {True: 2, False: 1}
"""The exponent of the rate: in a backlog, under arrivals."""
ALIKE = 0.2
NAMES_MAX = 3
CLEARLY = 1.1
"""Another case is mentioned if it is better by this factor in one respect."""


@dataclass(frozen=True)
class Recommendation:
    """The best cases of a group, the best first; `losing` lists the cases that fail too much."""

    best: tuple[Case, ...]
    holding: tuple[Case, ...]
    losing: tuple[Case, ...]
    tail: str | None
    backlog: bool

    @property
    def names(self) -> str:
        """`threads or adaptive`; of more than three, the best and a number."""
        names = [case.name for case in self.best]
        if len(names) > NAMES_MAX:
            names = [names[0], f"one of {len(names) - 1} that do equally well"]
        return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


def failed_share(case: Case) -> float:
    """The share of scheduled items that failed."""
    return case.counts.failed_share or 0.0


def holds(case: Case) -> bool:
    """Whether a case meets its SLO; without an SLO, whether nearly all of its items succeeded."""
    if case.slo:
        return all(check.passed for check in case.slo)
    return failed_share(case) <= ERROR_SHARE_MAX


def score(case: Case, tail: str | None, backlog: bool) -> float:
    """Rate and tail in one figure; 0 without a rate."""
    rate = case.rates_per_s.completed or 0.0
    tail_s = tail_of(case, tail, backlog) if tail else None
    return float(rate ** RATE_POWER[backlog]) / (tail_s or 1.0)


def recommend(cases: Sequence[Case]) -> Recommendation | None:
    """The recommendation for cases that are all a backlog, or all arrivals; None without a case."""
    if not cases:
        return None
    backlog = cases[0].load.kind == "backlog"
    holding = tuple(case for case in cases if holds(case))
    losing = tuple(case for case in cases if not holds(case))
    tail = common_tail(holding, backlog)
    ranked = sorted(holding, key=lambda case: score(case, tail, backlog), reverse=True)
    best = tuple(_shared_first(ranked, tail, backlog))
    return Recommendation(best, holding, losing, tail, backlog)


def _shared_first(ranked: Sequence[Case], tail: str | None, backlog: bool) -> list[Case]:
    """The best case and those that are recommended with it."""
    if not ranked:
        return []
    least = (1 - ALIKE) * score(ranked[0], tail, backlog)
    figures = ["completed", *([figure_of_tail(tail, backlog)] if tail else [])]
    tested = [decisions(ranked[0], ranked[1:], figure) for figure in figures]
    if any(one is None for one in tested):
        return [case for case in ranked if score(case, tail, backlog) >= least]

    def shares(case: Case) -> bool:
        said = {one.get(case.name) for one in tested if one is not None}
        return "worse" not in said or ("better" in said and score(case, tail, backlog) >= least)

    return [case for case in ranked if shares(case)]


def advice(found: Recommendation, purpose: str) -> str:
    """One line: `Use adaptive for a batch job: 182/s, p99 of service time 78 ms, nothing failed`."""
    if not found.best:
        least = min(found.losing, key=failed_share)
        if not failed_share(least) and least.slo:
            return _closest(found.losing)
        needed = "meets the SLO" if any(case.slo for case in found.losing) else "keeps failures below 1 %"
        return f"No strategy {needed}; {least.name} failed least ({units.share(failed_share(least))} of the items)"
    return f"Use {found.names} for {purpose}: {figures(found)}"


def _closest(losing: Sequence[Case]) -> str:
    """The case whose worst figure is nearest to its bound, where nothing failed but the SLO is missed."""
    nearest = min(losing, key=lambda case: max(_excess(check) for check in case.slo))
    check = max(nearest.slo, key=_excess)
    return f"No strategy meets the SLO; {nearest.name} comes closest ({describe(check)})"


def _excess(check: SloCheck) -> float:
    """How far a figure is beyond its bound, as a factor; below 1 if it holds, infinite without a figure."""
    if check.passed:
        return 0.0
    if not check.value or not check.limit:
        return math.inf
    ratio = check.value / check.limit
    return max(ratio, 1 / ratio)


def figures(found: Recommendation) -> str:
    """Rate, tail and failures of the best case."""
    best = found.best[0]
    tail_s = tail_of(best, found.tail, found.backlog) if found.tail else None
    tail = f"{tail_words(found.tail, found.backlog)} {units.seconds(tail_s)}" if found.tail else ""
    share = failed_share(best)
    failures = f"{units.share(share)} failed" if share else "nothing failed"
    return ", ".join(filter(None, [units.rate(best.rates_per_s.completed), tail, failures]))


def reasons(found: Recommendation) -> str:
    """Why the others are not recommended: who is faster, who has the shorter tail, who loses requests."""
    if not found.best:
        return ""
    said = [_faster(found), _shorter(found), lost(found.losing)]
    return " ".join(f"{sentence}." for sentence in said if sentence)


def _faster(found: Recommendation) -> str:
    best = found.best[0]
    fastest = max(found.holding, key=lambda case: case.rates_per_s.completed or 0.0)
    gain = _ratio(fastest.rates_per_s.completed, best.rates_per_s.completed)
    if fastest in found.best or gain < CLEARLY or found.tail is None or not _is_better(fastest, best, "completed"):
        return ""
    cost = _ratio(tail_of(fastest, found.tail, found.backlog), tail_of(best, found.tail, found.backlog))
    longer = f"its {tail_words(found.tail, found.backlog)} is {units.times(cost)} as long"
    return f"{fastest.name} gives {units.times(gain)} the rate of {best.name}, but {longer}"


def _shorter(found: Recommendation) -> str:
    best = found.best[0]
    if found.tail is None:
        return ""
    shortest = min(found.holding, key=lambda case: tail_of(case, found.tail, found.backlog) or 0.0)
    shorter_s = tail_of(shortest, found.tail, found.backlog)
    loss = _ratio(shortest.rates_per_s.completed, best.rates_per_s.completed)
    gain = _ratio(tail_of(best, found.tail, found.backlog), shorter_s)
    figure = figure_of_tail(found.tail, found.backlog)
    if shortest in found.best or gain < CLEARLY or loss >= 1 or not _is_better(shortest, best, figure):
        return ""
    tail = f"the shortest {tail_words(found.tail, found.backlog)} ({units.seconds(shorter_s)})"
    return f"{shortest.name} has {tail}, but gives only {units.share(loss)} of the rate"


def _is_better(case: Case, best: Case, figure: str) -> bool:
    """Whether repeats show it; with too few repeats, the point values have shown it."""
    found = decisions(best, [case], figure)
    return found is None or found[case.name] == "better"


def lost(cases: Sequence[Case]) -> str:
    """`unbounded lost 95 % and batches 64 % of the items`; an SLO may fail without failed items."""
    failed = [case for case in cases if failed_share(case) > ERROR_SHARE_MAX]
    missed = [case.name for case in cases if case not in failed]
    words = [f"{case.name} {'' if at else 'lost '}{units.share(failed_share(case))}" for at, case in enumerate(failed)]
    said = f"{units.listing(words)} of the items" if failed else ""
    slow = f"{units.listing(missed)} missed the SLO" if missed else ""
    return "; ".join(filter(None, [said, slow]))


def _ratio(value: float | None, to: float | None) -> float:
    return value / to if value and to else 1.0
