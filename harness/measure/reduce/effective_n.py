"""The effective sample size of values that follow one another in the same queues. Pure.

Latencies of neighbouring requests are alike, so n of them say less about a percentile than n independent ones. The
effective sample size is n / (1 + 2 x the sum of the autocorrelations), with Geyer's (1992) initial positive sequence:
the sum ends where the correlations of two neighbouring lags are no longer positive together.

Rules of this file
  1. Correlations are of the ranks, because one long outlier would hide those of the values.
  2. Long series are cut into pieces and the sizes are added, so that memory is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

LEAST = 10
"""Fewer values have no effective sample size: their correlations are not known."""
PIECE = 1 << 17


def effective_n(repeats: Sequence[Array]) -> float | None:
    """The effective size of all repeats together, each in order of time; None if none of them is long enough."""
    pieces = [values[at : at + PIECE] for values in repeats for at in range(0, len(values), PIECE)]
    sizes = [_of_piece(piece) for piece in pieces if len(piece) >= LEAST]
    return float(sum(sizes)) if sizes else None


def _of_piece(values: Array) -> float:
    """Between 1 and n. Equal values have no correlation: each of them says the same."""
    n = len(values)
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Equal values share the mean of their ranks.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places] - (n + 1) / 2
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(ranks, size)
    covariances = np.fft.irfft(spectrum * spectrum.conj(), size)[:n]
    if covariances[0] <= 1e-9 * n:
        return float(n)
    correlations = covariances / covariances[0]
    pairs = correlations[0 : n - 1 : 2] + correlations[1:n:2]
    ends = np.flatnonzero(pairs <= 0)
    used = pairs[: ends[0]] if len(ends) else pairs
    # The sum of all lags from -infinity to infinity is 2 x the pairs - the correlation at lag 0.
    inflation = 2 * float(np.minimum.accumulate(used).sum()) - 1 if len(used) else 1.0
    return float(min(max(n / max(inflation, 1.0), 1.0), n))
