"""What bounds the sending is said by the gate, in each sample, in the records, in the result and by the judges."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from harness.client.bound import Bound
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Sample
from harness.experiment.simulate import simulate
from harness.measure.judge.diagnosis import diagnose, diagnosis
from harness.measure.judge.diagnosis import floor as floor_of
from harness.measure.judge.held_back import held_back, own_bound, own_bound_reason
from harness.measure.record.decisions import SPANS, DecisionLog, read, read_bounds
from harness.measure.record.recorder import Recorder
from harness.measure.reduce.limit_changes import SPANS_MAX, limit_log
from harness.measure.result import BoundSpan, LimitLog, Quantile
from reports.charts import bound as chart
from reports.charts import limit as limit_chart
from reports.drawing.theme import LIGHT
from tests.report_samples import article
from tests.server_helpers import virtually
from tests.simulation.kernel import servers
from tests.unit.gate_helpers import Hinting, Paced, ask_now, settle
from tests.unit.layer_helpers import Server
from tests.unit.test_held_back import adaptive


class Learning(Fixed):
    """A number that is not reached by `maximum`, and the samples that it was given."""

    def __init__(self, value: int, maximum: int = 100) -> None:
        super().__init__(value, maximum)
        self.samples: list[Sample] = []

    def update(self, sample: Sample, /) -> None:
        self.samples.append(sample)


def test_each_bound_is_told_apart() -> None:
    """Nobody waits, the number, the maximum, the pace, a pause, a quota."""

    async def main() -> dict[str, Bound]:
        spent = {"x-ratelimit-limit": "4", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}
        gates = {
            "idle": ConcurrencyLimit(Server(), Learning(4)),
            "limit": ConcurrencyLimit(Server(), Learning(1)),
            "maximum": ConcurrencyLimit(Server(), Learning(1, maximum=1)),
            "pace": ConcurrencyLimit(Server(lambda n: 0.01), Paced(100, 2.0)),
            "pause": ConcurrencyLimit(
                Hinting(lambda n: 0.01, lambda n: Outcome.rejected, lambda n: 9.0), Learning(1), True
            ),
            "quota": ConcurrencyLimit(Server(lambda n: 0.01, headers=lambda n: spent), Learning(1), True),
        }
        tasks = [task for name, gate in gates.items() for task in ask_now(gate, 1 if name == "idle" else 3)]
        await settle()
        await asyncio.sleep(0.05)
        found = {name: gate.bound for name, gate in gates.items()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    found = virtually(main())
    assert found.pop("idle") is Bound.demand
    assert {name: bound.name for name, bound in found.items()} == {name: name for name in found}


def test_a_sample_says_whether_another_attempt_waited() -> None:
    """The last two of five find nobody behind them."""
    limit = Learning(2)

    async def main() -> None:
        await asyncio.gather(*ask_now(ConcurrencyLimit(Server(), limit, True), 5))

    virtually(main())
    assert [sample.bound.name for sample in limit.samples] == ["limit", "limit", "limit", "demand", "demand"]


def test_what_was_asked_comes_back_and_a_long_case_has_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.decisions.jsonl"
    log = DecisionLog(path, t0=0.0)
    for tick in range(30):
        log.note_bound(tick * 0.1, Bound.limit if tick < 15 else Bound.pace)
    log.close()
    spans = read_bounds(path)
    assert [(span.t_s, span.width_s) for span in spans] == [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
    assert [(span.counts[Bound.limit], span.counts[Bound.pace]) for span in spans] == [(10, 0), (5, 5), (0, 10)]
    assert read(path) == ([], 0)
    long = DecisionLog(tmp_path / "long.jsonl", t0=0.0)
    for second in range(5 * SPANS):
        long.note_bound(float(second), Bound.demand)
    long.close()
    kept = read_bounds(tmp_path / "long.jsonl")
    assert len(kept) < 3 * SPANS
    assert sum(sum(span.counts) for span in kept) == 5 * SPANS


def test_the_result_has_the_shares_and_their_course(tmp_path: Path) -> None:
    """Without a single decision, too; a file of a later version may know more bounds."""
    recorder = Recorder(tmp_path, case="a", t0=0.0, t0_unix_s=0.0)
    for second in range(400):
        recorder.decisions.note_bound(float(second), Bound.maximum if second < 300 else Bound.demand)
    recorder.decisions.close()
    found = limit_log([[recorder.paths]])
    assert found is not None
    assert (found.decisions, found.timeline) == (0, [])
    assert found.bound_by == {"demand": 0.25, "maximum": 0.75}
    assert len(found.bounds) <= SPANS_MAX + 1
    assert found.bounds[0].shares == {"maximum": 1.0}
    assert found.bounds[-1].shares == {"demand": 1.0}


@pytest.mark.no_cover
def test_a_run_of_the_product_says_what_bound_it(tmp_path: Path) -> None:
    """At its maximum most of the time; with the default limit it is the limit."""
    logs = {}
    for name in ("adaptive", "adaptive:maximum=3"):
        out = tmp_path / name.replace(":", "-")
        out.mkdir()
        simulate(name, servers.written(tmp_path, servers.WORKERS_8), items=1_500, seed=2, records=out)
        log = read_bounds(next(out.glob("*.decisions.jsonl")))
        logs[name] = [sum(span.counts[bound] for span in log) for bound in Bound]
    free, narrow = logs.values()
    assert free[Bound.limit] > 0.9 * sum(free)
    assert narrow[Bound.maximum] > 0.6 * sum(narrow)


@pytest.mark.parametrize(
    ("shares", "limited_by", "words"),
    [
        ({"limit": 0.9, "demand": 0.1}, None, ""),
        ({"pace": 0.6, "limit": 0.4}, "strategy", "own pace after refusals"),
        ({"maximum": 0.8, "limit": 0.2}, "strategy", "at its maximum"),
        ({"pause": 0.7, "limit": 0.3}, "server", "accepted nothing"),
        ({"quota": 0.7, "limit": 0.3}, "server", "a spent quota"),
        ({"demand": 0.7, "limit": 0.3}, "client", "no item was ready"),
    ],
)
def test_what_bound_most_of_the_time_is_the_limiting_factor(
    shares: dict[str, float], limited_by: str | None, words: str
) -> None:
    case = msgspec.structs.replace(adaptive(), limit=LimitLog(0, 0, {}, [], 1, shares))
    found = own_bound(case)
    if limited_by is None:
        assert found is None
        return
    assert found is not None
    assert (found.limited_by, words in found.text) == (limited_by, True)
    reasons = list(own_bound_reason(case))
    assert [code for code, _ in reasons] == (["own_bound"] if limited_by == "strategy" else [])


def test_the_diagnosis_uses_it() -> None:
    """A case that would be the server's is the maximum's; the sentence says what to set."""
    sample = article(60).cases[0]
    log = LimitLog(0, 0, {}, [], 1, {"maximum": 0.9, "limit": 0.1})
    case = msgspec.structs.replace(sample, limit=log, strategy=adaptive(maximum=30).strategy)
    assert "at its maximum" not in diagnosis(sample, floor_of([sample])).text
    assert "at its maximum: the maximum was the limit" in diagnosis(case, floor_of([case])).text
    assert "at its maximum of 30 for 90 % of the time: a larger one (maximum=60)" in held_back(case)


@pytest.mark.parametrize(("limit", "said"), [(0.97, True), (0.4, False)])
def test_an_unknown_factor_comes_with_the_share_of_the_limit(limit: float, said: bool) -> None:
    """Whether the server was the reason is not known; that the client's own limit held it back is."""
    sample = article(60).cases[0]
    service = msgspec.structs.replace(sample.service_time_s, min=0.1, p50=Quantile(0.2))
    log = LimitLog(0, 0, {}, [], 1, {"limit": limit, "demand": 1 - limit})
    flight = msgspec.structs.replace(sample.in_flight, mean=8.0, max=9)
    case = msgspec.structs.replace(
        sample, strategy=adaptive().strategy, limit=log, service_time_s=service, in_flight=flight
    )
    (found,) = diagnose([case])
    if said:
        assert found.diagnosis.limited_by == "unknown"
        assert "2.0x the fastest answer of this server" in found.diagnosis.text
    assert ("For 97 % of the time its own limit kept it from sending more." in found.diagnosis.text) == said


def test_the_shares_are_drawn_where_something_else_than_the_limit_bound() -> None:
    result = article(60)
    first, *others = result.cases
    spans = [BoundSpan(0.0, 0.2, {"limit": 1.0}), BoundSpan(0.2, 0.2, {"pace": 0.5, "demand": 0.5})]
    log = LimitLog(0, 0, {}, [], 1, {"limit": 0.5, "pace": 0.25, "demand": 0.25}, spans)
    drawn = msgspec.structs.replace(result, cases=[msgspec.structs.replace(first, limit=log), *others])
    assert chart.applies(drawn)
    assert not chart.applies(result)
    assert not limit_chart.applies(drawn)
    assert len(chart.figure(drawn, LIGHT).axes) == 1
    assert "limit 50 %, pace 25 %, demand 25 %" in chart.in_words(drawn)
    only = msgspec.structs.replace(log, bound_by={"limit": 1.0})
    assert not chart.applies(msgspec.structs.replace(result, cases=[msgspec.structs.replace(first, limit=only)]))
