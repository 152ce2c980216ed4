"""The picture and the words of what a limit decided."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure.result import LimitChange, LimitLog, RunResult
from reports.charts import limit
from reports.drawing.theme import LIGHT
from reports.formats import html, markdown
from tests.report_samples import article

LOG = LimitLog(
    decisions=7,
    dropped=2,
    causes={"doubling pays": 4, "is less as good?": 2, "<refused>": 1},
    timeline=[
        LimitChange(0.0, 4, "start"),
        LimitChange(0.1, 8, "doubling pays"),
        LimitChange(0.2, 5, "is less as good?"),
        LimitChange(0.3, 3, "<refused>", 20.0),
    ],
)


def with_a_limit() -> RunResult:
    """A sample whose first case has decisions."""
    result = article(60)
    first, *others = result.cases
    return msgspec.structs.replace(result, cases=[msgspec.structs.replace(first, limit=LOG), *others])


def test_it_is_drawn_for_cases_with_decisions_alone() -> None:
    result = with_a_limit()
    assert limit.applies(result)
    assert not limit.applies(msgspec.structs.replace(result, cases=result.cases[1:]))
    assert len(limit.figure(result, LIGHT).axes) == 1


@pytest.mark.parametrize(
    ("cause", "family"),
    [
        ("doubling pays", "more"),
        ("more gives more", "more"),
        ("more gives no more", "too many"),
        ("less is as good", "too many"),
        ("is less as good?", "a look"),
        ("a rate is limited: pace", "refused, or paced"),
        ("raised", "more"),
        ("something else", "other"),
    ],
)
def test_a_cause_has_a_family(cause: str, family: str) -> None:
    assert limit.family(cause) == family


def test_reports_tell_the_causes_and_escape_them() -> None:
    """A limit may be anybody's own, and its causes come from outside."""
    result = with_a_limit()
    page, text = html.render(result), markdown.render(result)
    assert "is less as good?" in page
    assert "<refused>" not in page
    assert "is less as good?" in text
    assert "2 more were not kept" in limit.in_words(result)
