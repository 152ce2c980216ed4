"""The forest chart: what it draws, and where."""

from typing import Any

import pytest

from harness.measure.comparison_result import FigureComparison
from harness.measure.judge.comparison import ranked
from reports.charts import forest as chart
from reports.drawing import forest
from reports.drawing.draw import drawn
from tests.comparison_samples import case

NOISE = (1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99)


def figure(**changes: Any) -> FigureComparison:
    return FigureComparison(**{"figure": "p50", "better": "lower", "scale": "ratio", "effect": 1.1, **changes})


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"limit": 0.05}, 1.05),
        ({"limit": 0.05, "better": "higher"}, 0.95),
        ({"limit": 0.005, "scale": "difference"}, 0.5),
        ({}, 1.0),
    ],
)
def test_the_worse_side_begins_at_the_limit(changes: dict[str, Any], bound: float) -> None:
    assert forest.limit_of(figure(**changes)) == pytest.approx(bound)


@pytest.mark.parametrize(
    "row",
    [
        figure(low=1.05, high=1.2),
        figure(low=None, high=1.2),
        figure(low=0.9, high=None, limit=0.02),
        figure(effect=1e-9, low=1e-9, high=40.0),
        figure(effect=0.03, low=0.0, high=0.05, scale="difference", limit=0.005),
        figure(effect=0.0, low=0.0, high=0.0, scale="difference"),
    ],
)
def test_every_interval_can_be_drawn(row: FigureComparison) -> None:
    """Also one without an end, one of a repeat without a success, and one of width 0."""
    rows = [forest.Row("a", row, "bad", 0.01), forest.Row("b", row, "good")]
    made = drawn("x", "", "", "", lambda theme: forest.forest(theme, "T", rows, chart.NAMES), png=False)
    assert "<svg" in made.svg


def test_the_rows_say_what_was_found() -> None:
    cases = [case("sync", NOISE), case("adaptive", [1.3 * value for value in reversed(NOISE)])]
    rows = forest.rows_of(ranked(cases))
    assert {row.kind for row in rows if row.figure.figure == "completed"} == {"good"}
    assert "adaptive: throughput x1.30 [1.27, 1.33]" in forest.words(rows)
