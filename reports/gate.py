"""A gate as text, Markdown, a page and JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.gate_result import Gate, GateCheck, encode
from harness.measure.judge import comparison_words as words
from harness.measure.judge.gate_advice import advice
from harness.measure.judge.gate_checks import basis, limit_words
from reports import files
from reports.formats.markdown import escaped
from reports.junit import Check, Status, Suite, document

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing
    from reports.drawing.forest import Kind, Row
    from reports.judgement_page import Page

SIGNS = {"passed": "✔", "failed": "✖", "inconclusive": "?", "invalid": "✖"}
STYLES = {"passed": "valid", "failed": "invalid", "inconclusive": "inconclusive", "invalid": "invalid"}
JUNIT: dict[str, Status] = {"passed": "passed", "failed": "failure", "inconclusive": "skipped"}
HEADS = ("condition", "", "finding", "case")
FIGURE_HEADS = ("figure", "", "effect", "90 % interval", "limit", "baseline", "candidate", "from", "case")
TITLE = "Candidate against baseline"
ORDER = ("failed", "inconclusive", "passed")


def text(gate: Gate, written: Sequence[Path], brief: bool = False) -> str:
    """For a terminal: the checks by case, then what was played, then the verdict; only this if `brief`."""
    verdict = f"gate: {gate.status}. {gate.text}"
    if brief:
        return verdict + "\n"
    lines: list[str] = []
    for case in dict.fromkeys(check.case for check in gate.checks):
        lines.append(case)
        lines += [f"  {SIGNS[check.status]} {check.text}" for check in gate.checks if check.case == case]
    lines += [f"invalid: {reason}" for reason in gate.reasons] + [f"not whole: {note}" for note in gate.notes]
    lines += [f"differs: {one.label}: {one.before} -> {one.after}" for one in gate.changed]
    # The findings are listed above.
    if gate.status not in ("passed", "invalid"):
        verdict = f"gate: {gate.status}, {_share(gate)}"
    if gate.status == "invalid" and gate.reasons:
        verdict = "gate: invalid, for the reason above" if len(gate.reasons) == 1 else "gate: invalid, see above"
    lines += [played(gate), verdict, advice(gate), *(f"{_kind(path)}: {path}" for path in written)]
    return "\n".join(line for line in lines if line) + "\n"


def _share(gate: Gate) -> str:
    found = sum(check.status == gate.status for check in gate.checks)
    return f"{found} of {len(gate.checks)} checks" if found else gate.text


def _kind(path: Path) -> str:
    return "chart" if path.suffix == ".png" else "report" if path.name.startswith("report.") else "result"


def played(gate: Gate) -> str:
    """Number of pairs, limit and noise floor; empty if nothing was played."""
    if not gate.pairs:
        return ""
    number = f"{gate.pairs} pairs" if gate.paired else f"{gate.pairs} repeats, not paired with the baseline"
    more = f", and {gate.confirmation} to confirm a failure" if gate.confirmation else ""
    return f"{number}{more}; limit {units.share(gate.limit)}{_noise(gate)}"


def _noise(gate: Gate) -> str:
    if gate.noise_floor is None:
        return ""
    large = ", more than the limit" if gate.noise_floor > gate.limit else ""
    return f"; two repeats of the baseline differ by up to {units.share(gate.noise_floor)}{large}"


def tables(gate: Gate) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, headings and rows: the conditions, then the figures against the baseline. What failed comes first."""
    checks = sorted(gate.checks, key=lambda check: ORDER.index(check.status))
    figures = [one for one in checks if one.kind == "regression" and one.figure is not None]
    others = [one for one in checks if one not in figures]
    plain = [[f"{SIGNS[one.status]} {one.name}", one.status, one.text, one.case] for one in others]
    found = [("SLO and capacity", HEADS, plain), ("Against the baseline", FIGURE_HEADS, _figure_rows(figures, gate))]
    return [table for table in found if table[2]]


def _figure_rows(checks: Sequence[GateCheck], gate: Gate) -> list[list[str]]:
    return [
        [
            f"{SIGNS[check.status]} {words.label(figure)}",
            check.status,
            words.effect(figure),
            words.interval(figure) or units.NONE,
            limit_words(figure),
            words.value(figure, of_reference=True),
            words.value(figure),
            "; ".join(filter(None, [*basis(figure, gate.paired), check.remark])),
            check.case,
        ]
        for check in checks
        if (figure := check.figure) is not None
    ]


