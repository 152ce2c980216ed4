"""Figures over the time of a case, as part of a result: slices of the load, and decisions of adaptive limits."""

from __future__ import annotations

import msgspec


class Bucket(msgspec.Struct, frozen=True):
    """One slice of the timeline; `t_s` is its start since the load's zero."""

    t_s: float
    width_s: float
    due: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    in_flight: float = 0.0  # time average
    limit: float | None = None
    latency_p50_s: float | None = None  # of requests that were due in this bucket
    latency_p99_s: float | None = None
    service_p50_s: float | None = None
    service_p99_s: float | None = None
    cpu_share: float | None = None
    rss_mb: float | None = None
    loop_lag_s: float | None = None
    output_tokens: float | None = None  # that arrived in it; null: the answers have none


class LimitChange(msgspec.Struct, frozen=True):
    """The limits of all client applications together, after a decision of one."""

    t_s: float
    limit: int
    cause: str  # a code of `harness.client.cause.Cause`, or the text of a custom limit
    pace_per_s: float | None = None  # allowed rate of attempts; null if only their number is limited


class BoundSpan(msgspec.Struct, frozen=True):
    """What bound the sending in a span of time."""

    t_s: float
    width_s: float
    shares: dict[str, float]  # of the time, by `harness.client.bound.Bound`; those that are not 0


class LimitLog(msgspec.Struct, frozen=True):
    """Decisions of adaptive limits: counts over all repeats, and the thinned timeline of the first one."""

    decisions: int
    dropped: int  # decisions that did not fit into the records
    causes: dict[str, int]
    timeline: list[LimitChange]
    applications: int = 1  # client applications with a limit of their own, in the timeline
    bound_by: dict[str, float] = {}  # what bound the sending: shares of the time of all repeats
    bounds: list[BoundSpan] = []  # the same over the time of the first repeat
