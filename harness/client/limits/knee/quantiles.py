"""Latencies by their quantiles, and the queueing delay between two groups of them; pure.

Rules of this file
  1. Waiting adds the same time to every quantile. So the delay is the difference of quantiles, and rare long attempts,
     which make a mean uncertain, do not matter.
  2. Low quantiles are the most exact: for exponential service times their standard error is half of the mean's.
  3. Where only a few are in flight, the wait itself varies as much as the service time, and low quantiles miss most of
     it. Where service times hardly vary, a part of the attempts waits a whole service time, and the others do not
     wait. In both cases a wider range of quantiles is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

LOW = (0.1, 0.2, 0.3, 0.4)
WIDE = (*LOW, 0.5, 0.6, 0.7, 0.8)
# Standard errors of both means for one answer, in units of the distance of two quantiles; seen for six laws.
LOW_ERROR, WIDE_ERROR = 0.83, 0.6
# An error that no number of answers removes.
LEAST_ERROR = 0.01
# Service times vary little if the wide range is narrower than this share of their mean.
EVEN = 0.3
# Attempts in flight below which the wait varies as much as the service time.
FEW = 6


class Quantiles(msgspec.Struct, frozen=True):
    """Means of quantiles in seconds, with the standard error that one answer has."""

    low_s: float
    wide_s: float
    low_error_s: float
    wide_error_s: float
    count: int

    @property
    def even(self) -> bool:
        """Whether the latencies hardly vary."""
        return self.wide_error_s < EVEN * WIDE_ERROR * self.wide_s

    def mean_s(self, low: bool) -> float:
        """Mean of the low or of the wide quantiles."""
        return self.low_s if low else self.wide_s

    def error_s(self, low: bool, count: int = 0) -> float:
        """Standard error of that mean, or of a mean of `count` such latencies."""
        error_s = self.low_error_s if low else self.wide_error_s
        return error_s / math.sqrt(count or self.count) + LEAST_ERROR * self.mean_s(low)


def quantiles(latencies_s: Sequence[float], begun: int = 0) -> Quantiles:
    """Of latencies in any order; of `begun` attempts those that are not back yet are the longest."""
    ordered = sorted(latencies_s)
    found = [_quantile(ordered, share * max(begun, len(ordered)) - 0.5) for share in WIDE]
    return Quantiles(
        sum(found[: len(LOW)]) / len(LOW),
        sum(found) / len(WIDE),
        LOW_ERROR * (found[len(LOW)] - found[0]),
        WIDE_ERROR * (found[-1] - found[0]),
        len(ordered),
    )


def _quantile(ordered: list[float], place: float) -> float:
    if place <= 0.0:
        return ordered[0]
    if place >= len(ordered) - 1:
        return ordered[-1]
    left = int(place)
    part = place - left
    return ordered[left] * (1.0 - part) + ordered[left + 1] * part


def low_suffice(service: Quantiles, value: float) -> bool:
    """Whether the low quantiles are to be compared, for these service times and so many in flight."""
    return value >= FEW and not service.even
