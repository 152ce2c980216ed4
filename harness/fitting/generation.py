"""The law of a language model: time to first token and between tokens, worked out from streams.

    first token = base + per prompt token x P + per square x P^2 + per running x (others that run)
    next token  = base + per running x (others that run) + per context token x (tokens of all that run)

A sequence starts when it is in the server and a slot is free; slots are given in order of arrival. All constants are
>= 0 and come from least squares of relative residuals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from harness.fitting.inversion import nonnegative, standard_errors
from harness.fitting.seen import Floats, Seen

FIRST = ("ttft_base_s", "ttft_per_prompt_token_s", "ttft_per_square_s", "ttft_per_running_s")
NEXT = ("itl_base_s", "itl_per_running_s", "itl_per_context_token_s")


@dataclass(frozen=True)
class StreamLaw:
    """The constants of both times, their standard errors and relative residuals; `slots` 0: no bound was reached."""

    slots: int
    values: dict[str, float]
    errors: dict[str, float]
    first_ratios: Floats
    next_ratios: Floats
    spread: float  # of the first tokens
    next_spread: float
    terms: tuple[str, ...]


def streaming_at_once(seen: Seen) -> int:
    """The most sequences between their first token and their end at one instant."""
    edges = [*((one, 1) for one in seen.first[seen.ok]), *((one, -1) for one in seen.done[seen.ok])]
    most = now = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        now += step
        most = max(most, now)
    return most


def stream_law(all_seen: Sequence[Seen], slots: int, squares: bool = False) -> StreamLaw:
    """The law under a number of slots."""
    overhead_s = 0.0
    found: StreamLaw | None = None
    for _ in range(6):
        fitted = _round(all_seen, slots, overhead_s, squares)
        moved, overhead_s = abs(fitted.values["overhead_s"] - overhead_s), fitted.values["overhead_s"]
        if found is None or fitted.spread < found.spread:
            found = fitted
        if moved < 1e-7:
            break
    assert found is not None  # noqa: S101 - there is a round
    return found


def _starts(seen: Seen, slots: int, overhead_s: float) -> tuple[Floats, Floats]:
    """When each sequence started, and 1 for those that found a free slot."""
    starts, idle, free = np.empty(len(seen)), np.zeros(len(seen)), [-math.inf] * slots
    for place, (sent, done) in enumerate(zip(seen.sent.tolist(), seen.done.tolist(), strict=True)):
        ready = sent + overhead_s
        slot = heappop(free) if slots else -math.inf
        starts[place] = max(slot, ready)
        idle[place] = slot <= ready + 1e-9
        if slots:
            heappush(free, done)
    return starts, idle


def _others(starts: Floats, done: Floats, at: Floats, weights: Floats | None = None) -> Floats:
    """How many sequences (or how much of their weight) run at these instants."""
    weights = np.ones(len(starts)) if weights is None else weights
    by_start, by_end = np.argsort(starts, kind="stable"), np.argsort(done, kind="stable")
    begun = np.concatenate([[0.0], np.cumsum(weights[by_start])])
    ended = np.concatenate([[0.0], np.cumsum(weights[by_end])])
    first = np.searchsorted(starts[by_start], at, side="right")
    last = np.searchsorted(done[by_end], at, side="right")
    return np.asarray(begun[first] - ended[last])


def _round(all_seen: Sequence[Seen], slots: int, overhead_s: float, squares: bool) -> StreamLaw:
    first: list[Floats] = []
    idles: list[Floats] = []
    table: list[Floats] = []
    later: list[Floats] = []
    next_table: list[Floats] = []
    for whole in all_seen:
        seen = whole.part(whole.ok)
        starts, idle = _starts(seen, slots, overhead_s)
        prompt = np.array([sum(shape.tokens) for shape in seen.shapes], float)
        others = _others(starts, seen.done, starts) - 1
        first.append(seen.first - starts)
        idles.append(idle)
        table.append(np.stack([np.ones(len(seen)), prompt, prompt**2, others], axis=1))
        made, gaps = _next_table(seen, starts, prompt)
        next_table.append(made)
        later.append(gaps)
    columns = dict(zip(FIRST, np.concatenate(table).T, strict=True))
    if not squares:
        del columns["ttft_per_square_s"]
    values, errors, ratios, terms = _fit(columns, np.concatenate(first), np.concatenate(idles), overhead_s)
    columns = dict(zip(NEXT, np.concatenate(next_table).T, strict=True))
    if not squares:
        del columns["itl_per_context_token_s"]
    gaps = np.concatenate(later)
    more, more_errors, next_ratios, more_terms = _fit(columns, gaps, np.zeros(len(gaps)), 0.0)
    del more["overhead_s"]
    spread, next_spread = (float(np.sqrt(np.mean(np.log(np.maximum(one, 1e-3)) ** 2))) for one in (ratios, next_ratios))
    names = dict.fromkeys((*FIRST, *NEXT), 0.0)
    return StreamLaw(
        slots,
        names | values | more,
        errors | more_errors,
        ratios,
        next_ratios,
        spread,
        next_spread,
        (*terms, *more_terms),
    )


def _next_table(seen: Seen, starts: Floats, prompt: Floats) -> tuple[Floats, Floats]:
    """A row for each gap between tokens: 1, others running and tokens of all, at the token before the gap."""
    owners = seen.gap_rows.astype(int)
    if not len(owners):
        return np.empty((0, len(NEXT))), np.empty(0)
    at = seen.token_instants - seen.gaps
    others = _others(starts, seen.done, at) - 1
    output = np.array([shape.output for shape in seen.shapes], float)
    context = _others(starts, seen.done, at, prompt + output / 2)
    return np.stack([np.ones(len(at)), np.maximum(others, 0), context], axis=1), seen.gaps


def _fit(
    columns: dict[str, Floats], seconds: Floats, idle: Floats, overhead_s: float
) -> tuple[dict[str, float], dict[str, float], Floats, tuple[str, ...]]:
    """Constants, standard errors, relative residuals, and the terms that the loads determine."""
    used = {name: column for name, column in columns.items() if name.endswith("base_s") or np.ptp(column) > 0}
    with_overhead = 0 < idle.sum() < len(idle)
    whole = seconds + overhead_s * idle * with_overhead
    if with_overhead:
        used["overhead_s"] = idle
    table = np.stack(list(used.values()), axis=1)
    service, solution = np.maximum(seconds, 1e-7), np.zeros(len(used))
    for _ in range(4):
        solution = nonnegative(table / service[:, None], whole / service)
        of_service = sum(
            solution[place] * column for place, (name, column) in enumerate(used.items()) if name != "overhead_s"
        )
        service = np.maximum(np.asarray(of_service, float), 1e-7)
    values = dict.fromkeys((*columns, "overhead_s"), 0.0) | dict(zip(used, map(float, solution), strict=True))
    ratios = (whole - values["overhead_s"] * idle * with_overhead) / service
    return values, standard_errors(table / service[:, None], ratios, tuple(used)), ratios, tuple(used)
