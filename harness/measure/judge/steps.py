"""The steps of a load with a changing rate. Each step is judged separately. Pure.

A load that saturates only in its last step leaves a queue that is small compared to the whole load. The growth of the
queue within a step shows the saturation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.measure.result import Bucket, Case, Load

GROWTH_SHARE = 0.05
"""Growth of the queue by less than this share of a step's arrivals is no sign of saturation."""
RAMP_PARTS = 5
STEPS_DEFAULT = 4
SPIKE_DEFAULT = (0.4, 0.2)
"""The defaults of `harness.load.pacers`. A test compares them."""
BUCKETS_MIN = 3


@dataclass(frozen=True)
class Step:
    """One step of the load, computed from its part of the timeline."""

    start_s: float
    end_s: float
    due: int
    ok: int
    left: int  # growth of the queue of unanswered requests
    early_s: float | None  # median latency of items due in the first third
    late_s: float | None  # median latency of items due in the last third
    service_s: float | None  # typical service time
    in_flight: float  # on average

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def rate_per_s(self) -> float:
        """The offered rate."""
        return self.due / self.length_s

    def saturated(self, floor_s: float) -> bool:
        """Whether the queue grew by more than the usual in-flight requests, and later items waited longer."""
        usual = GROWTH_SHARE * self.due + 3 * floor_s * self.rate_per_s
        if self.left <= usual or self.early_s is None or self.late_s is None:
            return False
        return self.late_s - self.early_s >= self.left / self.rate_per_s / 2


def steps(case: Case) -> list[Step]:
    """The steps of a case's load in chronological order; none if its planned rate is constant."""
    edges = _edges(case.load)
    parts = [
        [bucket for bucket in case.timeline if start <= bucket.t_s + bucket.width_s / 2 < end]
        for start, end in pairwise(edges)
    ]
    if not parts or any(len(part) < BUCKETS_MIN or not sum(bucket.due for bucket in part) for part in parts):
        return []
    return [_step(part) for part in parts]


def _edges(load: Load) -> list[float]:
    """The instants at which the rate changes, in seconds since the load's zero."""
    duration_s, settings = load.duration_s, load.settings
    if not duration_s:
        return []
    if load.kind == "spike":
        start = settings.get("start_share", SPIKE_DEFAULT[0])
        end = start + settings.get("width_share", SPIKE_DEFAULT[1])
        shares = [0.0, start, end, *([1.0] if end < 1.0 else [])]
    elif load.kind in {"steps", "ramp"}:
        count = RAMP_PARTS if load.kind == "ramp" else len(settings.get("factors", range(STEPS_DEFAULT)))
        shares = [number / count for number in range(count + 1)]
    else:
        return []
    return [share * duration_s for share in shares]


def _step(part: Sequence[Bucket]) -> Step:
    third = max(1, len(part) // 3)
    due = sum(bucket.due for bucket in part)
    ended = sum(bucket.ok + bucket.failed for bucket in part)
    return Step(
        start_s=part[0].t_s,
        end_s=part[-1].t_s + part[-1].width_s,
        due=due,
        ok=sum(bucket.ok for bucket in part),
        left=due - ended,
        early_s=median(bucket.latency_p50_s for bucket in part[:third]),
        late_s=median(bucket.latency_p50_s for bucket in part[-third:]),
        service_s=median(bucket.service_p50_s for bucket in part),
        in_flight=sum(bucket.in_flight for bucket in part) / len(part),
    )


def median(values: Iterable[float | None]) -> float | None:
    """The upper median of the known values; None if there are none."""
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None
