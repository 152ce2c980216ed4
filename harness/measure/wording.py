"""Figures in sentences: three significant digits and a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.measure.result import Case


def seconds(value: float) -> str:
    """0.120 s, 24.8 s, 3.1 ms, 40 us."""
    if value >= 0.1:
        return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f} s"
    if value >= 1e-4:
        return f"{value * 1e3:.{1 if value >= 1e-3 else 2}f} ms"
    return f"{value * 1e6:.0f} us"


def per_s(value: float) -> str:
    """416/s, 40.3/s, 8.33/s."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}/s"


def percent(share: float) -> str:
    """50 %, 3.1 %, 0.02 %."""
    value = 100 * share
    return f"{value:.{0 if value >= 10 else 1 if value >= 1 else 2}f} %"


def times(ratio: float) -> str:
    """10x, 2.3x."""
    return f"{ratio:.{0 if ratio >= 10 else 1}f}x"


def failure_words(case: Case) -> str:
    """49 client error (HTTP 401), 3 connection error."""
    return ", ".join(
        f"{one.count:,} {one.outcome.replace('_', ' ')}" + (f" (HTTP {one.status})" if one.status else "")
        for one in case.failures
    )


def sample_words(case: Case) -> list[str]:
    """client error (HTTP 401), for example: {"error": "unknown key"}; one line for each outcome."""
    return [
        f"{outcome.replace('_', ' ')}{f' (HTTP {sample.status})' if sample.status else ''}, for example: {sample.text}"
        for outcome, sample in case.failure_samples.items()
    ]


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
