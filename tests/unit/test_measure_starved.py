"""A client that lacked a processor, and the lag that a question tolerates, judged on made-up evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.measure.judge.client_time import processor_wait_s, tolerance_s
from harness.measure.judge.diagnosis import Floor, diagnosis
from harness.measure.judge.slo import parse
from harness.measure.judge.verdict import verdict
from harness.measure.record.run_queue import RunQueue, RunQueueSampler
from harness.measure.result import Case, Distribution, InFlight, Quantile, Reason, Resources
from tests.unit.test_measure_verdict import SOUND, case


def reasons(of: Case, tolerated_s: float | None = None, **proof: Any) -> list[Reason]:
    return verdict([of], [msgspec.structs.replace(SOUND, **proof)], lag_tolerance_s=tolerated_s).reasons


def codes(of: Case, tolerated_s: float | None = None, **proof: Any) -> list[str]:
    return [reason.code for reason in reasons(of, tolerated_s, **proof)]


def waiting(kind: str = "backlog", service_s: float = 0.02, queue_wait_s: float = 0.0, **use: float) -> Case:
    """A case whose client used 46 % of a core and whose requests took `service_s`."""
    return case(
        kind,
        service_time_s=Distribution(n=1000, p50=Quantile(service_s)),
        queue_wait_s=Distribution(n=1000, p50=Quantile(queue_wait_s), p99=Quantile(queue_wait_s)),
        in_flight=InFlight(8.0, 8),
        resources=Resources(**{"client_cpu_share": 0.46, **use}),
    )


@pytest.mark.parametrize(
    ("share", "wait_s", "expected"),
    [
        (0.03, 0.0, []),
        (0.09, 0.0020, ["client_time"]),  # 1.8 ms of 20 ms, but it waited for less than 10 % of the time
        (0.24, 0.0010, ["client_time"]),  # 2 ms of 20 ms
        (0.24, 0.0050, ["client_time"]),  # 10 ms by its slices, but never more than 24 %
        (0.30, 0.0026, ["client_starved"]),
        (0.50, 0.0, ["client_starved"]),  # busy all the time: half of each request's time
    ],
)
def test_a_closed_loop_shows_the_clients_own_time(share: float, wait_s: float, expected: list[str]) -> None:
    """More than 5 % of the service time is said, more than 25 % is invalid."""
    assert codes(waiting(run_queue_share=share, run_queue_wait_s=wait_s)) == expected


def test_a_system_that_does_not_count_the_waits_gives_no_reason() -> None:
    """Not measured is not starved."""
    unknown = waiting()
    assert processor_wait_s(unknown) is None
    assert codes(unknown) == []


def test_loop_lag_is_judged_by_the_service_time_that_it_distorts() -> None:
    """Three milliseconds are much of 20 ms and little of a second; one is the timer's own."""
    assert codes(waiting(run_queue_share=0.0, loop_lag_p50_s=0.003)) == ["client_time"]
    assert codes(waiting(run_queue_share=0.0, loop_lag_p50_s=0.003, service_s=1.0)) == []
    assert codes(waiting(run_queue_share=0.0, loop_lag_p50_s=0.0015)) == []


def test_under_arrivals_a_busy_client_was_late_itself() -> None:
    """The seen fault: 46 % of a core, the rest taken by others, items late, verdict valid."""
    late = waiting("constant", service_s=0.00002, queue_wait_s=0.056, run_queue_share=0.5)
    (reason,) = reasons(late)
    assert reason.code == "client_starved"
    assert "it had work 96 % of the time" in reason.text
    assert "56 ms late are the generator's lag" in reason.text
    assert diagnosis(late, Floor(0.00001, idle=True)).limited_by == "client"


def test_under_arrivals_an_idle_client_chose_to_wait() -> None:
    """The same wait, while the client had nothing to do, is queue wait of the strategy."""
    chosen = waiting("constant", queue_wait_s=0.056, run_queue_share=0.01, client_cpu_share=0.1)
    assert codes(chosen) == []


def test_the_question_sets_the_tolerance() -> None:
    """By the option, else by the SLO's strictest bound on latency, else by the latency measured."""
    assert tolerance_s(0.02, parse("p99<100ms")) == 0.02
    assert tolerance_s(None, parse("p99<500ms,errors<1%")) == pytest.approx(0.025)
    assert tolerance_s(None, parse("p99<4ms")) == 0.001
    assert tolerance_s(None, parse("errors<1%")) is None
    assert tolerance_s(None, []) is None


def test_a_lag_that_does_not_touch_the_question_is_a_bound_and_no_refusal() -> None:
    """3.1 ms at a median of 10 ms: too much by itself, nothing to an SLO of 500 ms, and said in both."""
    slow = case("constant")
    assert codes(slow, lag=("p99", 0.0031)) == ["lag"]
    (reason,) = reasons(slow, tolerance_s(None, parse("p99<500ms")), lag=("p99", 0.0031))
    assert reason.code == "lag_bound"
    assert "latencies are at most 3.1 ms too high" in reason.text
    assert codes(slow, 0.002, lag=("p99", 0.0031)) == ["lag"]
    assert codes(slow, 0.004, lag=("p99", 0.0009)) == []


def test_a_percentile_of_the_lag_is_judged_by_the_same_percentile_of_the_latency() -> None:
    """4 ms at the 99th percentile are within 10 % of 60 ms, and not of 30 ms."""
    tails = {
        p99_s: case("constant", latency_s=Distribution(n=1000, p50=Quantile(0.02), p99=Quantile(p99_s)))
        for p99_s in (0.06, 0.03)
    }
    assert codes(tails[0.06], lag=("p99", 0.004)) == ["lag_bound"]
    assert codes(tails[0.03], lag=("p99", 0.004)) == ["lag"]


def test_an_slo_of_half_a_second_is_not_touched_by_waits_of_milliseconds() -> None:
    """The same waits are half of the service time without that question."""
    short = waiting(service_s=0.006, run_queue_share=0.5, run_queue_wait_s=0.001)
    assert codes(short) == ["client_starved"]
    assert codes(short, tolerance_s(None, parse("p99<500ms"))) == []


def test_the_run_queue_is_read_from_every_thread(tmp_path: Path) -> None:
    """The thread that waited longest since the start, even if it has ended; none without schedstat."""
    assert RunQueueSampler(tmp_path / "missing").longest() is None

    def write(thread: str, waited_ns: int, slices: int) -> None:
        (tmp_path / thread).mkdir(exist_ok=True)
        (tmp_path / thread / "schedstat").write_text(f"5 {waited_ns} {slices}\n")

    sampler = RunQueueSampler(tmp_path)
    write("1", 1_000_000_000, 10)
    sampler.start()
    write("1", 1_200_000_000, 14)
    write("2", 500_000_000, 3)
    sampler.sample()
    (tmp_path / "2" / "schedstat").unlink()
    sampler.sample()
    assert sampler.longest() == RunQueue(0.5, 3)
