"""The chart of a capacity search: a panel for each limited figure, all limits and answers of several SLOs."""

from __future__ import annotations

import msgspec

from harness.measure.capacity_result import Capacity, CapacityPlan, CapacityResult, Figure, Probe, State
from harness.measure.result import RunResult
from reports.charts import capacity
from reports.drawing.theme import LIGHT
from tests.report_samples import article


def probe(load: float, p99_s: float, errors: float, states: list[State]) -> Probe:
    """A probe by rate with the figures of both SLOs."""
    figures = [Figure("p99<200ms", p99_s, limit=0.2), Figure("errors<1%", errors, limit=0.01)]
    figures += [Figure("p99<1s", p99_s, limit=1.0), Figure("backlog growth", 0.01, limit=0.03)]
    return Probe(f"rate={load:g}", "rate", load, states, figures)


def searched(tiers: list[str], answers: list[Capacity], probes: list[Probe]) -> RunResult:
    """A result with this search."""
    found = CapacityResult(answers, probes, 60.0, CapacityPlan(tiers, ["rate"]))
    return msgspec.structs.replace(article(60), capacity=found)


PROBES = [
    probe(20, 0.1, 0.0, ["passed", "passed"]),
    probe(40, 0.3, 0.0, ["failed", "passed"]),
    probe(80, 2.0, 0.2, ["failed", "failed"]),
]
TIGHT = Capacity("rate", "p99<200ms, errors<1%", "answered", 20, 40)
WIDE = Capacity("rate", "p99<1s, errors<1%", "answered", 40, 80)


def test_every_limit_of_every_slo_is_drawn_with_its_answer() -> None:
    """One panel a figure; the growth of the backlog is no condition of the SLOs."""
    result = searched(["p99<200ms,errors<1%", "p99<1s,errors<1%"], [TIGHT, WIDE], PROBES)
    assert capacity.applies(result)
    figure = capacity.figure(result, LIGHT)
    first, second = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("p99", "errors<1%")
    dashed = [line.get_ydata()[0] for line in first.lines if line.get_linestyle() == "--"]
    assert dashed == [0.2, 1.0]
    assert {text.get_text() for text in first.texts} == {"p99<200ms", "p99<1s", "SLO 1", "SLO 2"}
    assert {text.get_text() for text in second.texts} == {"SLO 1", "SLO 2"}
    assert "SLO 2: p99<1s,errors<1%" in {text.get_text() for text in figure.texts}
    assert [(patch.get_x(), patch.get_width()) for patch in first.patches] == [(20, 20), (40, 40)]


def test_a_figure_of_nought_is_drawn_and_a_single_slo_has_no_number() -> None:
    """On the lower edge of a logarithmic scale."""
    result = searched(["p99<200ms,errors<1%"], [TIGHT], PROBES)
    first, second = capacity.figure(result, LIGHT).axes
    assert first.get_ylabel() == "p99<200ms"
    assert not first.texts
    loads = {float(line.get_xdata()[0]) for line in second.lines if line.get_marker() not in ("None", "", None)}
    assert loads == {20.0, 40.0, 80.0}
