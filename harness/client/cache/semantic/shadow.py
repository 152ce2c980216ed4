"""Measures the false-hit rate of a semantic cache in use: a share of the hits is sent all the same; pure."""

from __future__ import annotations

import math


class Shadow:
    """Counts of hits that were checked against a fresh answer."""

    def __init__(self) -> None:
        self.checked = 0
        self.false = 0

    def saw(self, agrees: bool) -> None:
        """Count a hit whose answer was compared with a fresh one."""
        self.checked += 1
        self.false += not agrees


def upper_bound(hits: int, trials: int, confidence: float = 0.95) -> float:
    """The one-sided upper bound of a share, exact (Clopper and Pearson 1934): 0 of 300 is at most 0.99 %."""
    if hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, trials, middle) > 1.0 - confidence else (low, middle)
    return high


def _at_most(hits: int, trials: int, share: float) -> float:
    """The probability of at most this many false hits, each with probability `share`."""
    if share >= 1.0:
        return 0.0
    log_p, log_q = math.log(share) if share > 0 else -math.inf, math.log1p(-share)
    total = 0.0
    for k in range(hits + 1):
        choose = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(choose + (k * log_p if k else 0.0) + (trials - k) * log_q)
    return total
