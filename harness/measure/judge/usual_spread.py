"""Whether a median service time far above the fastest answer may be the server's usual spread. Pure.

Where service times vary much, the fastest of many answers is far below the usual one, also of a server with room. How
far it is expected is read from the times themselves: from the distance between their median and their tenth part.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from harness.measure.judge.steps import median
from harness.measure.result import Case, Distribution

LOW = 0.1
WIDE = 2.5
"""Times whose median is so many times their tenth part may begin anywhere near zero, as exponential ones do."""
SKEWED = 1.25
"""Most service times reach further down than lognormal ones: the exponent is larger by this factor."""
EVEN_MAX, GREW = 2.0, 2.0
"""A queue that grows steadily spreads times evenly: p90 is 1.8 times the median, and late ones are several times the
early ones."""


def may_be_spread(case: Case, inflation: float) -> bool:
    """Whether a median of `inflation` times the fastest answer is expected without a queue."""
    times = case.service_time_s
    p50, low = times.p50.value, low_quantile_s(times)
    if not p50 or not low or times.n < 2 or _queue_grew(case):
        return False
    ratio = p50 / low
    if ratio >= WIDE:
        return True
    standard = NormalDist()
    reach: float = ratio ** (SKEWED * standard.inv_cdf(1 - 1 / times.n) / standard.inv_cdf(1 - LOW))
    return inflation <= reach


def low_quantile_s(times: Distribution) -> float | None:
    """The value that a tenth of the times stay below, to within a bucket of their histogram; None without one."""
    wanted, below = LOW * sum(times.log_counts), 0
    for number, count in enumerate(times.log_counts):
        below += count
        if count and below >= wanted:
            return math.sqrt(times.log_edges[number] * times.log_edges[number + 1])
    return None


def _queue_grew(case: Case) -> bool:
    p50, p90 = case.service_time_s.p50.value, case.service_time_s.p90.value
    if not p50 or not p90 or p90 > EVEN_MAX * p50:
        return False
    answered = [bucket.service_p50_s for bucket in case.timeline if bucket.service_p50_s is not None]
    third = len(answered) // 3
    early, late = median(answered[:third]), median(answered[-third:]) if third else None
    return early is not None and late is not None and late >= GREW * early
