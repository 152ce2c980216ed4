"""The figures of tokens of a case. Pure functions of the rows.

Rules of this file
  1. Only successes that were sent count; their tokens count whole, when the answer is complete. The timeline alone
     spreads them over the arrivals of their events.
  2. A count that the server does not give is null with a reason. Only the output has a stand-in: content events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.client.types import Outcome
from harness.measure.record.rows_file import TOKENS_ARE_EVENTS
from harness.measure.reduce import columns
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, interval, quantile, rank
from harness.measure.reduce.streams import e2e, e2e_ends, tpot
from harness.measure.reduce.timeline import width_s
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.token_result import LengthBin, RateSpread, TokenBucket, TokenCount, TokenFigures, TokenRates

COUNTS = ("prompt", "output", "cached", "reasoning")


class Counted(NamedTuple):
    """Successes with tokens: rows of requests and of tokens, side by side, and the gaps of all requests."""

    rows: Array
    tokens: Array
    gaps: Array

    @property
    def streams(self) -> Array:
        """Whether each of them is a stream."""
        streamed: Array = self.rows["chunks"] > 0
        return streamed


def counted(repeat: Repeat) -> Counted:
    """The successes of a repeat that have tokens."""
    tokens = repeat.tokens.counts
    rows = repeat.rows[tokens["row"]]
    kept = (rows["outcome"] == Outcome.ok) & columns.was_sent(rows)
    return Counted(rows[kept], tokens[kept], repeat.tokens.gaps)


def total(repeat: Repeat, name: str) -> int | None:
    """The sum of a count over successes; None if it is known of none."""
    values = counted(repeat).tokens[name]
    known = values[values >= 0]
    return int(known.sum(dtype=np.int64)) if len(known) else None


def token_figures(
    repeats: Sequence[Repeat], alone: Sequence[RepeatFigures], middle: Repeat | None, factor: float = 1.0
) -> TokenFigures | None:
    """The figures over all repeats, cut at the warm-up; None if no request has tokens.

    `alone` are the figures of each repeat, `middle` is the whole repeat whose timeline is shown, and `factor` widens
    intervals.
    """
    parts = [counted(repeat) for repeat in repeats]
    if not any(len(part.rows) for part in parts):
        return None
    rows: Array = np.concatenate([part.rows for part in parts])
    tokens: Array = np.concatenate([part.tokens for part in parts])
    streams = rows["chunks"] > 0
    from_events = (tokens["flags"] & TOKENS_ARE_EVENTS) > 0
    output, events = tokens["output"], rows["chunks"].astype(np.int64)
    counts = {name: _count(tokens[name]) for name in COUNTS}
    per_s = _rates(alone, _per_user(rows, output), factor)
    return TokenFigures(
        requests=len(rows),
        counted_by_server=int(((output >= 0) & ~from_events).sum()),
        counted_by_events=int(from_events.sum()),
        streams=int(streams.sum()),
        first_chunk_several=int((tokens["first"] > 1).sum()),
        bundled=int((streams & ~from_events & (output > events)).sum()),
        per_s=per_s,
        by_prompt_length=_by_length(rows, tokens),
        timeline=[] if middle is None else _timeline(middle),
        absent=_absent(counts, streams, per_s),
        **counts,
    )


def _count(values: Array) -> TokenCount | None:
    known = np.sort(values[values >= 0]).astype(np.int64)
    if not len(known):
        return None
    median, high = (int(known[rank(len(known), p)]) for p in (0.5, 0.95))
    return TokenCount(len(known), int(known.sum()), float(known.mean()), int(known[0]), median, high, int(known[-1]))


def _per_user(rows: Array, output: Array) -> RateSpread | None:
    """Tokens per second of each stream after its first token."""
    times = tpot(rows, output)
    known = np.sort(1e9 / times[times > 0])
    n = len(known)
    if not n:
        return None

    def at(p: float, least: int) -> float | None:
        return float(known[rank(n, p)]) if n >= least else None

    low, high = at(0.05, LEAST_N["p95"]), at(0.95, LEAST_N["p95"])
    return RateSpread(n, float(known.mean()), float(known[0]), low, at(0.5, LEAST_N["p50"]), high, float(known[-1]))


def _rates(alone: Sequence[RepeatFigures], per_user: RateSpread | None, factor: float) -> TokenRates:
    """Tokens over the time of all repeats after their warm-ups, as the rate of successes is."""
    seconds = sum((one.makespan_s or 0.0) - one.warmup_s for one in alone)

    def rate(counts: Sequence[int | None]) -> float | None:
        known = [count for count in counts if count is not None]
        return sum(known) / seconds if known and seconds > 0 else None

    output, prompt = rate([one.output_tokens for one in alone]), rate([one.prompt_tokens for one in alone])
    low, high = interval(output, [one.output_tokens_per_s for one in alone], factor)
    both = output + prompt if output is not None and prompt is not None else None
    return TokenRates(output, low, high, prompt, both, per_user)


def _absent(counts: dict[str, TokenCount | None], streams: Array, per_s: TokenRates) -> dict[str, str]:
    """Why figures are null."""
    found = {}
    for name in ("prompt", "cached", "reasoning"):
        if counts[name] is None:
            found[name] = f"the answers have no count of {name} tokens"
    if counts["output"] is None:
        found["output"] = "the answers have no count of output tokens, and were no streams"
    if not streams.any():
        found |= dict.fromkeys(("ttft_s", "itl_s", "tpot_s", "per_user"), "the answers came whole, not as streams")
    elif per_s.per_user is None:
        found |= dict.fromkeys(("tpot_s", "per_user"), "no stream had two tokens or more in several chunks")
    return found


def _by_length(rows: Array, tokens: Array) -> list[LengthBin]:
    """Bins of prompt length, each twice as wide as the one before it."""
    known = tokens["prompt"] > 0
    rows, tokens = rows[known], tokens[known]
    if not len(rows):
        return []
    places = np.floor(np.log2(tokens["prompt"])).astype(np.int64)
    times = {"ttft": _ttft(rows), "tpot": tpot(rows, tokens["output"]), "e2e": e2e(rows)}
    bins = []
    for place in np.unique(places).tolist():
        here = places == place
        figures = {}
        for name, values in times.items():
            ordered = np.sort(values[here & (values >= 0)])
            for p in ("p50", "p95"):
                figures[f"{name}_{p}_s"] = quantile(ordered, PERCENTILES[p], LEAST_N[p]).value
        bins.append(LengthBin(2**place, 2 ** (place + 1) - 1, int(here.sum()), **figures))
    return bins


def _ttft(rows: Array) -> Array:
    """In ns; -1 without a stream."""
    known = (rows["chunks"] > 0) & (rows["first_byte"] >= 0)
    found: Array = np.where(known, rows["first_byte"] - rows["sent"], -1)
    return found


def _timeline(repeat: Repeat) -> list[TokenBucket]:
    """Output tokens by arrival: those of a stream are shared out equally to its content events."""
    part = counted(repeat)
    known = part.tokens["output"] > 0
    rows, tokens = part.rows[known], part.tokens[known]
    makespan_s = repeat.makespan_ns / 1e9
    if not len(rows) or makespan_s <= 0:
        return []
    width = width_s(makespan_s)
    count = max(1, int(np.ceil(makespan_s / width - 1e-9)))
    share = tokens["output"] / np.maximum(rows["chunks"], 1)
    streams = rows["chunks"] > 0
    firsts = np.where(streams, rows["first_byte"], e2e_ends(rows))
    instants, weights = [firsts / 1e9], [share]
    of = np.full(len(repeat.rows), -1)
    of[tokens["row"]] = np.arange(len(tokens))
    gaps = part.gaps[of[part.gaps["row"]] >= 0]
    if len(gaps):
        at, place = _arrivals(gaps, firsts / 1e9, of)
        instants.append(at)
        weights.append(share[place])
    places = np.clip((np.concatenate(instants) / width).astype(np.int64), 0, count - 1)
    sums = np.bincount(places, np.concatenate(weights), count)
    return [TokenBucket(round(k * width, 9), width, round(float(value), 3)) for k, value in enumerate(sums)]


def _arrivals(gaps: Array, firsts_s: Array, of: Array) -> tuple[Array, Array]:
    """The instant of each content event after the first, and the place of its stream."""
    order = np.argsort(gaps["row"], kind="stable")
    values = gaps["gaps"][order].astype(np.float64)
    place = np.repeat(of[gaps["row"][order]], values.shape[1])
    flat = values.ravel()
    real = ~np.isnan(flat)
    place, flat = place[real], flat[real]
    since = np.cumsum(flat)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    before = since[starts] - flat[starts]
    return firsts_s[place] + since - np.repeat(before, np.diff([*starts.tolist(), len(place)])), place
