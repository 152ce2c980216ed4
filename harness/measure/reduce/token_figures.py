"""The figures of tokens of a case. Pure functions of the rows.

Rules of this file
  1. Only successes that were sent count; their tokens count whole, when the answer is complete. The timeline alone
     spreads them over the arrivals of their events (`token_arrivals`).
  2. A count that the server does not give is null with a reason. Only the output has a stand-in: content events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.measure.record.rows_file import TOKENS_ARE_EVENTS
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, interval, quantile, rank
from harness.measure.reduce.streams import counted, e2e, tpot
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.token_result import LengthBin, RateSpread, TokenCount, TokenFigures, TokenRates

COUNTS = ("prompt", "output", "cached", "reasoning")


def token_figures(
    repeats: Sequence[Repeat], alone: Sequence[RepeatFigures], factor: float = 1.0
) -> TokenFigures | None:
    """The figures over all repeats, cut at the warm-up; None if no request has tokens.

    `alone` are the figures of each repeat, and `factor` widens intervals.
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
    """Why figures are null. Where nothing is generated, as for embeddings, one reason is enough."""
    if counts["output"] is None and not streams.any():
        return {"output": "the answers have no count of output tokens, and were no streams"}
    found = {}
    for name in ("prompt", "cached", "reasoning"):
        if counts[name] is None:
            found[name] = f"the answers have no count of {name} tokens"
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
