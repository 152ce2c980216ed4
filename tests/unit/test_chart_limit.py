"""The picture and the words of what a limit decided."""

from __future__ import annotations

import msgspec
import pytest

from harness.client.cause import Cause, family_of, text_of
from harness.measure.result import LimitChange, LimitLog, RunResult
from reports.charts import limit
from reports.drawing.theme import LIGHT
from reports.formats import html, markdown
from tests.report_samples import article

LOG = LimitLog(
    decisions=7,
    dropped=2,
    causes={Cause.doubling: 4, Cause.probe_fewer: 2, "<refused>": 1},
    timeline=[
        LimitChange(0.0, 4, Cause.start),
        LimitChange(0.1, 8, Cause.doubling),
        LimitChange(0.2, 5, Cause.probe_fewer),
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


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_text_and_a_mark_of_its_family(cause: Cause) -> None:
    """Found by its code alone, as a result file holds it."""
    assert text_of(str(cause)) == cause.text
    assert family_of(str(cause)) in limit._marks(LIGHT)


def test_a_cause_of_a_limit_of_ones_own_is_its_text() -> None:
    assert (text_of("more gives more"), family_of("more gives more")) == ("more gives more", None)


def test_reports_tell_the_causes_and_escape_them() -> None:
    """A limit may be anybody's own, and its causes come from outside."""
    result = with_a_limit()
    page, text = html.render(result), markdown.render(result)
    assert "probe: are fewer enough?" in page
    assert "<refused>" not in page
    assert "probe: are fewer enough?" in text
    assert "2 more were not recorded" in limit.in_words(result)
