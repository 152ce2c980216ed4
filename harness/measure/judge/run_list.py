"""The list of runs with its filters and trends. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from harness.measure.judge.trends import trends
from harness.measure.result import RunResult
from harness.measure.run_list_result import RUN_LIST_VERSION, Left, ListedRun, RunList


def listed(
    folder: str,
    read: Sequence[tuple[ListedRun, RunResult | None]],
    left: list[Left],
    kinds: Collection[str] = (),
    case: str | None = None,
) -> RunList:
    """The runs of these kinds (all without one) that have a case whose name contains this text."""
    kept = list[tuple[ListedRun, RunResult | None]]()
    for run, conditions in read:
        cases = [one for one in run.cases if case is None or case in one.name]
        if (not kinds or run.kind in kinds) and (cases or case is None):
            kept.append((msgspec.structs.replace(run, cases=cases), conditions))
    return RunList(RUN_LIST_VERSION, folder, [run for run, _ in reversed(kept)], trends(kept), left)
