"""Conditions on the times of language models: figures, goodput, and tasks that stream because of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.client.answers import Usage
from harness.client.errors import UsageError
from harness.experiment.capacity import CapacitySettings, CaseMaker
from harness.experiment.settings import RunSettings
from harness.experiment.streaming import streamed
from harness.measure.judge.compared_figures import named
from harness.measure.judge.slo import _FAMILIES, RequestBounds, bounds_s, check, describe, of_streams, parse
from harness.measure.reduce.columns import load_repeat
from harness.measure.reduce.latencies import within
from harness.measure.reduce.summary import summarize_run
from harness.measure.reduce.trial_samples import samples_of
from harness.measure.result import Case, SloCheck
from harness.plugins import make
from scenarios.backlog import Backlog
from tests.unit.recorded import Exchange, end, plan, plan_case, record, recorder, write_case


def stream(first_s: float, gap_s: float, tokens: int, sent: float = 0.0, **more: Any) -> Exchange:
    """Tokens one by one; the server counts them."""
    chunks = tuple(sent + first_s + gap_s * k for k in range(tokens))
    return Exchange(sent, sent, chunks[-1], chunks=chunks, usage=Usage(10, tokens), **more)


def good(tmp_path: Path, exchanges: list[Exchange], slo: str) -> int:
    into = recorder(tmp_path)
    record(into, exchanges)
    end(into)
    return within(load_repeat(0, [into.paths]), bounds_s(parse(slo)))


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        ("ttft_p95<500ms", 3),  # all but the late one
        ("tpot_p95<40ms", 3),  # all but the slow one
        ("e2e_p95<1s", 2),  # neither the late nor the long one
        ("ttft_p95<500ms,tpot_p95<40ms", 2),
        ("ttft_p95<500ms,tpot_p95<40ms,e2e_p95<1s", 1),
    ],
)
def test_goodput_counts_requests_that_meet_all_bounds(tmp_path: Path, slo: str, expected: int) -> None:
    """A good stream, one with a late first token, one with slow tokens, one that is long."""
    exchanges = [stream(0.1, 0.02, 5), stream(0.9, 0.02, 10), stream(0.1, 0.1, 5), stream(0.1, 0.02, 80)]
    assert good(tmp_path, exchanges, slo) == expected


def test_a_stream_of_one_token_has_no_time_per_token_and_meets_its_bound(tmp_path: Path) -> None:
    """As in vLLM's benchmark; an answer that came whole does not, and neither does a failure."""
    whole = Exchange(0, 0, 0.1, usage=Usage(1, 5))
    assert good(tmp_path, [stream(0.1, 0.1, 1), whole], "tpot_p95<1ms") == 1


def test_e2e_of_an_answer_that_came_whole_ends_with_its_last_byte(tmp_path: Path) -> None:
    """So the bound holds for every task."""
    assert good(tmp_path, [Exchange(0, 0, 0.1), Exchange(0, 0, 0.3)], "e2e_p99<200ms") == 1


def case_of(tmp_path: Path, exchanges: list[Exchange], slo: str | None = None) -> Case:
    write_case(tmp_path, "sync", exchanges)
    plan(tmp_path, plan_case(), slo=slo)
    return summarize_run(tmp_path).cases[0]


def test_an_slo_of_a_language_model_is_checked_on_a_case(tmp_path: Path) -> None:
    """Every condition with its figure; goodput per second of the makespan."""
    slo = "ttft_p95<500ms,tpot_p95<40ms,itl_p99<30ms,e2e_p95<1s,goodput>3.5"
    case = case_of(tmp_path, [stream(0.1, 0.02, 10, sent=0.1 * k) for k in range(100)], slo)
    assert [one.passed for one in case.slo] == [True] * 5
    values = [one.value for one in case.slo]
    assert values[:4] == pytest.approx([0.1, 0.02, 0.02, 0.28], rel=1e-3)
    assert values[4] == case.rates_per_s.goodput == pytest.approx(100 / (9.9 + 0.28))


