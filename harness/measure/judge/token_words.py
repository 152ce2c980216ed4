"""Tokens of a case in words. Pure."""

from __future__ import annotations

from harness.base import units
from harness.measure.result import Case, Distribution
from harness.measure.token_result import TokenFigures


def token_words(case: Case) -> str:
    """Rates, tokens of a request, and the times of streams, in one line; empty without tokens."""
    found = case.tokens
    if found is None:
        return ""
    per_s = found.per_s
    users = f" ({units.rate(per_s.per_user.p50)} each user)" if per_s.per_user and per_s.per_user.p50 else ""
    rate = [f"{units.rate(per_s.output)} output tokens{users}"] if per_s.output is not None else []
    means = [
        f"{units.level(of.mean)} {name}"
        for name, of in (("prompt", found.prompt), ("output", found.output))
        if of is not None
    ]
    each = [f"{' and '.join(means)} tokens a request, counted by {counted_by(found)}"] if means else []
    times = [
        f"{name} {_percentiles(spread)}"
        for name, spread in (("TTFT", case.ttft_s), ("TPOT", case.tpot_s), ("ITL", case.itl_s))
        if spread is not None and spread.p50.value is not None
    ]
    return "; ".join([*rate, *each, *times])


def counted_by(found: TokenFigures) -> str:
    """Who counted the output tokens, or, without output, those of the prompts; `nobody` if neither is known."""
    server, events = found.counted_by_server, found.counted_by_events
    if server and events:
        return f"server {units.count(server)}, events {units.count(events)}"
    # Prompts are counted by the server only.
    if server or (not events and found.prompt is not None):
        return "server"
    return "events" if events else "nobody"


def _percentiles(spread: Distribution) -> str:
    values = (("p50", spread.p50.value), ("p95", spread.p95.value))
    return ", ".join(f"{name} {units.seconds(value)}" for name, value in values if value is not None)


def token_notes(case: Case) -> list[str]:
    """What to know of the token figures of a case: why figures are missing, and chunks of several tokens."""
    found = case.tokens
    if found is None:
        return []
    # Few servers count these.
    missing = {name: why for name, why in found.absent.items() if name not in ("cached", "reasoning")}
    lines = [f"no {name.removesuffix('_s').replace('_', ' ')}: {why}" for name, why in missing.items()]
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
