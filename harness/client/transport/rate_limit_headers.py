"""Parses rate limits in response headers, in every form that servers use; pure.

Supported: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI and compatible servers; the reset is
a Go duration or seconds), `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}` (the reset is a date),
`x-ratelimit-*` and `ratelimit-*` (seconds, or a Unix time), and `RateLimit: "name";r=50;t=30` of the IETF's draft
(draft-ietf-httpapi-ratelimit-headers), as well as its older `limit=100, remaining=50, reset=30`.
Negative and unreadable values are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from harness.client.transport.retry_after import SECONDS_MAX, duration, number

_UNIX_TIME_MIN = 1e9
_OTHER_UNIT = re.compile(r'"?([^";,]+)"?[^,]*;\s*qu\s*=\s*"(?!requests")')
_NAMES = [
    ("x-ratelimit-%s-requests", "requests", True),
    ("x-ratelimit-%s-tokens", "tokens", True),
    ("anthropic-ratelimit-requests-%s", "requests", True),
    ("anthropic-ratelimit-tokens-%s", "tokens", True),
    ("x-ratelimit-%s", "requests", False),
    ("ratelimit-%s", "requests", False),
]
"""Header with a placeholder for limit, remaining or reset; counted unit; whether it refills gradually."""

# After this many answers without quota headers, only every SOME-th answer is examined.
SILENT = 8
SOME = 32
REMAINING = (*(name % "remaining" for name, _, _ in _NAMES), "ratelimit")
"""An answer that reports limits has at least one of these headers."""
_MEMBER = re.compile(r"([a-z]+)\s*=\s*(\d+)")


class Quota(msgspec.Struct, frozen=True):
    """State of one limit at the server."""

    kind: str  # counted unit: "requests" or "tokens"
    remaining: float
    reset_s: float  # until the full amount is available again
    limit: float | None = None
    refills: bool = False  # gradually; else all at once, at the reset


def quotas(headers: Mapping[str, str], now_unix_s: float) -> list[Quota]:
    """Every limit in these headers; the keys are case-insensitive, or in lower case."""
    candidates = [_three(headers, name, kind, now_unix_s, refills) for name, kind, refills in _NAMES]
    found = [quota for quota in candidates if quota is not None]
    if text := headers.get("ratelimit"):
        found += _draft(text, headers.get("ratelimit-policy", ""))
    return found


def _three(headers: Mapping[str, str], name: str, kind: str, now_unix_s: float, refills: bool) -> Quota | None:
    """A limit in three headers: limit, remaining and reset."""
    text = headers.get(name % "remaining")
    if text is None:
        return None
    remaining = number(text)
    reset_s = _until(headers.get(name % "reset", ""), now_unix_s)
    if remaining is None or reset_s is None:
        return None
    return Quota(kind, remaining, reset_s, number(headers.get(name % "limit", "")), refills)


def _draft(text: str, policy: str) -> list[Quota]:
    """The structured field: a list of limits, or one limit in the older form."""
    others = {match[1].strip() for match in _OTHER_UNIT.finditer(policy)}  # such as bytes or concurrency
    found = []
    parts = [text] if "remaining" in text else text.split(",")
    for part in parts:
        values = {key: float(value) for key, value in _MEMBER.findall(part.lower())}
        remaining, reset_s = values.get("r", values.get("remaining")), values.get("t", values.get("reset"))
        if part.partition(";")[0].strip().strip('"') in others or remaining is None or reset_s is None:
            continue
        found.append(Quota("requests", remaining, min(reset_s, SECONDS_MAX), values.get("limit")))
    return found


def _until(text: str, now_unix_s: float) -> float | None:
    """Seconds from now: from seconds, a Unix time, a Go duration or an ISO date."""
    value = number(text)
    if value is not None:
        wait_s: float | None = value - now_unix_s if value >= _UNIX_TIME_MIN else value
    elif "T" in text:
        try:
            wait_s = datetime.fromisoformat(text.strip()).timestamp() - now_unix_s
        except ValueError:
            wait_s = None
    else:
        wait_s = duration(text)
    return None if wait_s is None or wait_s < -60.0 else min(max(wait_s, 0.0), SECONDS_MAX)
