"""The self-test's verdict on a machine, on made-up figures: fit or not, why, and in one line."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.judge.self_test import causes
from harness.measure.judge.self_test_words import markdown, rows
from harness.measure.self_test_result import Ceiling, Compared
from tests.unit.self_test_samples import found, law


def test_a_quiet_machine_is_fit_up_to_a_share_of_its_ceiling() -> None:
    """70 % of 9,000/s and of 4,000/s, with the largest timing error."""
    quiet = found()
    assert quiet.fit
    assert quiet.text == (
        "fit for up to 6,300/s over lean and 2,800/s over aiohttp for each process; timing error at most 600 µs"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"laws": [law("constant", 0.02, 0.02, 0.0203, 0.0211)]}, "constant: p99 is 1.1 ms too high"),
        ({"laws": [law("constant", 0.02, None, 0.0188)]}, "constant: p50 is 1.2 ms too low"),
        ({"laws": [law("first token", 0.04, 0.04)]}, "'first token' could not be measured"),
        ({"ceilings": {}}, "the rate of the generator over lean could not be measured (and 1 more)"),
        (
            {"ceilings": {"lean": Ceiling(9000.0)}},
            "the rate of the generator over aiohttp could not be measured",
        ),
        (
            {"laws": [law("constant", 0.02, 0.02, 0.0203, 0.0211, transport="asyncio")]},
            "constant over aiohttp: p99 is 1.1 ms too high",
        ),
        ({"run_queue_share": 0.3}, "the client waited for a processor 30 % of the time"),
        ({"sleep_late_p99_s": 0.006}, "sleeps end up to 6 ms late"),
    ],
)
def test_a_machine_that_falls_short_is_not_fit_for_a_reason(change: dict[str, Any], reason: str) -> None:
    """One fault each."""
    short = found(**change)
    assert not short.fit
    assert reason in short.text
    assert "\n" not in short.text


def test_one_percent_is_allowed_where_it_is_more_than_a_millisecond() -> None:
    """4 ms of half a second."""
    assert found(laws=[law("constant", 0.5, 0.5, 0.504, 0.5049)]).fit
    assert not found(laws=[law("constant", 0.5, 0.5, 0.504, 0.5051)]).fit


def test_the_verdict_names_the_largest_error_and_the_times_that_are_still_right() -> None:
    """6 ms are 5 % of 120 ms. The reasons name the causes, once."""
    laws = [
        law("constant", 0.02, 0.02, 0.0203, 0.022),
        law("stall", 0.02, 0.3, 0.026, 0.301, client_wait_share=0.4, makespan_s=2),
    ]
    short = found(laws=laws)
    assert short.text == ("not fit now: stall: p50 is 6 ms too high (limit 1 ms); times above 120 ms are right to 5 %")
    first, second = short.reasons
    assert first.startswith("constant: p99 is 2 ms too high")
    assert second == (
        "stall: p50 is 6 ms too high (limit 1 ms), because the client waited for a processor 40 % of the time, the "
        "mock –"
    )


@pytest.mark.parametrize(
    ("disturbed", "percentile", "cause"),
    [
        ({}, "p99", None),
        # Together not as long as the error.
        ({"client_wait_share": 0.006, "mock_wait_share": 0.003, "makespan_s": 1.0}, "p99", None),
        ({"client_wait_share": 0.006, "mock_wait_share": 0.005, "makespan_s": 1.0}, "p99", "the client waited"),
        # Half of the requests were 10 of 110 ms late: they saw waits for 4.5 % of the time.
        ({"client_wait_share": 0.03, "mock_wait_share": 0.015, "makespan_s": 1.0}, "p50", None),
        ({"client_wait_share": 0.03, "mock_wait_share": 0.016, "makespan_s": 1.0}, "p50", "the client waited"),
        ({"mock_wait_share": 0.05, "makespan_s": 1.0}, "p50", "the mock 5 %"),
        ({"burst_p50_s": 0.003, "burst_p99_s": 0.004}, "p99", None),
        ({"burst_p99_s": 0.005}, "p99", "requests or answers came together and waited up to 5 ms"),
        ({"burst_p99_s": 0.005}, "p50", None),
        ({"host_steal_share": 0.1}, "p50", "the host gave 10 % of the processor"),
        ({"codes": ["client_time", "server_count"]}, "p50", "the verdict of the run says client_time"),
        ({"codes": ["lag_bound"]}, "p50", None),
        ({"codes": ["lag_bound"], "figure": "latency_s"}, "p50", "the verdict of the run says lag_bound"),
    ],
)
def test_an_error_has_the_causes_that_are_large_enough(
    disturbed: dict[str, Any], percentile: str, cause: str | None
) -> None:
    """10 ms too late at both percentiles."""
    said = causes(law("constant", 0.1, 0.1, 0.11, 0.11, **disturbed), percentile)
    assert len(said) == (cause is not None)
    assert cause is None or cause in said[0]


def cell(name: str, in_flight: int, *measured: float, **more: Any) -> Compared:
    """One cell of the table, with 100 ms injected."""
    return law(name, 0.1, 0.1, *measured, in_flight=in_flight, **more)


def test_an_error_with_many_in_flight_counts_only_without_a_cause() -> None:
    """The table of a full self-test."""
    known = cell("threads", 500, 0.1001, 0.12, burst_p99_s=0.02)
    assert found(table=[known]).fit
    unknown = found(table=[known, cell("batches", 100, 0.1001, 0.12)])
    assert not unknown.fit
    assert unknown.reasons == ["batches at 100 in flight: p99 is 20 ms too high (limit 1 ms), and no cause was found"]
    assert not found(table=[cell("batches", 100)]).fit


def test_the_table_has_a_row_for_each_strategy_and_a_note_for_each_cause() -> None:
    """Markdown, as docs/measuring.md shows it."""
    cells = [
        cell("sync", 1, 0.1002, 0.0999),
        cell("threads", 1, 0.1001, 0.12, client_wait_share=0.1, makespan_s=2.0),
        cell("threads", 10, 0.1001, 0.12, client_wait_share=0.2, makespan_s=2.0, burst_p99_s=0.02),
        cell("batches", 10, 0.1, 0.12),
        cell("priority", 10, 0.1, 0.12, codes=["bursts", "client_time", "partial"]),
        cell("adaptive", 10, 0.1, 0.1001, in_flight_mean=4.0),
    ]
    assert markdown(cells).splitlines() == [
        "| strategy | 1 in flight (100 ms) | 10 in flight (100 ms) |",
        "|---|---|---|",
        "| sync | +200 µs, -100 µs |  |",
        "| threads | +100 µs, **+20 ms** (1) | +100 µs, **+20 ms** (1, 2) |",
        "| batches |  | +0 ms, **+20 ms** (3) |",
        "| priority |  | +0 ms, **+20 ms** (4, 5) |",
        "| adaptive |  | +0 ms, +100 µs (mean in flight 4) |",
        "| jobs | not compared: items wait in the server's job queue, and answers are polled | |",
        "",
        "1. Client or mock waited for a processor.",
        "2. Requests were sent or answers came together, and waited for each other in the client.",
        "3. No cause was found.",
        "4. The verdict of the run says `bursts`.",
        "5. The verdict of the run says `client_time`.",
    ]


def test_a_ceiling_names_what_set_it() -> None:
    """The busier of client and mock, if one of them was busy; the share of the mock's own ceiling beside it."""
    assert Ceiling(4000.0, 240.0, 100.0).limited_by == "client"
    assert Ceiling(4000.0, 150.0, 250.0).limited_by == "mock"
    assert Ceiling(2000.0, 150.0, 250.0).limited_by == "processor"
    shown = dict(rows(found()))
    assert "the client was busy all the time" in shown["ceiling over aiohttp"]
    assert shown["ceiling of the mock alone"].endswith("used by aiohttp 33.3 %, lean 75 %, blocking 25 %")
    assert shown["error, constant"] == "p50 +300 µs (limit 1 ms), p99 +600 µs (limit 1 ms)"
