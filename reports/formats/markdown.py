"""report.md: the verdict, then the table. Fits into a CI step summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.base import units
from harness.client.cause import text_of
from harness.measure.judge import comparison_words, precision, slo
from harness.measure.judge.session_words import session_words
from harness.measure.judge.token_words import token_notes
from harness.measure.judge.trace_words import trace_lines
from harness.measure.judge.wording import failure_words
from harness.measure.result import Case, RunResult
from reports import labels
from reports.drawing.draw import Drawing
from reports.formats import _facts, _tokens
from reports.formats._capacity import capacity_section
from reports.formats._sweep import sweep_section
from reports.wording import badge_words, pace_words, partial_words, target_notes

SUFFIX = "md"
CHARTS = True
# Characters. A step summary may have a megabyte, a comment 64 kB.
SIZE_MAX = 60_000
CAUSES_MAX = 8


def escaped(text: str) -> str:
    """Text from outside as plain text: no markup, no HTML, no new column."""
    text = labels.printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|!~])", r"\\\1", text)


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """The report, with `drawings` linked as charts/NAME.png."""
    _, sign, name, meaning = badge_words(result)
    parts = [f"# {sign} {name}: {meaning}" if not slo.failed(result.cases) else f"# {sign} {name} ({meaning})"]
    parts += ["\n".join(f"- {escaped(line)}" for line in slo.failed(result.cases)), escaped(result.headline)]
    if not slo.failed(result.cases) and not result.headline.startswith(held := slo.outcome(result.cases)):
        parts.append(f"**{escaped(held)}**")
    parts.append("\n".join(f"- {escaped(finding)}" for finding in result.findings))
    parts.append(escaped(precision.words(result.precision)) if result.precision is not None else "")
    parts.append("\n".join(_reasons(result)))
    parts.append(escaped(partial_words(result)))
    parts.append("\n".join(f"*Server: {escaped(note)}.*" for note in target_notes(result)))
    if result.simulated:
        parts.append("*Simulated in virtual time: no network and no real server took part.*")
    if labels.is_mixed(result.cases) and result.capacity is None:
        parts.append(labels.NOT_COMPARABLE)
    lengths = _grid("Lengths of prompts and answers", _facts.PROMPTS, _facts.prompts(result))
    if result.sweep is not None:
        parts += [sweep_section(result.sweep, escaped), _charts(drawings), lengths, _measured(result)]
        return _within_size("\n\n".join(part for part in parts if part) + "\n")
    if result.capacity is not None:
        parts += [capacity_section(result.capacity, escaped), _charts(drawings), lengths, _measured(result)]
        return _within_size("\n\n".join(part for part in parts if part) + "\n")
    parts.append(_table(result.cases))
    parts.append(_grid(escaped(_facts.against_title(result)), comparison_words.HEADS, _facts.against(result)))
    parts.append("\n".join(f"- {escaped(line)}" for line in _facts.noise(result)))
    names = labels.case_labels(result.cases)
    parts.append(_traces(result, names))
    parts += [
        _pace(result),
        _of_tokens(result),
        _charts(drawings),
        _failures(result),
        _outcomes(result, names),
        _turns(result),
        _steps(result),
    ]
    parts.append(lengths)
    parts += [_layers(result), _limits(result, names), _over_time(result, names), _why(result, names)]
    parts.append(_measured(result))
    return _within_size("\n\n".join(part for part in parts if part) + "\n")


def _within_size(text: str) -> str:
    return text if len(text) <= SIZE_MAX else text[: text.rindex("\n", 0, SIZE_MAX)] + "\n\n(cut: see report.html)\n"


def _reasons(result: RunResult) -> list[str]:
    reasons = result.verdict.reasons
    return [f"- {f'**{escaped(r.case)}**: ' if r.case else ''}{escaped(r.text)}" for r in reasons]


def _table(cases: list[Case]) -> str:
    heads = ["strategy", *(head for head, _, _ in _facts.COLUMNS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * len(_facts.COLUMNS) + "|"]
    lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in _facts.table(cases)]
    return "\n".join(lines)


def _grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table below a heading; empty without rows."""
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    head = [f"## {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*head, *lines]) if lines else ""


def _traces(result: RunResult, names: list[str]) -> str:
    """The replayed trace, and its instants."""
    named = zip(names, result.cases, strict=True)
    lines = [f"- **{escaped(name)}**: {escaped('; '.join(trace_lines(case)))}" for name, case in named if case.trace]
    return "\n".join(["## Trace", "", *lines]) if lines else ""


def _pace(result: RunResult) -> str:
    return _grid("What set the pace", _facts.PACE, _facts.pace(result.cases))


def _failures(result: RunResult) -> str:
    return _grid("Failures", _facts.FAILURES, _facts.failures(result.cases))


def _steps(result: RunResult) -> str:
    return _grid("Steps of the load", _facts.STEPS, _facts.step_rows(result.cases))


def _of_tokens(result: RunResult) -> str:
    return "\n\n".join(filter(None, (_grid(*table) for table in _tokens.tables(result.cases))))


def _turns(result: RunResult) -> str:
    words = [
        (name, session_words(case)) for name, case in zip(labels.case_labels(result.cases), result.cases, strict=True)
    ]
    lines = [f"- **{escaped(name)}**: {escaped(said)}" for name, said in words if said]
    return "\n\n".join(filter(None, [_grid("By turn", _facts.TURNS, _facts.turn_rows(result.cases)), "\n".join(lines)]))


def _why(result: RunResult, names: list[str]) -> str:
    """The limiting factor of each case in full."""
    lines = [f"- **{escaped(n)}**: {escaped(pace_words(c))}" for n, c in zip(names, result.cases, strict=True)]
    text = "\n".join(lines)
    return f"<details><summary>How the limit of each case was found</summary>\n\n{text}\n\n</details>"


def _charts(drawings: Sequence[Drawing]) -> str:
    links = [f"![{escaped(d.title)}: {escaped(d.words)}](charts/{d.name}.png)" for d in drawings if d.png]
    return "\n\n".join(["## Charts", *links]) if links else ""


def _outcomes(result: RunResult, names: list[str]) -> str:
    lines = ["## Outcomes", ""]
    for name, case in zip(names, result.cases, strict=True):
        found = ", ".join(f"{number} {words}" for words, number in _facts.outcomes(case)) or "nothing"
        checks = "".join(f"; SLO {escaped(slo.describe(check))}" for check in case.slo)
        checks += f"; failed: {escaped(failure_words(case))}" if case.failures else ""
        warnings = "".join(f"; {warning}" for warning in [*case.warnings, *token_notes(case)])
        of = units.count(case.counts.scheduled)
        lines.append(f"- **{escaped(name)}**: {found} of {of} scheduled{checks}{escaped(warnings)}")
    return "\n".join(lines)


def _layers(result: RunResult) -> str:
    """A table of the layers' counters."""
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in _facts.layers(result.cases)]
    head = ["## Figures of the layers", "", "| strategy | layer | figures |", "|---|---|---|"]
    return "\n".join([*head, *lines]) if lines else ""


def _limits(result: RunResult, names: list[str]) -> str:
    """A table of the causes of limit changes, with counts."""
    lines = [
        f"| {escaped(name)} | {escaped(text_of(cause))} | {units.count(number)} |"
        for name, case in zip(names, result.cases, strict=True)
        if case.limit is not None
        for cause, number in list(case.limit.causes.items())[:CAUSES_MAX]
    ]
    head = ["## Causes of limit changes", "", "| strategy | cause | times |", "|---|---|---:|"]
    return "\n".join([*head, *lines]) if lines else ""


def _over_time(result: RunResult, names: list[str]) -> str:
    width = max((len(name) for name in names), default=0)
    lines = [
        f"{name:<{width}}  {spark}"
        for name, case in zip(names, result.cases, strict=True)
        if (spark := _facts.sparkline(case))
    ]
    body = "\n".join(lines).replace("```", "'''")
    return f"## Successes per second over time\n\n```\n{body}\n```" if lines else ""


def _measured(result: RunResult) -> str:
    rows = "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in _facts.how_measured(result))
    return f"<details><summary>How it was measured</summary>\n\n{rows}\n\n</details>"
