"""The decisions of an adaptive limit in a case: number, causes and timeline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.client.bound import Bound
from harness.client.cause import Cause
from harness.measure.record.decisions import BoundCounts, Decision, read, read_bounds
from harness.measure.record.files import RecordPaths, read_header
from harness.measure.result import BoundSpan, LimitChange, LimitLog

POINTS_MAX = 500  # of a timeline in the result
SPANS_MAX = 200  # of what bound the sending


def limit_log(repeats: Sequence[Sequence[RecordPaths]]) -> LimitLog | None:
    """Counts over all repeats and the timeline of the first one; None if there was no decision."""
    causes: Counter[str] = Counter()
    dropped, applications, timeline = 0, 1, list[LimitChange]()
    total, spans = np.zeros(len(Bound)), list[BoundSpan]()
    for number, processes in enumerate(repeats):
        logs = [read(process.decisions) for process in processes]
        dropped += sum(lost for _, lost in logs)
        for decisions, _ in logs:
            causes.update(decision.cause for decision in decisions)
        bounds = [read_bounds(process.decisions) for process in processes]
        total += sum((np.array(_padded(span.counts)) for of in bounds for span in of), np.zeros(len(Bound)))
        if not number:
            zeros = [read_header(process.requests)[0].t0_unix_s for process in processes]
            shifts = [zero - min(zeros) for zero in zeros]
            spans = _spans([(shift, span) for shift, of in zip(shifts, bounds, strict=True) for span in of])
            applications = len({(of, one.application) for of, (found, _) in enumerate(logs) for one in found})
            of_process = (decisions for decisions, _ in logs)
            timeline = _timeline(list(zip(shifts, of_process, strict=True)))
    if not causes and not total.any():
        return None
    ordered = dict(sorted(causes.items(), key=lambda entry: (-entry[1], entry[0])))
    return LimitLog(causes.total(), dropped, ordered, thinned(timeline), applications, _shares(total), spans)


def _padded(counts: Sequence[int]) -> list[int]:
    """As many as there are bounds, whatever the file says."""
    return [*counts, *[0] * len(Bound)][: len(Bound)]


def _shares(counts: np.ndarray[Any, Any]) -> dict[str, float]:
    """By the name of the bound; those that are not 0."""
    total = float(counts.sum())
    return {bound.name: round(float(counts[bound]) / total, 4) for bound in Bound if counts[bound]}


def _spans(marked: Sequence[tuple[float, BoundCounts]]) -> list[BoundSpan]:
    """Spans of all processes, in at most `SPANS_MAX` equal ones."""
    if not marked:
        return []
    end = max(shift + span.t_s + span.width_s for shift, span in marked)
    width = max(end / SPANS_MAX, *(span.width_s for _, span in marked), 1e-9)
    counts = np.zeros((math.ceil(end / width) + 1, len(Bound)))
    for shift, span in marked:
        counts[int((shift + span.t_s) / width)] += _padded(span.counts)
    return [
        BoundSpan(round(at * width, 6), round(width, 6), _shares(row)) for at, row in enumerate(counts) if row.any()
    ]


def _timeline(processes: Sequence[tuple[float, list[Decision]]]) -> list[LimitChange]:
    """The sum of the limits of all client applications, at the start and after each decision."""
    marked = sorted(
        (
            (decision.t_s + shift_s, number, decision)
            for number, (shift_s, of) in enumerate(processes)
            for decision in of
        ),
        key=lambda entry: entry[0],
    )
    if not marked:
        return []
    limits: dict[tuple[int, int], int] = {}
    paces: dict[tuple[int, int], float | None] = {}
    for _, number, decision in marked:
        limits.setdefault((number, decision.application), decision.before)
    steps = [LimitChange(0.0, sum(limits.values()), Cause.start)]
    for t_s, number, decision in marked:
        application = number, decision.application
        limits[application], paces[application] = decision.after, decision.pace_per_s
        known = [pace for pace in paces.values() if pace is not None]
        all_paced = len(known) == len(limits)
        steps.append(
            LimitChange(round(t_s, 6), sum(limits.values()), decision.cause, sum(known) if all_paced else None)
        )
    return steps


def thinned(steps: Sequence[LimitChange], most: int = POINTS_MAX) -> list[LimitChange]:
    """At most `most` changes: the first, last, highest and lowest of each time span."""
    if len(steps) <= most:
        return list(steps)
    begin, end = steps[0].t_s, steps[-1].t_s
    spans = most // 4
    width = (end - begin) / spans or 1.0
    of_span: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        of_span.setdefault(min(int((step.t_s - begin) / width), spans - 1), []).append(number)
    kept: set[int] = set()
    for numbers in of_span.values():
        values = [(steps[number].limit, number) for number in numbers]
        kept |= {numbers[0], numbers[-1], min(values)[1], max(values)[1]}
    return [steps[number] for number in sorted(kept)]
