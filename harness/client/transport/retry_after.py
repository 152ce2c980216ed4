"""Seconds that a server asks the client to wait, in every form that servers use; pure.

The first header that can be read counts, in this order: `retry-after-ms` (float milliseconds), `retry-after` (seconds,
whole or not, or an HTTP-date), `x-ratelimit-reset-*` (Go durations such as "1m2.5s", or seconds), `x-ratelimit-reset`
(seconds, or a Unix time). Negative and unreadable values are ignored. A wait of more than an hour
is returned as an hour, which is enough to decide against waiting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

SECONDS_MAX = 3_600.0
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_NUMBER = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}")
_PAST_S = 60.0  # a date up to this old means "now": dates have whole seconds, and answers take time to arrive
_UNIX_TIME_MIN = 1e9  # as a number of seconds to wait it would be 31 years


def retry_after_s(headers: Mapping[str, str], now_unix_s: float | None) -> float | None:
    """Seconds to wait from now, in [0, 3600]; None if the server did not say.

    The keys of `headers` are case-insensitive, or in lower case. Dates are compared with the answer's `Date`, so that
    the clocks need not agree, else with `now_unix_s`; without either they are ignored.
    """
    if (text := headers.get("retry-after-ms")) is not None and (ms := number(text)) is not None:
        return _sane(ms / 1000.0)
    if (text := headers.get("retry-after")) is not None:
        if (value := number(text)) is not None:
            return _sane(value)
        if (at := _http_date(text)) is not None:
            server_now = _http_date(headers.get("date", ""))
            return _until(at, now_unix_s if server_now is None else server_now)
    resets = [wait for kind in ("requests", "tokens") if (wait := _reset(headers, kind)) is not None]
    if resets:
        return max(resets)
    if (text := headers.get("x-ratelimit-reset")) is not None and (value := number(text)) is not None:
        return _until(value, now_unix_s) if value >= _UNIX_TIME_MIN else _sane(value)
    return None


def _reset(headers: Mapping[str, str], kind: str) -> float | None:
    """Reset of one quota, if it is exhausted (or if the server does not say how much remains)."""
    text = headers.get(f"x-ratelimit-reset-{kind}")
    remaining = number(headers.get(f"x-ratelimit-remaining-{kind}", "0"))
    if text is None or remaining is None or remaining > 0:
        return None
    value = number(text)
    return _sane(duration(text) if value is None else value)


def duration(text: str) -> float | None:
    """Seconds of a Go duration ("1h15m30.918s", "6ms", "-1s", "0"); None if it is not one."""
    text = text.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.removeprefix("-") if sign < 0 else text.removeprefix("+")
    if text == "0":
        return 0.0
    total, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        total += float(part[1]) * _UNIT_S[part[2]]
        end = part.end()
    return sign * total if end and end == len(text) else None


def number(text: str) -> float | None:
    """A plain decimal number, sign not allowed: no nan, inf, 1e9 or 0x10, which float() would take or misread."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _http_date(text: str) -> float | None:
    """Unix time of an HTTP-date in any of its three forms."""
    try:
        return parsedate_to_datetime(text).timestamp() if len(text) < 64 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _until(at: float, now_unix_s: float | None) -> float | None:
    """Seconds from now to a Unix time; one that has just passed means at once."""
    return None if now_unix_s is None else _sane(max(0.0, at - now_unix_s) if at > now_unix_s - _PAST_S else None)


def _sane(value: float | None) -> float | None:
    if value is None or not math.isfinite(value) or value < 0.0:
        return None
    return min(value, SECONDS_MAX)
