"""A gate as text, Markdown and JUnit XML. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from harness.base import units
from harness.measure.gate_result import Gate, GateCheck
from reports.formats.markdown import escaped

SIGNS = {"passed": "✔", "failed": "✖", "inconclusive": "?", "invalid": "✖"}
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(gate: Gate, directory: Path) -> str:
    """For a terminal: one line a check, then the verdict."""
    lines = [f"{SIGNS[check.status]} {check.case}: {check.text}" for check in gate.checks]
    lines += gate.reasons
    lines += [f"differs: {one.name}: {one.before} -> {one.after}" for one in gate.changed]
    return "\n".join([*lines, _played(gate), f"gate: {gate.status}. {gate.text}", f"result: {directory}"]) + "\n"


def _played(gate: Gate) -> str:
    number = f"{gate.pairs} pairs" if gate.paired else f"{gate.pairs} repeats, not paired with the baseline"
    more = f", and {gate.confirmation} to confirm a failure" if gate.confirmation else ""
    floor = "" if gate.noise_floor is None else f"; the baseline against itself: up to {units.share(gate.noise_floor)}"
    return f"{number}{more}; limit {units.share(gate.limit)}{floor}"


def markdown(gate: Gate) -> str:
    """The verdict first, then a row for each check."""
    cells = [(f"{SIGNS[one.status]} {one.status}", one.case, one.name, one.text) for one in gate.checks]
    rows = ["| " + " | ".join(map(escaped, row)) + " |" for row in cells]
    parts = [f"# {SIGNS[gate.status]} Gate {gate.status}", escaped(gate.text)]
    parts.append("\n".join(["| | case | check | finding |", "|---|---|---|---|", *rows]))
    parts += [f"- {escaped(reason)}" for reason in gate.reasons]
    parts += [f"- {escaped(one.name)} differs: {escaped(one.before)}, now {escaped(one.after)}" for one in gate.changed]
    return "\n\n".join([*parts, escaped(_played(gate))]) + "\n"


def junit(gate: Gate) -> bytes:
    """One test case a check: failed is a failure, inconclusive is skipped, an invalid measurement is an error."""
    cases = [_test(check) for check in gate.checks]
    invalid = gate.status == "invalid" or not gate.checks
    if invalid:
        cases.append(_element("measurement", "gate", "error", gate.text))
    failures = sum(check.status == "failed" for check in gate.checks)
    skipped = sum(check.status == "inconclusive" for check in gate.checks)
    head = (
        f'name="paceline gate" tests="{len(cases)}" failures="{failures}" errors="{int(invalid)}" skipped="{skipped}"'
    )
    properties = "".join(
        f"<property name={_quoted(name)} value={_quoted(value)}/>"
        for name, value in (("baseline", gate.baseline), ("candidate", gate.candidate), ("played", _played(gate)))
    )
    body = f"<testsuite {head}><properties>{properties}</properties>{''.join(cases)}</testsuite>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>{body}</testsuites>\n'.encode()


def _test(check: GateCheck) -> str:
    kind = {"failed": "failure", "inconclusive": "skipped"}.get(check.status, "")
    return _element(check.name, check.case, kind, check.text)


def _element(name: str, case: str, kind: str, said: str) -> str:
    inner = f"<{kind} message={_quoted(said)}/>" if kind else f"<system-out>{escape(_clean(said))}</system-out>"
    return f"<testcase classname={_quoted(case)} name={_quoted(name)}>{inner}</testcase>"


def _quoted(said: str) -> str:
    return quoteattr(_clean(said))


def _clean(said: str) -> str:
    return _FORBIDDEN.sub("?", said)
