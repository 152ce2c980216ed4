"""The trend of each case over the runs of a folder, and where it breaks. Pure.

Rules of this file
  1. What breaks a trend is decided by the rules of `paceline diff` (`conditions`): what forbids a comparison there
     breaks a trend here.
  2. Another machine, server, strategy or layer setting breaks it, too: `diff` shows these for people to judge, and a
     line drawn across them would be a judgement. Another version, commit, library or seed is no break, because a trend
     is there to show its effect; it is named.
  3. Cases of one name under another scenario or task, or simulated ones, are trends of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from harness.measure.diff_result import Changed
from harness.measure.judge.conditions import FinishedRun, changed, obstacles
from harness.measure.result import Case, RunResult, Target
from harness.measure.run_list_result import ListedCase, ListedRun, Measured, Trend, TrendPoint

Key = tuple[str, str, str, bool]
Seen = tuple[ListedRun, ListedCase, RunResult]
_BREAKS = ("environment", "server", "strategy", "layers")


def trends(runs: Sequence[tuple[ListedRun, RunResult | None]]) -> list[Trend]:
    """A trend for each figure of each case; runs come with their conditions, the oldest first."""
    cases: dict[Key, list[Seen]] = {}
    for run, conditions in runs:
        # The cases of a sweep are its levels; the answer is in its headline.
        if conditions is not None and run.kind in {"run", "gate"}:
            for case in run.cases:
                key = (case.name, case.scenario, case.task, run.simulated)
                cases.setdefault(key, []).append((run, case, _of_case(conditions, case)))
    return [trend for key, seen in cases.items() for trend in _of_key(key, seen)]


def _of_key(key: Key, seen: Sequence[Seen]) -> Iterator[Trend]:
    name, scenario, task, simulated = key
    differences = [([], []), *(_differences(one[2], other[2]) for one, other in pairwise(seen))]
    figures: dict[str, Measured] = {figure.figure: figure for _, case, _ in seen for figure in case.figures}
    for figure in figures.values():
        points = [
            _point(run, case, figure.figure, *found) for (run, case, _), found in zip(seen, differences, strict=True)
        ]
        if any(point.value is not None for point in points):
            yield Trend(name, scenario, task, simulated, figure.figure, figure.unit, points)


def _point(run: ListedRun, case: ListedCase, figure: str, broken: list[Changed], other: list[Changed]) -> TrendPoint:
    measured = next((one for one in case.figures if one.figure == figure), None)
    return TrendPoint(
        path=run.path,
        started_at=run.started_at,
        status=run.status,
        partial=case.partial,
        value=measured.value if measured else None,
        low=measured.low if measured else None,
        high=measured.high if measured else None,
        report=run.report,
        broken=broken,
        changed=other,
    )


def _differences(before: RunResult, after: RunResult) -> tuple[list[Changed], list[Changed]]:
    """What breaks a trend between two runs, and what else differs."""
    first, second = FinishedRun(before), FinishedRun(after)
    broken, other = obstacles(first, second), list[Changed]()
    for one in changed(first, second):
        (broken if _breaks(one.name) else other).append(one)
    return [_unnamed(one) for one in broken], [_unnamed(one) for one in other]


def _breaks(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in _BREAKS


def _unnamed(one: Changed) -> Changed:
    """Without the case, which the trend names already."""
    return msgspec.structs.replace(one, case=None)


def _of_case(conditions: RunResult, case: ListedCase) -> RunResult:
    """The conditions of one case of a run."""
    return msgspec.structs.replace(
        conditions, cases=[_started(one) for one in conditions.cases if one.name == case.name][:1]
    )


def _started(case: Case) -> Case:
    """A server that paceline started has another port in each run; it is known by its profile."""
    if case.target.server is None:
        return case
    return msgspec.structs.replace(case, target=Target("", case.target.server, case.target.note))
