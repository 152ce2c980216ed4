"""The table of language models: tokens and times of streams of each case, as plain cells."""

from __future__ import annotations

from harness.base import units
from harness.measure.result import Case, Distribution
from harness.measure.token_result import TokenCount, TokenFigures
from reports import labels

TITLE = "Tokens"
HEADS = ("strategy", "prompt tokens", "cached", "output tokens", "reasoning", "counted by", "output/s", "prompt/s",
         "each user/s", "TTFT p50", "TTFT p95", "TPOT p50", "TPOT p95", "ITL p99", "E2E p95")  # fmt: skip


def rows(cases: list[Case]) -> list[list[str]]:
    """A row for each case that has tokens. Tokens are totals, with the mean of a request."""
    return [
        [name, *_tokens(case.tokens), *_times(case)]
        for name, case in zip(labels.case_labels(cases), cases, strict=True)
        if case.tokens is not None
    ]


def _tokens(found: TokenFigures) -> list[str]:
    per_s = found.per_s
    users = None if per_s.per_user is None else per_s.per_user.p50
    output = units.plus_minus(units.level(per_s.output), per_s.output, per_s.output_low, per_s.output_high)
    return [
        *(_count(each) for each in (found.prompt, found.cached, found.output, found.reasoning)),
        _by(found),
        output,
        units.level(per_s.prompt),
        units.level(users),
    ]


def _count(found: TokenCount | None) -> str:
    return units.NONE if found is None else f"{units.count(found.total)} ({units.level(found.mean)} each)"


def _by(found: TokenFigures) -> str:
    """Who counted the output."""
    server, events = found.counted_by_server, found.counted_by_events
    if server and events:
        return f"server {units.count(server)}, events {units.count(events)}"
    return "server" if server else "events" if events else units.NONE


def _times(case: Case) -> list[str]:
    first, each = case.ttft_s, case.tpot_s
    spreads = [(first, "p50"), (first, "p95"), (each, "p50"), (each, "p95"), (case.itl_s, "p99"), (case.e2e_s, "p95")]
    return [labels.percentile(spread, p) if spread is not None and spread.n else units.NONE for spread, p in spreads]


def notes(case: Case) -> list[str]:
    """What to know of the token figures of a case: why figures are missing, and chunks of several tokens."""
    found = case.tokens
    if found is None:
        return []
    lines = [f"no {name.removesuffix('_s').replace('_', ' ')}: {why}" for name, why in found.absent.items()]
    if found.first_chunk_several:
        lines.append(
            f"the first chunk of {units.count(found.first_chunk_several)} of {units.count(found.streams)} streams "
            "brought several tokens: their TPOT counts them as generated after it"
        )
    if found.bundled:
        lines.append(
            f"{units.count(found.bundled)} of {units.count(found.streams)} streams had fewer content events than "
            "tokens: a gap is between events, not tokens"
        )
    return lines


def spread_of(case: Case) -> list[tuple[str, Distribution | None]]:
    """The times of language models, by name."""
    return [
        ("time to first token", case.ttft_s),
        ("gaps between tokens", case.itl_s),
        ("time per output token", case.tpot_s),
        ("end to end", case.e2e_s),
    ]
