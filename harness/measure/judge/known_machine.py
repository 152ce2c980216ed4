"""A run judged by a stored self-test of this machine: its rate and its times against what was found then. Pure.

Rules of this file
  1. These are warnings: the machine may have been busier then than it is now. The run's own ceiling decides.
  2. The error of a percentile is held against the same percentile of the same figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.base import units
from harness.measure.result import Case, Distribution
from harness.measure.self_test_result import ERROR_MIN_S, KnownMachine

CEILING_SHARE_MAX = 0.7
ERROR_SHARE_REPORTED = 0.05
AGAIN = "Run `paceline self-test` again if the machine has changed."


def known_limits(case: Case, machine: KnownMachine, transport: str, at_once: float) -> Iterator[tuple[str, str]]:
    """The warnings, each with its code; `at_once` processes of the client could work at the same time."""
    if ceiling := machine.ceilings_per_s.get(transport):
        yield from _ceiling(case, machine, at_once * ceiling)
    # Where the server is known to be our mock.
    if machine.mock_ceiling_per_s and case.target.server is not None:
        yield from _mock_ceiling(case, machine, machine.mock_ceiling_per_s)
    yield from _errors(case, machine.errors_of(transport), machine.measured_on)


def _rate(case: Case) -> float:
    """Attempts per second."""
    return case.counts.attempts / (case.makespan_s * case.repeats) if case.makespan_s and case.repeats else 0.0


def _mock_ceiling(case: Case, machine: KnownMachine, ceiling_per_s: float) -> Iterator[tuple[str, str]]:
    share = _rate(case) / ceiling_per_s
    if share > CEILING_SHARE_MAX:
        yield (
            "known_mock_ceiling",
            (
                f"The mock answered {units.share(share)} of the {units.rate(ceiling_per_s)} that the self-test of this "
                f"machine found as its own ceiling on {machine.measured_on}: the result may show the mock's process "
                f"and not its profile. {AGAIN}"
            ),
        )


def _ceiling(case: Case, machine: KnownMachine, ceiling_per_s: float) -> Iterator[tuple[str, str]]:
    share = _rate(case) / ceiling_per_s
    # The ceiling of this very run says the same, and decides.
    if share <= CEILING_SHARE_MAX or (case.resources.ceiling_share or 0.0) > CEILING_SHARE_MAX:
        return
    yield (
        "known_ceiling",
        (
            f"The client ran at {units.share(share)} of the {units.rate(ceiling_per_s)} that the self-test of this "
            f"machine found as its ceiling on {machine.measured_on}: the result may show the client. {AGAIN}"
        ),
    )


def _errors(case: Case, errors_s: Mapping[str, Mapping[str, float]], measured_on: str) -> Iterator[tuple[str, str]]:
    found = []
    for figure, of in errors_s.items():
        # The latency of a backlog is its makespan.
        if figure == "latency_s" and case.load.kind == "backlog":
            continue
        distribution: Distribution | None = getattr(case, figure)
        for percentile, error_s in of.items():
            value_s = None if distribution is None else getattr(distribution, percentile).value
            if value_s and error_s > max(ERROR_MIN_S, ERROR_SHARE_REPORTED * value_s):
                found.append((error_s / value_s, figure, percentile, error_s, value_s))
    if not found:
        return
    share, figure, percentile, error_s, value_s = max(found)
    yield (
        "known_timing_error",
        (
            f"The self-test of this machine measured {percentile} of a known {WORDS[figure]} "
            f"{units.seconds(error_s)} wrong on {measured_on}, "
            f"{units.share(share)} of the {units.seconds(value_s)} found here. {AGAIN}"
        ),
    )


WORDS = {
    "service_time_s": "service time",
    "latency_s": "latency",
    "ttft_s": "time to first token",
    "itl_s": "time between tokens",
    "tpot_s": "time per output token",
}
"""The figures that a self-test compares, in words."""
