"""The plan of a sweep, as in plan.json, and its judgement, as in result.json."""

from __future__ import annotations

from typing import Literal

import msgspec


class PlannedLevel(msgspec.Struct, frozen=True):
    """A level of a sweep, and the name of its case."""

    level: float
    case: str


class PredictedLevel(msgspec.Struct, frozen=True):
    """The prediction of a profile of the mock for a level, in virtual time. Times as in `SweepPoint`."""

    level: float
    completed_per_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class Prediction(msgspec.Struct, frozen=True):
    """A predicted sweep, made before the measurement."""

    profile: str
    note: str | None  # of a fitted profile: how well it plays its server
    levels: list[PredictedLevel]


class SweepPlan(msgspec.Struct, frozen=True):
    """The levels of a sweep, ascending. Only the levels that were played are among the plan's cases."""

    by: Literal["concurrency", "rate"]
    levels: list[PlannedLevel]
    every_level: bool = False  # no early stop at saturation
    predicted: Prediction | None = None


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval; a bound that the data cannot give is null."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class SweepPoint(msgspec.Struct, frozen=True):
    """One level, over all its repeats. Times are service times by concurrency, latencies from due time by rate."""

    level: float
    case: str
    repeats: int
    completed_per_s: Estimate
    goodput_per_s: Estimate
    p50_s: Estimate
    p95_s: Estimate
    p99_s: Estimate
    errors: float | None  # share of the scheduled items without a success
    in_flight: float | None
    little_residual: float | None  # completed_per_s x mean service time / in flight - 1
    kept_up: bool | None = None  # by rate: whether the server completed the offered rate
    failing: bool = False  # more requests fail than at the lowest level: neither the knee nor part of a fit
    slo: Literal["holds", "unclear", "fails"] | None = None  # unclear: too few requests, or an interval over the limit
    slo_words: list[str] = []  # conditions of --slo that do not hold for certain
    left_out: str | None = None  # code of the reason why this level is not judged


class ModelFit(msgspec.Struct, frozen=True):
    """A model of throughput over level, fitted to the logarithms of the repeats' rates."""

    model: Literal["capped-linear", "usl"]
    parameters: dict[str, Estimate]
    residuals: dict[str, float]  # case -> measured / fitted - 1
    residual_rms: float
    aicc: float | None  # null with too few points


class SweepResult(msgspec.Struct, frozen=True):
    """The judgement of a sweep. A level is a concurrency or a rate per second."""

    by: Literal["concurrency", "rate"]
    points: list[SweepPoint]
    not_played: list[float]  # levels above an early stop
    stopped: str | None  # reason of an early stop
    noise: float  # rates within this share of the best are alike
    best: float | None  # level with the highest goodput
    knee: float | None  # by concurrency: smallest level alike to the best; by rate: highest rate that was kept up
    edge: Literal["lowest", "highest"] | None  # the knee is at this end of the grid
    cliff: float | None  # first level after a steep fall that no model explains
    peak: Estimate | None  # level of the fitted maximum, if it is within the measured range
    model: Literal["capped-linear", "usl"] | None  # the better model; null if none fits or both fit alike
    fits: list[ModelFit]  # below the cliff, if there is one
    slo: str | None
    capacity: float | None  # highest level that holds the SLO, below the first that fails it
    fails_from: float | None  # lowest level that fails the SLO
    advice: str  # what to set, in a sentence
    predicted: Prediction | None = None  # by a profile of the mock
