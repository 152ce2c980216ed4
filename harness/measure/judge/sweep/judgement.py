"""The judgement of a sweep: knee, capacity, cliff, and the model that describes the curve. Pure.

Rules of this file
  1. The knee by concurrency is the smallest level whose goodput is within the noise of the best. The noise comes from
     the spread of the repeats, and is 5 % without repeats. By rate the knee is the highest rate that was kept up with.
     A level at which more requests fail than at the lowest one is never the knee, because its rate counts for nothing.
  2. A model is chosen by AICc with a margin, and only if its residuals are below 10 %. A steep fall that no model
     explains is a cliff: the models then describe the levels below it.
  3. No peak is reported outside the measured range, nor where the rates beyond it did not fall by more than the noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.measure.judge.slo import Condition
from harness.measure.judge.sweep import fits
from harness.measure.judge.sweep.points import points
from harness.measure.judge.sweep.stopping import reason_to_stop, seen
from harness.measure.judge.sweep.wording import advice
from harness.measure.reduce.statistics import t975
from harness.measure.result import Case, Verdict
from harness.measure.sweep_result import Estimate, ModelFit, SweepPlan, SweepPoint, SweepResult

NOISE_UNKNOWN, NOISE_MIN = 0.05, 0.02
RESIDUAL_MAX = 0.10
MARGIN = 2.0
FALL = 0.75


def judge(
    plan: SweepPlan, cases: Sequence[Case], judged: Verdict, conditions: Sequence[Condition], slo: str | None, seed: int
) -> SweepResult:
    """The judgement of a sweep from the cases of its levels."""
    found = points(plan, cases, judged, conditions)
    kept = [one for one in found if one.left_out is None]
    sound = [one for one in kept if not one.failing]
    named = {case.name: case for case in cases}
    noise = noise_of(sound, named)
    best = max(sound, key=lambda one: one.goodput_per_s.value or 0.0, default=None)
    knee = _knee(plan, kept, best, noise)
    cliff, model, fitted = models(plan, sound, named, seed)
    played = {one.level for one in found}
    ascent = [seen(one.level, named[one.case]) for one in found]
    stopped = None if plan.every_level else reason_to_stop(plan.by, ascent, conditions)
    result = SweepResult(
        by=plan.by,
        points=found,
        not_played=[one.level for one in plan.levels if one.level not in played],
        stopped=stopped if len(played) < len(plan.levels) else None,
        noise=noise,
        best=best.level if best is not None and best.goodput_per_s.value else None,
        knee=knee,
        edge=edge(plan.by, [one.level for one in kept], knee),
        cliff=cliff,
        peak=_peak(model, fitted, sound, noise),
        model=model,
        fits=fitted,
        slo=slo,
        capacity=_capacity(kept),
        fails_from=next((one.level for one in kept if one.slo == "fails"), None),
        advice="",
    )
    return _with_advice(result)


def _with_advice(result: SweepResult) -> SweepResult:
    import msgspec

    return msgspec.structs.replace(result, advice=advice(result))


def noise_of(kept: Sequence[SweepPoint], named: dict[str, Case]) -> float:
    """The share within which two levels are alike: 95 %, from the pooled spread of the repeats up to the best level."""
    squares, degrees, repeats = 0.0, 0, []
    best = max((one.goodput_per_s.value or 0.0 for one in kept), default=0.0)
    for point in kept:
        values = [one.goodput_per_s for one in named[point.case].by_repeat if one.goodput_per_s]
        if len(values) > 1:
            squares += float(np.var(np.log(values), ddof=1)) * (len(values) - 1)
            degrees += len(values) - 1
            repeats.append(len(values))
        if point.goodput_per_s.value == best:
            break
    if degrees < 2:
        return NOISE_UNKNOWN
    half = t975(degrees) * math.sqrt(squares / degrees * 2 / min(repeats))
    return max(NOISE_MIN, 1 - math.exp(-half))


def _knee(plan: SweepPlan, kept: Sequence[SweepPoint], best: SweepPoint | None, noise: float) -> float | None:
    if plan.by == "rate":
        return _highest(kept, [bool(one.kept_up) and not one.failing for one in kept])
    if best is None or not best.goodput_per_s.value:
        return None
    enough = (1 - noise) * best.goodput_per_s.value
    return next(one.level for one in kept if not one.failing and (one.goodput_per_s.value or 0.0) >= enough)


def _capacity(kept: Sequence[SweepPoint]) -> float | None:
    """The highest level that holds the SLO, below the first that fails it."""
    below = itertools.takewhile(lambda one: one.slo != "fails", kept)
    return max((one.level for one in below if one.slo == "holds"), default=None)


def _highest(kept: Sequence[SweepPoint], holds: Sequence[bool]) -> float | None:
    """The highest level that holds, as do all below it."""
    reached = None
    for point, good in zip(kept, holds, strict=True):
        if not good:
            break
        reached = point.level
    return reached


def edge(
    by: Literal["concurrency", "rate"], levels: Sequence[float], knee: float | None
) -> Literal["lowest", "highest"] | None:
    """The end of the measured levels at which the knee lies, because a better level may lie beyond.

    One call in flight is the least there is, so it is no edge.
    """
    if not levels:
        return None
    if knee is None:
        return "lowest" if by == "rate" else None
    if knee == max(levels):
        return "highest"
    return "lowest" if by == "concurrency" and knee == min(levels) > 1 else None


def models(
    plan: SweepPlan, kept: Sequence[SweepPoint], named: dict[str, Case], seed: int
) -> tuple[float | None, Literal["capped-linear", "usl"] | None, list[ModelFit]]:
    """The cliff, the better model and all fits; the fits are of the levels below a cliff."""
    kinds: tuple[Literal["capped-linear", "usl"], ...] = (
        ("capped-linear", "usl") if plan.by == "concurrency" else ("capped-linear",)
    )
    rates = {
        one.level: values
        for one in kept
        if (values := [rate for each in named[one.case].by_repeat if (rate := each.completed_per_s)])
    }
    names = {one.level: one.case for one in kept}
    found = [_fit(kind, rates, names, seed) for kind in kinds] if len(rates) >= fits.LEVELS_MIN else []
    if found and min(one.residual_rms for one in found) <= RESIDUAL_MAX:
        return None, _chosen(found), found
    cliff = _cliff(kept)
    if cliff is None:
        return None, None, found
    below = {level: values for level, values in rates.items() if level < cliff}
    found = [_fit(kind, below, names, seed) for kind in kinds] if len(below) >= fits.LEVELS_MIN else []
    return cliff, _chosen(found), found


def _cliff(kept: Sequence[SweepPoint]) -> float | None:
    """The first level that completes less than three quarters of the level before it."""
    pairs = itertools.pairwise(kept)
    fallen = [b for a, b in pairs if (b.completed_per_s.value or 0.0) < FALL * (a.completed_per_s.value or 0.0)]
    return fallen[0].level if fallen else None


def _chosen(found: Sequence[ModelFit]) -> Literal["capped-linear", "usl"] | None:
    """The model with the lower AICc; the simpler one if they are within the margin."""
    rated = [(one.aicc, one) for one in found if one.aicc is not None and one.residual_rms <= RESIDUAL_MAX]
    if not rated:
        return None
    least = min(value for value, _ in rated)
    return next(one.model for value, one in rated if value <= least + MARGIN)


def _fit(kind: Literal["capped-linear", "usl"], rates: fits.Rates, names: dict[float, str], seed: int) -> ModelFit:
    levels, values = fits.flat(rates)
    fitted = fits.FITS[kind](levels, values)
    samples = [fits.FITS[kind](*fits.flat(sample)) for sample in fits.resampled(rates, seed)]
    middle = np.array([math.exp(float(np.mean(np.log(found)))) for found in rates.values()])
    expected = fits.predicted(kind, fitted, np.array(list(rates)))
    residual = fits.rms(kind, fitted, levels, values)
    return ModelFit(
        model=kind,
        parameters={name: _bootstrapped(value, [one[name] for one in samples]) for name, value in fitted.items()},
        residuals={names[level]: float(r) for level, r in zip(rates, middle / expected - 1, strict=True)},
        residual_rms=residual,
        aicc=fits.aicc(residual, len(values), fits.SIZE[kind]),
    )


def _bootstrapped(value: float, samples: Sequence[float]) -> Estimate:
    if not samples:
        return Estimate(_finite(value))
    ordered = sorted(samples)
    low, high = ordered[int(0.025 * len(ordered))], ordered[min(int(0.975 * len(ordered)), len(ordered) - 1)]
    return Estimate(_finite(value), _finite(low), _finite(high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _peak(model: str | None, found: Sequence[ModelFit], kept: Sequence[SweepPoint], noise: float) -> Estimate | None:
    """The USL's peak, if that is the model, the peak lies within the measured range, and the rates fall after it.

    The law fitted to a flat curve has a peak, too.
    """
    fitted = next((one for one in found if one.model == model == "usl"), None)
    peak = None if fitted is None else fitted.parameters["peak"]
    if peak is None or peak.value is None or not kept[0].level <= peak.value <= kept[-1].level:
        return None
    rates = [one.completed_per_s.value or 0.0 for one in kept]
    return peak if rates[-1] < (1 - noise) * max(rates) else None
