"""Diagnoses of cases beside each other: a server has room only if more in flight gives more. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.result import Case, Diagnosis

SAME_RATE_SHARE = 0.95
"""Two rates count as equal if one is at least this share of the other."""
MORE_SHARE = 1.2
"""A rate of at least this many times another one counts as higher."""
SERVER = ": the server was the limit."


def without_room(case: Case, others: Sequence[Case]) -> Diagnosis:
    """A strategy is not the limit if another case had more in flight and reached no higher rate."""
    rate = case.rates_per_s.completed or 0.0
    for other in others:
        most = other.rates_per_s.completed
        found = other.diagnosis.limited_by == "server" and _pressed_harder(other, case)
        if most is not None and found and rate >= SAME_RATE_SHARE * most:
            return Diagnosis(
                "server",
                f"It gave {units.rate(rate)} with {flight(case)} in flight; {other.name} had {flight(other)} and "
                f"gave {units.rate(most)}, so more in flight gives no more{SERVER}",
            )
    return case.diagnosis


def with_room(case: Case, others: Sequence[Case]) -> Diagnosis:
    """A server is not the limit if another case with the same arrivals reached a much higher rate.

    This does not apply to a backlog: flooding a batching server always gives a higher rate, at a much longer service
    time.
    """
    if case.load.kind == "backlog":
        return case.diagnosis
    rate = case.rates_per_s.completed or 0.0
    harder = [other for other in others if _pressed_harder(other, case)]
    best = max(harder, key=lambda other: other.rates_per_s.completed or 0.0, default=None)
    if best is None or (most := best.rates_per_s.completed or 0.0) < MORE_SHARE * rate:
        return case.diagnosis
    return Diagnosis(
        "strategy",
        f"{case.diagnosis.text.removesuffix(SERVER)}; {best.name} had {flight(best)} in flight and gave "
        f"{units.rate(most)}: the server had room, the strategy's {flight(case)} in flight were the limit.",
    )


def _pressed_harder(other: Case, case: Case) -> bool:
    """Whether the other case had more in flight on the same server, under the same load, with nearly no failures."""
    return (
        (other.load == case.load or other.load.kind == case.load.kind == "backlog")
        and place(other) == place(case)
        and other.layers == case.layers
        and other.counts.ok >= SAME_RATE_SHARE * other.counts.scheduled
        and in_flight(other) > in_flight(case)
    )


def place(case: Case) -> tuple[str, str | None, str]:
    """Cases that share it met the same server with the same task."""
    return case.target.url, case.target.server, case.task


def flight(case: Case) -> str:
    """Requests in flight, in words: the maximum if the average is near it, else the average."""
    number = in_flight(case)
    return units.count(number) if number >= 10 or case.in_flight.max == 1 else units.significant(number, 2)


def in_flight(case: Case) -> float:
    """The number behind `flight`."""
    mean, most = case.in_flight.mean or 0.0, float(case.in_flight.max or 0)
    return most if mean >= 0.75 * most else mean
