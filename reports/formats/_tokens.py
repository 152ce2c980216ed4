"""The tables of language models: tokens, and times of streams, of each case, as plain cells."""

from __future__ import annotations

from harness.base import units
from harness.measure.judge.token_words import counted_by
from harness.measure.result import Case, Distribution
from harness.measure.token_result import TokenCount, TokenFigures
from reports import labels

TOKENS = ("strategy", "prompt tokens", "cached", "output tokens", "reasoning", "counted by", "output/s", "prompt/s",
          "each user/s")  # fmt: skip
TIMES = ("strategy", "TTFT p50", "TTFT p95", "TPOT p50", "TPOT p95", "ITL p50", "ITL p99", "E2E p50", "E2E p95")
Table = tuple[str, tuple[str, ...], list[list[str]]]


def tables(cases: list[Case]) -> list[Table]:
    """Title, headings and rows of each table; a row for each case that has tokens, in the second that streamed."""
    named = [
        (name, case) for name, case in zip(labels.case_labels(cases), cases, strict=True) if case.tokens is not None
    ]
    counts = [[name, *_tokens(case.tokens)] for name, case in named if case.tokens is not None]
    times = [[name, *_times(case)] for name, case in named if case.ttft_s is not None]
    return [("Tokens", TOKENS, counts), ("Times of streams", TIMES, times)]


def _tokens(found: TokenFigures) -> list[str]:
    """Totals, with the mean of a request, and rates."""
    per_s = found.per_s
    users = None if per_s.per_user is None else per_s.per_user.p50
    output = units.plus_minus(units.level(per_s.output), per_s.output, per_s.output_low, per_s.output_high)
    counts = [_count(each) for each in (found.prompt, found.cached, found.output, found.reasoning)]
    return [*counts, counted_by(found), output, units.level(per_s.prompt), units.level(users)]


def _count(found: TokenCount | None) -> str:
    return units.NONE if found is None else f"{units.count(found.total)} ({units.level(found.mean)} each)"


def _times(case: Case) -> list[str]:
    spreads = ((case.ttft_s, "p95"), (case.tpot_s, "p95"), (case.itl_s, "p99"), (case.e2e_s, "p95"))
    return [_cell(spread, p) for spread, tail in spreads for p in ("p50", tail)]


def _cell(spread: Distribution | None, p: str) -> str:
    return units.NONE if spread is None or not spread.n else labels.percentile(spread, p)


def spreads(case: Case) -> list[tuple[str, Distribution | None]]:
    """The times of language models, by name."""
    return [
        ("time to first token", case.ttft_s),
        ("gaps between tokens", case.itl_s),
        ("time per output token", case.tpot_s),
        ("end to end", case.e2e_s),
    ]
