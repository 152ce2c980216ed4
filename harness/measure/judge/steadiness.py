"""Whether a case was steady while it was measured, in words: its warm-up and its drift. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.base import units
from harness.measure.result import Case


def warmup_warning(case: Case) -> str | None:
    """The removed warm-up, in words; None if everything counts."""
    found = case.warmup
    if found is None or not found.removed:
        return None
    median = ""
    if case.latency_s.p50.value is not None:
        after = units.seconds(case.latency_s.p50.value)
        median = f"; their median latency is {units.seconds(found.removed_p50_s)}, after it {after}"
    of = " of each repeat" if case.repeats > 1 else ""
    total = units.count(case.counts.ok)
    removed = f"{units.count(found.removed)} of {total} answers{median}"
    return f"warm-up: the first {units.seconds(found.removed_s)}{of} do not count ({removed})"


def drifted(case: Case) -> Iterator[tuple[str, str]]:
    """Latency or service time rose or fell while the load was steady."""
    found = case.service_drift or case.latency_drift
    if found is None:
        return
    rose, share = found.last_s > found.first_s, abs(found.last_s / found.first_s - 1)
    what = "service time" if case.service_drift else "latency"
    causes = [f"the server or the machine became {'slower' if rose else 'faster'}"]
    if case.load.kind != "backlog":
        causes.append("more arrived than was answered" if rose else "a queue was worked off")
    yield (
        "drift",
        (
            f"The {what} {'rose' if rose else 'fell'} by {units.share(share)} during the run: its median was "
            f"{units.seconds(found.first_s)} in the first third and {units.seconds(found.last_s)} in the last. "
            f"Possible: {', or '.join(causes)}. "
            f"The figures are an average over that: a run of another length has others."
        ),
    )


def unsettled(case: Case) -> Iterator[tuple[str, str]]:
    """Whether the case reached a steady state."""
    if case.warmup is not None and case.warmup.settled is False:
        yield (
            "unsettled",
            (
                "Latency or throughput had not settled by the middle of the run, or answers fell behind the arrivals, "
                "so the figures depend on its length. Use a longer run, a longer --warmup, or a lower rate."
            ),
        )
