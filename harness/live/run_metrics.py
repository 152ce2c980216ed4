"""The metrics of a run for Prometheus. Counters count from the start of the run and never fall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.live.case_so_far import CaseSoFar
from harness.live.exposition import Cumulative, Family
from harness.live.spread import BOUNDS_S, Spread
from harness.measure.result import OUTCOME_NAMES

_SPREADS = {
    "latency_s": ("paceline_latency_seconds", "From due to done, of successes"),
    "service_time_s": ("paceline_service_time_seconds", "From the last attempt to done, of successes"),
    "lag_s": ("paceline_client_lag_seconds", "How late the load generator was, of successes"),
    "ttft_s": ("paceline_time_to_first_token_seconds", "From the last attempt to the first event of a stream"),
    "tpot_s": ("paceline_time_per_output_token_seconds", "Mean of a stream, after its first token"),
}


def families(
    cases: Mapping[str, CaseSoFar], playing: str | None, in_flight: float, state: Mapping[str, str]
) -> Iterator[Family]:
    """All families; `playing` is the case that is played and `state` labels the run."""
    named = [({"case": name}, case) for name, case in cases.items()]
    items = [
        ({**of, "outcome": outcome}, float(number))
        for of, case in named
        for outcome, number in zip(OUTCOME_NAMES, case.outcomes.tolist(), strict=True)
        if number or outcome == "ok"
    ]
    yield Family("paceline_run_info", "gauge", "1, with the state of the run", [(state, 1.0)])
    yield Family("paceline_items_total", "counter", "Items that ended, by outcome", items)
    attempts = [(of, float(case.attempts)) for of, case in named]
    yield Family("paceline_attempts_total", "counter", "HTTP exchanges of items that ended", attempts)
    tokens = [(of, float(case.output_tokens)) for of, case in named if case.output_tokens]
    yield Family("paceline_output_tokens_total", "counter", "Output tokens of successes", tokens)
    flight = [({"case": playing}, in_flight)] if playing is not None else []
    yield Family("paceline_in_flight", "gauge", "Requests sent and not answered, of the case that is played", flight)
    for quantity, (name, words) in _SPREADS.items():
        spreads = [(of, case.spreads[quantity]) for of, case in named]
        yield Family(name, "histogram", words, [(of, _cumulative(one)) for of, one in spreads if one.n])
    yield from _client(named)


def _client(named: list[tuple[dict[str, str], CaseSoFar]]) -> Iterator[Family]:
    cpu = [(of, case.cpu_s) for of, case in named]
    yield Family("paceline_client_cpu_seconds_total", "counter", "CPU time of the client processes", cpu)
    memory = [(of, case.rss_bytes) for of, case in named if case.rss_bytes]
    yield Family("paceline_client_resident_bytes", "gauge", "Most resident memory of the client processes", memory)
    lags = [(of, lag) for of, case in named if (lag := case.loop_lag_p99_s) is not None]
    yield Family("paceline_client_loop_lag_seconds", "gauge", "p99 of the event loop's lag so far", lags)


def _cumulative(spread: Spread) -> Cumulative:
    return Cumulative(BOUNDS_S, spread.cumulative(), spread.sum_s)
