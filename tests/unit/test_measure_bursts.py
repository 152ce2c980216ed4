"""For how long answers that come together waited for those before them, and when the verdict says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.measure.judge.bursts import bursts as judged
from harness.measure.judge.verdict import exit_code
from harness.measure.reduce.bursts import reading_waits_s, sending_waits_s
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, Distribution, Load, Named, Quantile, Target
from tests.unit.recorded import Exchange, plan, plan_case, write_case

MS = 1_000_000


def waits_ms(of: Callable[..., Any], *instants_ms: float, work_ms: float = 0.1) -> list[float]:
    """In milliseconds."""
    instants = (np.array(instants_ms) * MS).astype(np.int64)
    return [round(1000 * wait, 6) for wait in of(instants, work_ms / 1000)]


def test_answers_that_the_client_reads_at_full_speed_are_one_burst() -> None:
    """Read 0.1 ms apart by a client that needs 0.1 ms: the last of four waited for 0.3 ms."""
    assert waits_ms(reading_waits_s, 0, 0.1, 0.2, 0.3, 5, 9, 9.1) == [0, 0.1, 0.2, 0.3, 0, 0, 0.1]


def test_answers_farther_apart_than_the_clients_work_wait_less_or_not_at_all() -> None:
    """1.25 and 1.5 times the work apart; those closer than the work waited no longer than since the first one."""
    assert waits_ms(reading_waits_s, 0, 0.125, 0.25) == [0, 0.05, 0.1]
    assert waits_ms(reading_waits_s, 0, 0.15, 0.3) == [0, 0, 0]
    assert waits_ms(reading_waits_s, 0, 0.01, 0.02) == [0, 0.01, 0.02]
    assert waits_ms(reading_waits_s) == []


def test_requests_that_are_sent_together_wait_until_all_are_sent() -> None:
    """Four at one instant need 0.4 ms, of which one's own part is no wait; a single one waits for none."""
    assert waits_ms(sending_waits_s, 0, 0, 0, 0, 5, 9, 9.05) == [0.3, 0.3, 0.3, 0.3, 0, 0.05, 0.05]
    assert waits_ms(sending_waits_s, 0, 0.1, 0.2) == [0, 0, 0]
    assert waits_ms(sending_waits_s) == []


@pytest.mark.parametrize("of", [sending_waits_s, reading_waits_s])
def test_a_client_at_half_its_ceiling_has_short_waits(of: Callable[..., Any]) -> None:
    """Independent answers at a rate of half the ceiling do not grow into one burst of the whole run."""
    gaps = np.random.default_rng(7).exponential(0.2, 20_000)
    assert np.mean(waits_ms(of, *np.cumsum(gaps).tolist())) < 0.5


def case(p50_s: float, p99_s: float) -> Case:
    """A case with these service times."""
    service = Distribution(n=300, p50=Quantile(p50_s), p99=Quantile(p99_s))
    return Case("a", Named("sync"), Load("backlog"), "similarity", Target("http://x"), service_time_s=service)


@pytest.mark.parametrize(
    ("waits_s", "said"),
    [
        ({}, None),
        ({"p50": 0.0049, "p99": 0.0099}, None),
        ({"p50": 0.0051, "p99": 0.0099}, "up to 5.1 ms (p50) for each other, 5.1 % of the service time"),
        ({"p50": 0.0051, "p99": 0.03}, "up to 30 ms (p99) for each other, 15 % of the service time of 200 ms"),
    ],
)
def test_a_wait_of_more_than_a_twentieth_of_the_service_time_is_said(waits_s: dict[str, float], said: str) -> None:
    """The percentile with the larger share."""
    found = list(judged(case(0.1, 0.2), waits_s))
    assert [code for code, _ in found] == ([] if said is None else ["bursts"])
    assert said is None or said in found[0][1]
    assert not list(judged(case(0.001, 0.001), {"p50": 0.0009}))


def waves(count: int, size: int, spacing_s: float) -> list[Exchange]:
    """Answers of equally long requests that come in waves."""
    return [
        Exchange(0.0, wave * 0.1 + position * spacing_s, (wave + 1) * 0.1 + position * spacing_s)
        for wave in range(count)
        for position in range(size)
    ]


@pytest.mark.parametrize(("spacing_s", "codes"), [(0.0004, ["bursts"]), (0.0016, [])])
def test_a_run_whose_answers_come_in_waves_is_valid_and_says_so(
    tmp_path: Path, spacing_s: float, codes: list[str]
) -> None:
    """Sixty answers at once and a client that needs 0.4 ms for each, against answers that are spread out."""
    write_case(tmp_path, "sync", waves(6, 60, spacing_s), cpu_s=0.1)
    plan(tmp_path, plan_case("sync"), ceilings={"asyncio": 2500.0})
    result = summarize_run(tmp_path)
    assert [reason.code for reason in result.verdict.reasons] == codes
    assert exit_code(result) == 0
