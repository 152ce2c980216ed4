"""The verdict, the headline and the exit code of a capacity search. Pure.

Rules of this file
  1. Failures, unanswered requests and saturation at high loads are what the search looks for: no reason against it.
     Trials that were invalid are left out of the probes, so they are no reason either.
  2. The search is invalid if a decisive probe could not be measured or the records are damaged, and inconclusive if it
     ended before an interval was as narrow as asked for.
"""

from __future__ import annotations

from typing import Literal

from harness.base import units
from harness.measure.capacity_result import ENDED, Capacity, CapacityResult
from harness.measure.judge.capacity.answers import QUANTITY, breaches, brief, load_words, to_set
from harness.measure.judge.capacity.wording import cause
from harness.measure.result import Reason, RunResult, Verdict

OF_FILES = {"damaged", "write_error", "conservation", "layer_fault"}
"""Codes of single cases that count against the whole search."""


def capacity_verdict(found: CapacityResult, of_cases: Verdict) -> Verdict:
    """The verdict on the search, given the one on its cases."""
    reasons = [reason for reason in of_cases.reasons if reason.code in OF_FILES]
    for answer in found.answers:
        if answer.ended in {"unresolved", "budget", "stopped", "at_highest"}:
            reasons.append(Reason("capacity", _said(answer)))
        elif answer.ended == "invalid":
            reasons.append(Reason("capacity_invalid", f"{_said(answer)} {'; '.join(answer.notes)}".strip()))
    return Verdict(_status(reasons), reasons)


def _said(answer: Capacity) -> str:
    return f"By {answer.by}, for {answer.slo}: {ENDED[answer.ended]}."


def _status(reasons: list[Reason]) -> Literal["valid", "invalid", "inconclusive"]:
    from harness.measure.judge.codes import CODES

    found = {CODES[reason.code][0] for reason in reasons}
    return "invalid" if "invalid" in found else "inconclusive" if "inconclusive" in found else "valid"


def capacity_headline(found: CapacityResult, verdict: Verdict) -> str:
    """One short sentence for each quantity; the evidence is below it."""
    quantities = dict.fromkeys(answer.by for answer in found.answers)
    said = [f"By {by}: {'; '.join(brief(one) for one in found.answers if one.by == by)}." for by in quantities]
    trust = {"valid": "", "invalid": "Do not trust it: see the verdict."}
    return " ".join(filter(None, [*said, trust.get(verdict.status, "Not conclusive: see the verdict.")]))


def capacity_findings(found: CapacityResult) -> list[str]:
    """At most three: what to set, the evidence, and what was left out."""
    trials = sum(probe.trials for probe in found.probes if not probe.confirmation)
    loads = len([probe for probe in found.probes if not probe.confirmation])
    confirmed = [f"by {answer.by} for {answer.slo}" for answer in found.answers if answer.confirmed]
    evidence = f"{units.count(trials)} trials at {loads} loads, {units.seconds(found.seconds)} of load."
    if confirmed:
        evidence += f" A long run confirmed the lower bound {units.listing(confirmed)}."
    said = " ".join(filter(None, map(_advice, found.answers, breaches(found))))
    return [finding for finding in (said, evidence, _left_out(found)) if finding]


def _left_out(found: CapacityResult) -> str:
    """How many trials were invalid, and why the last one was."""
    spoiled = [probe for probe in found.probes if probe.trials_invalid]
    if not spoiled:
        return ""
    number = sum(probe.trials_invalid for probe in spoiled)
    trials, them = (f"{units.count(number)} trials were", "them") if number > 1 else ("One trial was", "it")
    latest = spoiled[-1]
    at = f"{load_words(latest.load)} {QUANTITY[latest.by]}"
    last = f" The last one, at {at}: {cause(latest)}." if latest.fault else ""
    return f"{trials} invalid and left out: no bound rests on {them}.{last}"


def _advice(answer: Capacity, breach: str) -> str:
    """What to set, with the figure that breaks the SLO above it."""
    what = to_set(answer)
    return f"{what} for {answer.slo}: {breach}." if what else ""


def capacity_exit_code(result: RunResult) -> int:
    """0 answered, 1 the SLO fails at the lowest load, 4 invalid, 5 an interval is wider than asked for."""
    assert result.capacity is not None  # noqa: S101 - the caller looked
    if result.verdict.status == "invalid":
        return 4
    if any(answer.ended == "fails" for answer in result.capacity.answers):
        return 1
    return 5 if result.verdict.status == "inconclusive" else 0
