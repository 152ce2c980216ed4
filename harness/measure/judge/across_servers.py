"""Which strategy holds on several servers, from one result for each. Pure.

A strategy is compared by its worst score, relative to the best strategy of the same server (`recommendation.score`).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.judge.failing import ERROR_SHARE_MAX
from harness.measure.judge.recommendation import ALIKE, Recommendation, failed_share, holds, recommend, score
from harness.measure.result import Case, RunResult


def across(results: Sequence[tuple[str, RunResult]]) -> tuple[str, list[str]]:
    """A line of advice and at most three findings; `results` are (name of the server, result)."""
    unsound = [name for name, result in results if result.verdict.status != "valid"]
    if unsound or not results:
        return f"Do not draw conclusions: the measurement on {units.listing(unsound)} is not valid.", []
    found = [(name, recommend(result.cases)) for name, result in results]
    groups = [(name, one) for name, one in found if one is not None]
    best = _best(groups)
    findings = [_failing(groups, "fastest"), _failing(groups, "recommended"), _rest(groups, best)]
    return _advice(groups, best), [finding for finding in dict.fromkeys(findings) if finding]


Groups = Sequence[tuple[str, Recommendation]]


def _cases(found: Recommendation) -> dict[str, Case]:
    return {case.name: case for case in (*found.holding, *found.losing)}


def _best(groups: Groups) -> list[str]:
    """The strategies that hold on every server and have the highest worst score, the best first."""
    names = [case.name for case in groups[0][1].holding] if groups else []
    everywhere = [name for name in names if all(_holds(found, name) for _, found in groups)]
    worst = {name: min(_relative(found, name) for _, found in groups) for name in everywhere}
    least = (1 - ALIKE) * max(worst.values(), default=0.0)
    return sorted((name for name in everywhere if worst[name] >= least), key=lambda name: -worst[name])


def _holds(found: Recommendation, name: str) -> bool:
    case = _cases(found).get(name)
    return case is not None and holds(case)


def _relative(found: Recommendation, name: str) -> float:
    top = score(found.best[0], found.tail, found.backlog)
    return score(_cases(found)[name], found.tail, found.backlog) / top if top else 1.0


def _advice(groups: Groups, best: list[str]) -> str:
    if not best:
        return "No strategy holds on every server."
    rates = [f"{units.rate(_cases(found)[best[0]].rates_per_s.completed)} on {name}" for name, found in groups]
    most = max(failed_share(_cases(found)[best[0]]) for _, found in groups)
    loss = f"at most {units.share(most)} of the requests lost" if most else "no request lost"
    return f"Use {' or '.join(best)} if you do not know the server: {units.listing(rates)}, {loss}."


def _failing(groups: Groups, which: str) -> str:
    """The fastest (or recommended) case of one server, if it fails on another."""
    for name, found in groups:
        if not found.best:
            continue
        case = max(found.holding, key=lambda one: one.rates_per_s.completed or 0.0)
        case = case if which == "fastest" else found.best[0]
        for other, elsewhere in groups:
            there = _cases(elsewhere).get(case.name)
            if there is not None and not holds(there):
                rate = units.rate(case.rates_per_s.completed)
                role = "fastest" if which == "fastest" else "the best choice"
                return f"{case.name} is {role} on {name} ({rate}), but on {other} {_loss(there)}."
    return ""


def _loss(case: Case) -> str:
    share = failed_share(case)
    return f"it loses {units.share(share)} of the requests" if share > ERROR_SHARE_MAX else "it misses its SLO"


def _rest(groups: Groups, best: list[str]) -> str:
    """What else holds everywhere, and at which rate."""
    if not best or not groups:
        return ""
    others = [
        name for name in _cases(groups[0][1]) if name not in best and all(_holds(found, name) for _, found in groups)
    ]
    if not others:
        return f"No other strategy holds on {'both' if len(groups) == 2 else 'all'} servers."
    least = [
        (_cases(found)[name].rates_per_s.completed or 0.0) / (_cases(found)[best[0]].rates_per_s.completed or 1.0)
        for name in others
        for _, found in groups
    ]
    shares = units.share(min(least)) if len(least) == 1 else f"{units.share(min(least))} to {units.share(max(least))}"
    return (
        f"{units.listing(others)} also {'holds' if len(others) == 1 else 'hold'}, at {shares} of the rate of {best[0]}."
    )
