"""report.html: one file without scripts or network access, in a light and a dark theme, readable on phones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.measure.judge import comparison_words, precision, slo
from harness.measure.judge.session_words import session_words
from harness.measure.judge.token_words import token_notes
from harness.measure.judge.trace_words import trace_lines
from harness.measure.judge.wording import failure_words, sample_words
from harness.measure.result import RunResult
from reports import labels
from reports.drawing.draw import Drawing
from reports.drawing.theme import DARK, LIGHT
from reports.formats import _facts, _tokens
from reports.formats._capacity import capacity_blocks
from reports.formats._sweep import sweep_blocks
from reports.wording import (
    badge_words,
    causes_words,
    pace_words,
    partial_words,
    target_notes,
    target_words,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SUFFIX = "html"
NO_BREAK = "\u00a0"
CHARTS = True
Grid = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, headings and rows of a table of words."""
GLOSSARY = {
    "latency": "from the instant an item was due to its answer, including every wait in the client",
    "service time": "from the start of the last attempt to its last byte: server and network",
    "queue wait": "time that an item waited in the strategy before it was sent",
    "session": "a conversation of several turns; each turn is due after the answer before it, plus think time",
    "makespan": "from the load's zero to the last answer",
    "in flight": "sent and not yet answered",
    "backlog": "every item is due at once, as in a batch job",
    "arrivals": "items are due on a schedule, independent of the answers",
    "Little's law": "mean in flight = rate × mean service time",
    "n too small": "a percentile is not reported if there are too few requests",
    "effective n": "neighbouring requests are alike: so many independent ones would say as much; ~ marks a percentile "
    "with too few of them",
}


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """The page. The template escapes all text from outside; only paceline's own SVGs are not escaped."""
    style, sign, name, meaning = badge_words(result)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            result=result,
            style=style,
            sign=sign,
            slo_holds=_holds(result),
            slo_failed=[labels.printable(line) for line in slo.failed(result.cases)],
            verdict_name=name,
            verdict_meaning=meaning,
            partial=partial_words(result),
            repeats=precision.words(result.precision) if result.precision is not None else "",
            notes=target_notes(result),
            mixed=labels.NOT_COMPARABLE if labels.is_mixed(result.cases) and result.capacity is None else "",
            columns=_facts.COLUMNS,
            rows=_facts.table(result.cases),
            cases=[
                _case(name, case) for name, case in zip(labels.case_labels(result.cases), result.cases, strict=True)
            ],
            tables=_tables(result),
            noise=_facts.noise(result),
            drawings=drawings,
            judged=[*capacity_blocks(result.capacity), *sweep_blocks(result.sweep)],
            measured=_facts.how_measured(result),
            glossary=GLOSSARY,
            **themes(),
        )
    )


def _holds(result: RunResult) -> str:
    """`SLO holds: all 4 conditions`, unless one failed, whose lines say so, or the headline says it."""
    said = "" if slo.failed(result.cases) else slo.outcome(result.cases)
    return "" if result.headline.startswith(said) else said


def templates() -> Environment:
    """The templates of this folder. They escape all text from outside; only paceline's own SVGs are not escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("reports.formats", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["svg"] = Markup
    environment.filters["plain"] = labels.printable
    environment.filters["breakable"] = breakable
    environment.filters["figure"] = figure
    environment.filters["commands"] = commands
    return environment


def breakable(name: str) -> Markup:
    """The name of a case, escaped; a phone may begin a new line after a mark in it, and not within a word."""
    from markupsafe import escape

    break_ = escape("").__class__("<wbr>")
    text = escape(name)
    for mark in (":", ",", "+"):
        text = text.replace(mark, mark + break_)
    return text


def commands(text: str) -> Markup:
    """A sentence, escaped, in which what stands between backticks, as in Markdown, is shown as code."""
    from markupsafe import Markup, escape

    escaped = str(escape(labels.printable(text)))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704 - escaped above


def figure(cell: str) -> str:
    """A figure that breaks only before and within its interval, or between two: a value and its unit stay together."""
    joined = cell.replace(" ", NO_BREAK)
    for before, after in (
        (f"{NO_BREAK}±", " ±"),
        (f"{NO_BREAK}(", " ("),
        (f",{NO_BREAK}", ", "),
        (f"{NO_BREAK}to{NO_BREAK}", f"{NO_BREAK}to "),
    ):
        joined = joined.replace(before, after)
    return joined


def themes() -> dict[str, Markup]:
    """The colours of both themes, for `style.css.j2`."""
    from markupsafe import Markup

    return {"light": Markup(LIGHT.css()), "dark": Markup(DARK.css())}  # noqa: S704 - our own constants


def _tables(result: RunResult) -> dict[str, list[Grid]]:
    """Tables of words before and after the charts: title, headings, rows. Those without rows are left out."""
    cases = result.cases
    before: list[Grid] = [
        (_facts.against_title(result), comparison_words.HEADS, _facts.against(result)),
        ("What set the pace", _facts.PACE, _facts.pace(cases)),
        ("Failures", _facts.FAILURES, _facts.failures(cases)),
        ("Steps of the load", _facts.STEPS, _facts.step_rows(cases)),
        *_tokens.tables(cases),
    ]
    after: list[Grid] = [("Lengths of prompts and answers", _facts.PROMPTS, _facts.prompts(result))]
    after += [
        ("By turn", _facts.TURNS, _facts.turn_rows(cases)),
        ("Figures of the layers", ("strategy", "layer", "figures"), _facts.layers(cases)),
    ]
    return {"before": [one for one in before if one[2]], "after": [one for one in after if one[2]]}


def _case(name: str, case: Any) -> dict[str, Any]:
    return {
        "name": name,
        "pace": pace_words(case),
        "limited_by": case.diagnosis.limited_by,
        "strategy": labels.named_words(case.strategy),
        "load": labels.load_words(case.load),
        "trace": [labels.printable(words) for words in trace_lines(case)],
        "task": labels.printable(case.task),
        "target": target_words(case),
        "repeats": case.repeats,
        "layers": labels.settings_words(case.layers),
        "transport": labels.printable(case.transport or ""),
        "limit": labels.printable(causes_words(case)) if case.limit is not None else "",
        "sessions": session_words(case),
        "outcomes": _facts.outcomes(case),
        "counts": _facts.more_counts(case),
        "percentiles": _facts.percentiles(case),
        "warnings": [labels.printable(warning) for warning in [*case.warnings, *token_notes(case)]],
        "slo": [labels.printable(slo.describe(c)) for c in case.slo],
        "failures": labels.printable(failure_words(case)),
        "samples": [labels.printable(line) for line in sample_words(case)],
    }