def test_a_condition_without_streams_fails_and_says_why(tmp_path: Path) -> None:
    """Never passes for lack of data."""
    case = case_of(tmp_path, [Exchange(0, 0, 0.1)] * 100)
    (found,) = check(parse("tpot_p95<40ms"), case)
    assert (
        describe(found)
        == "tpot_p95<40ms FAILS: no figure, because p95 needs 59 streams with it and there were fewer: use a longer "
        "load (--duration, --items) or more --repeats"
    )
    assert "p99 needs 299 successes and there were fewer" in describe(SloCheck("p99<1s", None, 1.0, False))
    assert describe(SloCheck("mean<1s", None, 1.0, False)).endswith("there were too few successes")


def test_repeats_have_the_figures_that_comparisons_need(tmp_path: Path) -> None:
    """Percentiles of TPOT and E2E, and tokens per second."""
    (repeat,) = case_of(tmp_path, [stream(0.1, 0.02, 10, sent=0.1 * k) for k in range(100)]).by_repeat
    values = [figure.of(repeat) for figure in named(["tpot_p50", "e2e_p95", "tokens"])]
    assert values == pytest.approx([0.02, 0.28, 1000 / (9.9 + 0.28)], rel=1e-3)
    assert (repeat.output_tokens, repeat.prompt_tokens) == (1000, 1000)


def test_a_capacity_search_knows_every_family_of_times(tmp_path: Path) -> None:
    """A trial has the values of each, and those of its parts add up."""
    into = recorder(tmp_path)
    record(into, [stream(0.1, 0.02, 10, sent=0.1 * k) for k in range(20)])
    end(into)
    repeat, planned = load_repeat(0, [into.paths]), plan_case()
    (whole,) = samples_of(repeat, planned, 0.0)
    halves = samples_of(repeat, planned, 0.0, 2)
    assert {family: len(values) for family, values in whole.values.items()} == {
        "": 20, "service_": 20, "queue_wait_": 20, "ttft_": 20, "itl_": 180, "tpot_": 20, "e2e_": 20,
    }  # fmt: skip
    assert sum(len(half.values["itl_"]) for half in halves) == 180
    assert whole.values["tpot_"] == pytest.approx([0.02] * 20)
    assert set(whole.values) == set(_FAMILIES)


def test_a_task_streams_where_the_slo_asks_for_it() -> None:
    """Only then, and only a task that can."""
    assert streamed(make("task", "chat:max_tokens=9"), "chat:max_tokens=9", "ttft_p95<1s") == make(
        "task", "chat:max_tokens=9,stream=true"
    )
    for slo in (None, "p99<1s,e2e_p95<2s,goodput>1"):
        assert not streamed(make("task", "chat"), "chat", slo).stream
    similarity = make("task", "similarity")
    assert streamed(similarity, "similarity", "itl_p95<1s") is similarity


def test_a_task_told_not_to_stream_is_refused() -> None:
    """The condition and the task are named."""
    with pytest.raises(UsageError, match=r"--slo 'tpot_p95<1s': only a streamed answer has it.*stream=false"):
        streamed(make("task", "chat:stream=false"), "chat:stream=false", "p99<1s,tpot_p95<1s")


def test_only_times_of_streams_ask_for_a_stream() -> None:
    """E2E is of every answer."""
    assert [one.metric for one in of_streams(parse("p99<1s,ttft_p95<1s,itl_max<1s,e2e_p50<1s"))] == [
        "ttft_p95",
        "itl_max",
    ]
    assert bounds_s(parse("e2e_p50<1s")) == RequestBounds(e2e=1.0)


def test_a_capacity_search_streams_for_its_tiers() -> None:
    """In the cases of all its probes, which have no SLO of their own."""
    wanted = CapacitySettings(slo=("p99<1s;tpot_p95<40ms",))
    maker = CaseMaker(RunSettings(task="chat", simulated=True), Backlog, wanted.plan())
    for case in (maker.case("rate", 4.0, 1.0, None), maker.case("concurrency", 4.0, 1.0, None)):
        (share,) = case.tasks
        assert share.task.settings["stream"] is True
