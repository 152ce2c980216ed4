"""Two models of throughput over concurrency, fitted by least squares on the logarithm of the rate.

Capped linear: min(slope N, limit). Universal scalability law (USL): slope N / (1 + sigma (N - 1) + kappa N (N - 1)).
Both fits are exact minimisations: the first by trying every corner, the second as a linear problem in N / rate with
coefficients of at least zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Rates = Mapping[float, Sequence[float]]
"""Level -> rate of each repeat, all above zero."""

FLOOR = 0.01
"""Residuals below 1 % count as 1 %: a model is not better for fitting less than that."""
LEVELS_MIN = 4
RESAMPLES = 200
SIZE = {"capped-linear": 2, "usl": 3}


def capped_linear(levels: Array, rates: Array) -> dict[str, float]:
    """Slope and limit, infinite where the data do not show it."""
    x, y = np.log(levels), np.log(rates)
    order = np.argsort(x)
    x, y = x[order], y[order]
    found: list[tuple[float, float, float]] = []
    for split in range(len(x) + 1):
        if 0 < split < len(x) and x[split] == x[split - 1]:
            continue
        slope = float(np.mean(y[:split] - x[:split])) if split else math.inf
        limit = float(np.mean(y[split:])) if split < len(x) else math.inf
        error = float(np.sum((y - np.minimum(slope + x, limit)) ** 2))
        found.append((error, slope, limit))
    _, slope, limit = min(found)
    return {"slope_per_s": math.exp(slope), "limit_per_s": math.exp(limit), "corner": math.exp(limit - slope)}


def usl(levels: Array, rates: Array) -> dict[str, float]:
    """Slope, sigma and kappa; the peak is infinite where kappa is zero."""
    weight = rates / levels
    columns = np.stack([weight, weight * (levels - 1), weight * levels * (levels - 1)], axis=1)
    target = np.ones(len(levels))
    best, chosen = math.inf, np.array([1.0 / float(np.mean(weight)), 0.0, 0.0])
    for more in (chosen_of for size in range(3) for chosen_of in combinations((1, 2), size)):
        active = [0, *more]
        solved = np.linalg.lstsq(columns[:, active], target, rcond=None)[0]
        error = float(np.sum((columns[:, active] @ solved - target) ** 2))
        if (solved > 0).all() and error < best:
            best, chosen = error, np.zeros(3)
            chosen[active] = solved
    slope, sigma, kappa = 1 / chosen[0], chosen[1] / chosen[0], chosen[2] / chosen[0]
    peak = math.sqrt(max(1 - sigma, 0.0) / kappa) if kappa > 0 else math.inf
    return {"slope_per_s": float(slope), "sigma": float(sigma), "kappa": float(kappa), "peak": peak}


def predicted(model: str, fitted: Mapping[str, float], levels: Array) -> Array:
    """The rate of a model at some levels."""
    if model == "capped-linear":
        slope = fitted["slope_per_s"]
        rising = slope * levels if math.isfinite(slope) else np.full(len(levels), math.inf)
        return np.minimum(rising, fitted["limit_per_s"])
    spread = 1 + fitted["sigma"] * (levels - 1) + fitted["kappa"] * levels * (levels - 1)
    return np.asarray(fitted["slope_per_s"] * levels / spread)


FITS: dict[str, Callable[[Array, Array], dict[str, float]]] = {"capped-linear": capped_linear, "usl": usl}


def flat(rates: Rates) -> tuple[Array, Array]:
    """A level and a rate for each repeat."""
    pairs = [(level, rate) for level, found in rates.items() for rate in found]
    return np.array([level for level, _ in pairs]), np.array([rate for _, rate in pairs])


def rms(model: str, fitted: Mapping[str, float], levels: Array, rates: Array) -> float:
    """Root mean square of the residuals on the logarithm."""
    return float(np.sqrt(np.mean(np.log(rates / predicted(model, fitted, levels)) ** 2)))


def aicc(residual: float, n: int, parameters: int) -> float | None:
    """Akaike's criterion for small samples; None with too few points."""
    if n - parameters - 1 <= 0:
        return None
    variance = max(residual, FLOOR) ** 2
    return n * math.log(variance) + 2 * parameters + 2 * parameters * (parameters + 1) / (n - parameters - 1)


def resampled(rates: Rates, seed: int) -> list[Rates]:
    """Bootstrap samples: the repeats of each level are drawn with replacement; none if a level has a single repeat.

    Deviations are widened by sqrt(n / (n - 1)), because n repeats spread less around their own mean.
    """
    if min(map(len, rates.values()), default=0) < 2:
        return []
    rng = np.random.default_rng(seed)
    found: list[Rates] = []
    for _ in range(RESAMPLES):
        sample = {}
        for level, values in rates.items():
            logs, n = np.log(values), len(values)
            drawn = logs[rng.integers(0, n, n)]
            sample[level] = np.exp(logs.mean() + (drawn - logs.mean()) * math.sqrt(n / (n - 1))).tolist()
        found.append(sample)
    return found
