"""Whether requests or answers came in bursts, so that the client's own work is a part of the service times. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.base import units
from harness.measure.result import Case

SHARE_REPORTED = 0.05
WAIT_MIN_S = 0.001


def bursts(case: Case, waits_s: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """A reason if a percentile of the waits is a large share of the same percentile of the service time."""
    found = []
    for name, wait_s in waits_s.items():
        service_s = getattr(case.service_time_s, name).value
        if service_s and wait_s > max(WAIT_MIN_S, SHARE_REPORTED * service_s):
            found.append((wait_s / service_s, name, wait_s, service_s))
    if found:
        share, name, wait_s, service_s = max(found)
        yield (
            "bursts",
            (
                f"Requests were sent or answers came together, and the client handles one after another: they waited "
                f"up to {units.seconds(wait_s)} ({name}) for each other, {units.share(share)} of the service time of "
                f"{units.seconds(service_s)}. Service times may be too high by that."
            ),
        )
