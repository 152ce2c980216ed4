"""Figures of language models in result.json: tokens, their rates, and latency by prompt length."""

from __future__ import annotations

import msgspec


class TokenCount(msgspec.Struct, frozen=True):
    """Tokens a request, over the requests for which the count is known."""

    requests: int
    total: int
    mean: float
    min: int
    p50: int
    p95: int
    max: int


class RateSpread(msgspec.Struct, frozen=True):
    """Rates of single requests, per second; null where n is too small."""

    n: int
    mean: float
    min: float
    p5: float | None = None
    p50: float | None = None
    p95: float | None = None
    max: float | None = None


class TokenRates(msgspec.Struct, frozen=True):
    """Tokens of successes per second, after the warm-up; null where the tokens are not known."""

    output: float | None = None
    output_low: float | None = None  # its interval over repeats
    output_high: float | None = None
    prompt: float | None = None
    total: float | None = None  # both
    per_user: RateSpread | None = None  # 1 / TPOT of each stream


class LengthBin(msgspec.Struct, frozen=True):
    """Requests whose prompt has from `low` to `high` tokens, both included."""

    low: int
    high: int
    n: int
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p95_s: float | None = None
    e2e_p50_s: float | None = None
    e2e_p95_s: float | None = None


class TokenFigures(msgspec.Struct, frozen=True):
    """Tokens of a case, of successes after the warm-up that the server answered."""

    requests: int  # with a token count, or a stream
    counted_by_server: int  # of these, requests whose output the server counted
    counted_by_events: int  # ... whose content events stand in for tokens
    streams: int
    first_chunk_several: int  # streams whose first chunk is known to have brought several tokens
    bundled: int  # streams with fewer content events than the server's count of tokens
    prompt: TokenCount | None = None
    output: TokenCount | None = None
    cached: TokenCount | None = None  # of the prompt
    reasoning: TokenCount | None = None  # of the output
    per_s: TokenRates = TokenRates()
    by_prompt_length: list[LengthBin] = []
    absent: dict[str, str] = {}  # figure -> why it is null
