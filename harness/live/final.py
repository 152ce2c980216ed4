"""The page at the end, from result.json or gate.json."""

from __future__ import annotations

from typing import Any

from harness.client.redaction import redact
from harness.live import words
from harness.live.page_state import VerdictState
from harness.measure.gate_result import Gate
from harness.measure.judge import slo
from harness.measure.result import Reason, RunResult


def reason_words(reason: Reason) -> str:
    """A reason of a verdict, with its case."""
    return redact(f"{reason.case}: {reason.text}" if reason.case else reason.text)


def of_result(result: RunResult) -> dict[str, Any]:
    """The same figures and words as the report."""
    cases = result.cases
    broken = slo.failed(cases)
    rows = [words.case_row(case, "result") for case in cases]
    status = result.verdict.status
    style = "failed" if broken and status != "invalid" else status
    reasons = [reason_words(one) for one in result.verdict.reasons]
    return {
        "verdict": VerdictState(style, status + (", SLO failed" if broken else ""), reasons),
        "headline": redact(result.headline),
        "findings": [
            *map(redact, result.findings),
            *(line for case in cases for line in words.slo_lines(case, case.name if len(cases) > 1 else "")),
            *(line for case in cases for line in words.failure_lines(case, case.name)),
        ],
        "tiles": words.tiles(cases[0]) if len(cases) == 1 else [],
        "tables": [
            words.cases_table(rows, "Result"),
            *words.outcomes_table([(case.name, case) for case in cases]),
        ],
    }


def of_gate(gate: Gate, sides: dict[str, RunResult]) -> dict[str, Any]:
    """The checks, and the figures of both sides."""
    cases = [(f"{side}: {case.name}", case) for side, result in sides.items() for case in result.cases]
    return {
        "verdict": VerdictState(
            gate.status, f"gate {gate.status}", [redact(line) for line in gate.reasons + gate.notes]
        ),
        "headline": redact(gate.text),
        "findings": [redact(f"{check.case}: {check.text}") for check in gate.checks],
        "tables": [
            words.cases_table([words.case_row(case, "result", name) for name, case in cases], "Result"),
            *words.outcomes_table(cases),
        ],
    }
