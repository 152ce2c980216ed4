"""The codes of a verdict: the status that each gives the run, and its condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.base import units
from harness.measure.judge import bursts, client_time, known_machine
from harness.measure.result import Reason

CEILING_SHARE_MAX = 0.7
CPU_SHARE_MAX = 0.8

CODES: dict[str, tuple[Literal["invalid", "inconclusive", "valid"], str]] = {
    "no_data": ("invalid", "a case has no success, or there is no case at all"),
    "conservation": ("invalid", "scheduled items and their outcomes do not add up, or rows are missing or doubled"),
    "schedule": ("invalid", "a process played another schedule than the planned one"),
    "server_count": ("invalid", "the server counted another number of exchanges than the client sent"),
    "client_ceiling": (
        "invalid",
        (
            f"the client used more than {units.share(CEILING_SHARE_MAX)} of its calibrated ceiling, or under arrivals "
            f"{units.share(CPU_SHARE_MAX)} of a core, or of the cores that its processes share"
        ),
    ),
    "refusals": (
        "valid",
        "the client was at its ceiling while the server refused more requests than it answered",
    ),
    "lag": (
        "invalid",
        (
            "the load generator fell behind schedule: lag above --lag-tolerance, else 5 % of the SLO's latency bound, "
            "else max(1 ms, 5 % of the median latency, 10 % of the latency of the same percentile), "
            "or sent below 99 % of offered"
        ),
    ),
    "client_starved": (
        "invalid",
        (
            "the client waited for a processor: 10 % of the time or more, and either more than "
            f"{units.share(client_time.STARVED_SHARE_MAX)} of the mean service time (or the lag tolerance), or "
            "under arrivals it had work more than 80 % of the time and sent late"
        ),
    ),
    "client_time": (
        "valid",
        "event-loop lag or waits for a processor were more than 5 % of the mean service time",
    ),
    "lag_bound": ("valid", "the lag is tolerated, but above 1 ms: its effect on the latencies is given as a bound"),
    "instants": ("valid", "fewer than 99 % of the requests of a trace were sent within 1 ms of their instants"),
    "errors": ("invalid", "more than 1 % failed, and no --slo sets a limit for errors"),
    "server_gone": (
        "invalid",
        "the server was there and then was not: after its last answer every connection was refused or broke",
    ),
    "engine_error": ("invalid", "the client itself failed"),
    "write_error": ("invalid", "records could not be written"),
    "damaged": (
        "invalid",
        "a file of the run was changed after it was written, or rows are missing from it",
    ),
    "unfinished": (
        "inconclusive",
        "more than 1 % had no outcome when the run ended, so the longest latencies are missing",
    ),
    "abandoned": (
        "inconclusive",
        "more than 1 % of the turns were not sent, because an earlier turn of their session failed",
    ),
    "interrupted": ("inconclusive", "the run was stopped before its end, or even before its first answer"),
    "partial": ("inconclusive", "a process was killed, or a repeat is missing"),
    "capacity": ("inconclusive", "a capacity search ended before its interval was as narrow as asked for"),
    "capacity_invalid": ("invalid", "a capacity search could not measure the probes that decide"),
    "drift": (
        "valid",
        "latency or service time rose or fell during a steady load, by 5 % or more (rank test, 1 % level)",
    ),
    "unsettled": (
        "valid",
        "under a steady load, latency or throughput had not settled by the middle of the run, or answers fell behind",
    ),
    "wide": ("valid", "--repeats auto spent its budget before every interval was as narrow as asked for"),
    "bursts": (
        "valid",
        (
            "requests were sent or answers came together and waited for each other in the client, for up to more than "
            f"{units.share(bursts.SHARE_REPORTED)} of the same percentile of the service time"
        ),
    ),
    "known_ceiling": (
        "valid",
        (
            f"the client used more than {units.share(known_machine.CEILING_SHARE_MAX)} of the ceiling that "
            "`paceline self-test` found on this machine"
        ),
    ),
    "known_mock_ceiling": (
        "valid",
        (
            f"the embedded mock answered more than {units.share(known_machine.CEILING_SHARE_MAX)} of the ceiling that "
            "`paceline self-test` found for the mock alone on this machine"
        ),
    ),
    "known_timing_error": (
        "valid",
        (
            "the timing error that `paceline self-test` found on this machine is more than "
            f"{units.share(known_machine.ERROR_SHARE_REPORTED)} of the same percentile"
        ),
    ),
    "slo_unclear": ("inconclusive", "a sweep has no level that holds the SLO for certain, and the lowest may hold it"),
    "own_bound": ("valid", "an adaptive client's own pace or maximum held it back for more than half of the time"),
    "insecure": ("valid", "the certificate of the server was not checked (--insecure)"),
    "layer_fault": ("valid", "a layer could not do all of its work, for example because its cache file failed"),
}
"""Every code with the status that it gives the run, and its condition. docs/measuring.md shows this table."""

_RANK = {"invalid": 0, "inconclusive": 1, "valid": 2}


def rank(reason: Reason) -> int:
    """Place of a reason: those that decide come first."""
    return _RANK[CODES[reason.code][0]]


def status_of(reasons: Sequence[Reason]) -> Literal["valid", "invalid", "inconclusive"]:
    """The status that the gravest reason gives."""
    found = {CODES[reason.code][0] for reason in reasons}
    return "invalid" if "invalid" in found else "inconclusive" if "inconclusive" in found else "valid"
