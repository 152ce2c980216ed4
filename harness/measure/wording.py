"""Failures of a case in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.measure.result import Case


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
