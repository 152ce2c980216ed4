"""The conditions of two measurements: which of them differ, and which of these forbid a comparison. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from harness.client.redaction import redact
from harness.measure.diff_result import Changed
from harness.measure.record.plan import Plan, PlanCase
from harness.measure.result import Case, RunResult

_MACHINE = ("cpu_model", "cpu_cores", "cpu_cores_usable", "cgroup_cpu_quota", "memory_gb", "os", "machine", "python")
_PLANNED = ("tasks", "synthetic", "prompts", "input", "users", "processes", "drain_s", "warmup_s")
_LOAD_OF_PLAN = {"tasks", "synthetic", "prompts"}
_LENGTHS = ("input_tokens", "output_tokens", "prefix_tokens", "prefix_pool", "prefix_share")
ABSENT = "–"


class FinishedRun(NamedTuple):
    """A finished run; its plan is unknown if only result.json was kept."""

    result: RunResult
    plan: Plan | None = None


def common(before: RunResult, after: RunResult) -> list[tuple[Case, Case]]:
    """The cases that both runs have, matched by name, in the order of the later run."""
    earlier = {case.name: case for case in before.cases}
    return [(earlier[case.name], case) for case in after.cases if case.name in earlier]


def obstacles(before: FinishedRun, after: FinishedRun) -> list[Changed]:
    """Differences that make a comparison meaningless: another load, task, or kind of run."""
    found = list(_differing("simulated", before.result.simulated, after.result.simulated))
    cases = common(before.result, after.result)
    if not cases:
        names = [", ".join(case.name for case in run.result.cases) or "none" for run in (before, after)]
        return [*found, Changed("cases (no name in common)", names[0], names[1])]
    for first, second in cases:
        found += _differing("task", first.task, second.task, second.name)
        found += _differing("load", _plain(first.load), _plain(second.load), second.name)
    found += _planned(before, after, forbidding=True)
    return [*_grouped(found), *_schedules(before.result, after.result)]


def changed(before: FinishedRun, after: FinishedRun) -> list[Changed]:
    """Every other difference: machine, versions, server, strategy, layers, seed."""
    first, second = before.result, after.result
    found = list(_differing("tool", first.tool, second.tool))
    one, other = ({key: run.environment.get(key) for key in _MACHINE} for run in (first, second))
    found += _differing("environment", one, other)
    found += _differing("library", first.environment.get("libraries"), second.environment.get("libraries"))
    found += _differing("commit", first.environment.get("git_sha"), second.environment.get("git_sha"))
    found += _differing("seed", first.seed, second.seed)
    if before.plan is not None and after.plan is not None:
        found += _differing("slo", before.plan.slo, after.plan.slo)
    for earlier, later in common(first, second):
        found += _differing("server", _plain(earlier.target), _plain(later.target), later.name)
        found += _differing("strategy", _plain(earlier.strategy), _plain(later.strategy), later.name)
        found += _differing("layers", earlier.layers, later.layers, later.name)
    found += other_transports(first, second)
    return _grouped([*found, *_planned(before, after, forbidding=False)])


def other_transports(before: RunResult, after: RunResult) -> list[Changed]:
    """The transports that differ: another client, whose own time is part of every figure."""
    pairs = [pair for pair in common(before, after) if None not in (pair[0].transport, pair[1].transport)]
    found = (_differing("transport", first.transport, second.transport, second.name) for first, second in pairs)
    return [one for of in found for one in of]


def _planned(before: FinishedRun, after: FinishedRun, forbidding: bool) -> Iterator[Changed]:
    """What only the plans hold."""
    if before.plan is None or after.plan is None:
        return
    earlier = {case.name: case for case in before.plan.cases}
    for case in after.plan.cases:
        if case.name in earlier:
            for name in _PLANNED:
                if (name in _LOAD_OF_PLAN) is forbidding:
                    values = (_of_plan(earlier[case.name], name), _of_plan(case, name))
                    yield from _differing(name, *values, case.name)
            if forbidding:
                arrivals = (_arrivals(earlier[case.name]), _arrivals(case))
                yield from _differing("arrivals of the repeats", *arrivals, case.name)


def _schedules(before: RunResult, after: RunResult) -> Iterator[Changed]:
    """The schedules' hashes, shortened, with their seeds. A schedule that one run does not know is no difference."""
    hashes = (before.schedule_sha256, after.schedule_sha256)
    if None not in hashes and hashes[0] != hashes[1]:
        yield Changed("schedule", *(f"{str(run.schedule_sha256)[:12]} (seed {run.seed})" for run in (before, after)))


def _arrivals(case: PlanCase) -> str:
    """Whether the repeats had arrivals and texts of their own, as automatic repeats have."""
    return "each its own" if case.schedules else "all the same"


def _of_plan(case: PlanCase, name: str) -> Any:
    if name == "prompts":
        return _lengths(case)
    return msgspec.to_builtins(getattr(case, name))


def _lengths(case: PlanCase) -> dict[str, Any]:
    """What made-up prompts ask of a server; how they are made may differ."""
    if (plan := case.prompts) is None:
        return {}
    asked: dict[str, Any] = {name: getattr(plan.settings, name) for name in _LENGTHS}
    return asked | {"ignore_eos": plan.calibration is not None and plan.calibration.full_length}


def _differing(name: str, before: Any, after: Any, case: str | None = None) -> Iterator[Changed]:
    """The values that differ, of mappings key by key."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from _differing(f"{name}.{key}", before.get(key), after.get(key), case)
    elif before != after:
        yield Changed(name, _words(before), _words(after), case)


def _grouped(found: list[Changed]) -> list[Changed]:
    """One entry where the same change applies to several cases."""
    cases: dict[tuple[str, str, str], list[str | None]] = {}
    for one in found:
        cases.setdefault((one.name, one.before, one.after), []).append(one.case)
    return [Changed(*change, case=of[0] if len(of) == 1 else None) for change, of in cases.items()]


def _plain(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value)


def _words(value: Any) -> str:
    return ABSENT if value is None else redact(str(value))