def markdown(gate: Gate, charts: Sequence[str] = ()) -> str:
    """The verdict first, then a row for each check, then the conditions. `charts` are links to pictures."""
    parts = [f"# {SIGNS[gate.status]} Gate {gate.status}", escaped(gate.text)]
    parts.append("\n".join(f"- {escaped(line)}" for line in [*gate.reasons, *gate.notes]))
    for title, heads, cells in tables(gate):
        body = ["| " + " | ".join(map(escaped, row)) + " |" for row in cells]
        parts.append("\n".join([f"## {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *body]))
    parts += [escaped(played(gate)), escaped(advice(gate)), *charts]
    changed = [f"- {escaped(one.label)}: {escaped(one.before)}, now {escaped(one.after)}" for one in gate.changed]
    parts.append("\n".join(["## What differs in the conditions", "", *changed]) if changed else "")
    return "\n\n".join(part for part in parts if part) + "\n"


SUFFIXES = {"html": "html", "markdown": "md", "junit": "junit.xml", "json": "json"}
"""Format -> suffix of its file."""


def write(
    gate: Gate, directory: Path, formats: Sequence[str] = ("html", "markdown"), charts: bool = True
) -> list[Path]:
    """Write report.SUFFIX in each format, and the chart. Raises OSError."""
    made = drawn(gate) if charts else []
    return files.write(directory, [(SUFFIXES[name], render(gate, directory, name, made)) for name in formats], made)


def render(gate: Gate, directory: Path, name: str, drawings: Sequence[Drawing] = ()) -> str | bytes:
    """The gate in one format."""
    if name == "html":
        from reports.judgement_page import render as page

        return page(_page(gate, directory, drawings))
    if name == "markdown":
        from reports.judgement_page import links

        return markdown(gate, links(drawings))
    return junit(gate) if name == "junit" else encode(gate)


def _page(gate: Gate, directory: Path, drawings: Sequence[Drawing]) -> Page:
    from reports.judgement_page import Page, grid

    changed = [[one.label, one.before, one.after] for one in gate.changed]
    return Page(
        title=f"gate of {gate.candidate} against {gate.baseline}",
        style=STYLES[gate.status],
        sign=SIGNS[gate.status],
        status=f"gate {gate.status}",
        headline=gate.text,
        lines=[line for line in (*gate.reasons, *gate.notes, played(gate), advice(gate)) if line],
        before=[one for table in tables(gate) for one in grid(*table)],
        after=grid("What differs in the conditions", ("", "baseline", "candidate"), changed),
        drawings=drawings,
        reports=[side for side in ("baseline", "candidate") if (directory / side / "report.html").is_file()],
    )


def drawn(gate: Gate, png: bool = True) -> list[Drawing]:
    """The forest chart, if a figure has an interval."""
    from reports.drawing.forest import HOW_GATE
    from reports.judgement_page import draw

    names: dict[Kind, str] = {"good": "passed", "bad": "failed", "unclear": "inconclusive"}
    return draw(TITLE, forest_rows(gate), names, HOW_GATE, png)


def forest_rows(gate: Gate) -> list[Row]:
    """The checks against the baseline that have a figure."""
    from reports.drawing.forest import Row

    kinds: dict[str, Kind] = {"passed": "good", "failed": "bad", "inconclusive": "unclear"}
    return [
        Row(check.case, check.figure, kinds[check.status], gate.noise_floor if check.kind == "regression" else None)
        for check in gate.checks
        if check.figure is not None and check.figure.effect is not None
    ]


def junit(gate: Gate) -> bytes:
    """One test case a check: failure, skipped if inconclusive; all are errors if the measurement is invalid."""
    cases: dict[str, list[Check]] = {}
    for check in gate.checks:
        status = "error" if gate.status == "invalid" else JUNIT[check.status]
        cases.setdefault(check.case, []).append(Check(check.name, status, check.text, check.kind))
    if gate.status == "invalid":
        cases.setdefault("measurement", []).append(Check("measurement is valid", "error", gate.text, "invalid"))
    elif gate.notes:
        cases.setdefault("measurement", []).append(Check("measurement is whole", "skipped", gate.notes[0], "partial"))
    properties = {"baseline": gate.baseline, "candidate": gate.candidate, "played": played(gate), "gate": gate.status}
    suites = [Suite(case, checks, properties) for case, checks in cases.items()]
    return document(suites, gate.started_at).encode()
