"""Sessions in reports: the table by turn, the sentence about sessions, and the chart of latency by turn."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.cli.show import show
from harness.measure.repeat_figures import Points
from harness.measure.result import Case, Counts, Load, RunResult, decode, encode
from harness.measure.session_result import TURNS_SHOWN, SessionFigures, TurnFigures
from reports import labels
from reports.charts import turns
from reports.drawing import draw
from reports.formats import html, markdown
from tests import report_samples as samples

LOAD = Load("sessions", {"turns": "geometric:mean=4", "think": "none", "users": 50})


def of_turn(turn: int, known: bool = True) -> TurnFigures:
    """Later turns are slower and fewer; the last stands for all later ones."""
    latency = Points(p50=1.0 + turn / 10, p95=None if turn > 9 else 2.0 + turn / 5) if known else Points()
    first = Points(p50=0.1 * turn, p95=None) if known else None
    return TurnFigures(turn, turn > TURNS_SHOWN, 2000 // turn, 1900 // turn, 20, 3, latency, first, 85.0 * turn)


def with_sessions(case: Case, last: int, known: bool = True) -> Case:
    """The case with so many turns."""
    found = SessionFigures(600, 3, 2500, 1, Points(p50=14.0), [of_turn(turn, known) for turn in range(1, last + 1)])
    counts = Counts(scheduled=2500, ok=2400, cancelled=95, stopped=95, server_error=2, not_sent=3, skipped=3)
    return msgspec.structs.replace(case, load=LOAD, sessions=found, counts=counts)


def result(last: int = 21, known: bool = True, cases: int = 2) -> RunResult:
    """A run of sessions."""
    made = [with_sessions(case, last, known) for case in samples.llm().cases[:cases]]
    return samples.run_of(made, "Sessions were played.")


@pytest.mark.parametrize("of", [result(), result(5, cases=1), result(3, known=False), result(12, cases=3)])
def test_the_chart_draws_every_kind_of_turns(of: RunResult) -> None:
    """Late turns together, no figures at all, one case or several; the words have the medians."""
    assert turns.applies(of)
    drawn = draw.draw("turns", turns, of, png=False)
    assert drawn.error == ""
    assert "var(--c-" in drawn.svg
    few = of.cases[0].sessions is not None and of.cases[0].sessions.by_turn[0].ttft_s is None
    assert ("too few successes" if few else "turn 1 1.1 s") in drawn.words


def test_the_chart_needs_sessions_of_several_turns() -> None:
    assert not turns.applies(samples.single())
    assert not turns.applies(result(1))


def test_every_format_has_the_figures_by_turn() -> None:
    """The page, the summary and the result file; what failed on purpose is no failure."""
    of = result()
    page, summary = html.render(of), markdown.render(of)
    words = "600 sessions of 4.2 turns on average, 3 failed, 95 streams cancelled on purpose"
    for text in (page, summary):
        assert "By turn" in text
        assert "21 and later" in text
        assert words in text
    assert "| 2 | 1,000 | 3 | 170 | 1.2 s | 2.4 s |" in summary.replace("\\", "")
    assert "not sent after a failed turn" in page
    assert decode(encode(of)) == of
    assert labels.failed_share(of.cases[0]) == 5 / 2500


def test_the_terminal_shows_the_first_turns(capsys: pytest.CaptureFixture[str]) -> None:
    """The report has the others."""

    show(result(), Path("nowhere"), [])
    out = capsys.readouterr().out
    assert "by turn" in out
    assert out.count("680") == 2  # prompt tokens of turn 8
    assert "765" not in out
