"""The distribution of relative residuals: a law with one parameter if one fits, else the measured factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from harness.fitting.seen import Floats
from mock_server.jitter import Constant, Empirical, Exponential, Gamma, Jitter, Lognormal

CONSTANT_BELOW = 0.002
"""Residuals with a smaller coefficient of variation are none."""
FACTORS = 200
"""Quantiles of a measured distribution."""
_CV_MAX = 10.0
_DISTANCE = 1.5
"""A law is taken if its distance to the measured distribution is below this, over the square root of the number."""


def jitter_of(ratios: Floats) -> Jitter:
    """The jitter of these factors, which have a mean of about 1."""
    factors = np.sort(ratios[ratios > 0])
    if len(factors) < 20 or factors.std() / factors.mean() < CONSTANT_BELOW:
        return Constant()
    factors = factors / factors.mean()
    distance, best = min(((_distance(factors, cdf), law) for law, cdf in _laws(factors)), key=lambda pair: pair[0])
    # Many residuals would show any small difference, so a little of it is allowed.
    if distance <= max(_DISTANCE / math.sqrt(len(factors)), 0.02):
        return best
    return Empirical(factors=tuple(round(float(one), 6) for one in _quantiles(factors)))


def cv_of(jitter: Jitter) -> float:
    """The coefficient of variation of a jitter."""
    if isinstance(jitter, Lognormal | Gamma):
        return jitter.cv
    if isinstance(jitter, Empirical):
        return float(np.std(jitter.factors) / np.mean(jitter.factors))
    return 1.0 if isinstance(jitter, Exponential) else 0.0


def _quantiles(factors: Floats) -> Floats:
    found = np.quantile(factors, (np.arange(FACTORS) + 0.5) / FACTORS)
    return np.asarray(found / found.mean())


def _laws(factors: Floats) -> list[tuple[Jitter, Any]]:
    from scipy.special import gammainc, ndtr

    logs = np.log(factors)
    sigma = max(float(logs.std()), 1e-6)
    lognormal = min(_CV_MAX, math.sqrt(math.expm1(min(sigma**2, 4.6))))
    gamma = min(_CV_MAX, 1 / math.sqrt(_gamma_shape(float(math.log(factors.mean()) - logs.mean()))))
    shape = 1 / gamma**2
    return [
        (Lognormal(cv=lognormal), lambda x: ndtr((np.log(x) + sigma**2 / 2) / sigma)),
        (Gamma(cv=gamma), lambda x: gammainc(shape, x * shape)),
        (Exponential(), lambda x: -np.expm1(-x)),
    ]


def _gamma_shape(gap: float) -> float:
    """The likeliest shape for log of the mean minus mean of the logs (Minka 2002, one Newton step on his start)."""
    from scipy.special import digamma, polygamma

    gap = max(gap, 1e-9)
    shape = (3 - gap + math.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    for _ in range(3):
        slope = 1 / shape - float(polygamma(1, shape))
        shape -= (math.log(shape) - float(digamma(shape)) - gap) / slope
    return max(shape, 1e-3)


def _distance(factors: Floats, cdf: Any) -> float:
    """Kolmogorov and Smirnov's distance."""
    steps = (np.arange(len(factors)) + 0.5) / len(factors)
    return float(np.abs(cdf(factors) - steps).max())
