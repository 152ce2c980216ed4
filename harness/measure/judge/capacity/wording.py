"""Probes and answers in words, for the terminal and the reports."""

from __future__ import annotations

from harness.base import units
from harness.measure.capacity_result import Capacity, CapacityPlan, CapacityResult, Figure, Probe
from harness.measure.judge.capacity.answers import QUANTITY, load_words
from harness.measure.judge.capacity.probes import GROWTH, figure_words

COLUMNS = ("load", "state", "trials", "requests", "completed", "figures")


def columns(by: str, found: CapacityResult) -> list[str]:
    """The heads of the table; with several tiers that of the states names what differs between them, in their order."""
    tiers = [answer.slo.split(", ") for answer in found.answers if answer.by == by]
    shared = set.intersection(*map(set, tiers)) if tiers else set[str]()
    own = [", ".join(part for part in tier if part not in shared) or ", ".join(tier) for tier in tiers]
    return [by, " / ".join(own) if len(own) > 1 else "state", *COLUMNS[2:]]


def plan_words(plan: CapacityPlan) -> str:
    """The expected length of the search, said before it begins."""
    trial = units.seconds(plan.warmup_s + plan.trial_s)
    confirmation = f", and a long run of {units.seconds(plan.confirm_s)} for each answer" if plan.confirm_s else ""
    return (
        f"{plan.trials} trials of about {trial} for each load{confirmation}; "
        f"at most {plan.probes_max} loads and {units.seconds(plan.budget_s)} of load; Ctrl-C keeps the findings"
    )


def probe_words(probe: Probe) -> str:
    """One line of progress: load, verdict so far, figures."""
    trials = "long run" if probe.confirmation else f"{probe.trials} trials"
    if probe.trials_invalid:
        trials += f", {probe.trials_invalid} invalid"
    why = probe.reason if set(probe.states) == {"invalid"} else "; ".join(map(figure_words, _of_slo(probe)))
    said = f"{load_words(probe.load)} {QUANTITY[probe.by]}: {state_words(probe)} ({trials}; {why})"
    return f"{said}; the last invalid trial: {cause(probe)}" if probe.fault and probe.trials else said


def cause(probe: Probe) -> str:
    """Why a trial was invalid, in one clause, without the remedy."""
    return probe.fault.split(". ")[0].removesuffix(".")


def state_words(probe: Probe) -> str:
    """The state; with several tiers, each tier's in order."""
    return " / ".join(probe.states)


def _of_slo(probe: Probe) -> list[Figure]:
    """The figures of the conditions, each once; the growth of the backlog only where it failed."""
    shown = [figure for figure in probe.figures if figure.condition != GROWTH or figure.state == "failed"]
    return list({figure_words(figure): figure for figure in shown}.values())


def row(probe: Probe) -> list[str]:
    """The cells of a probe under `COLUMNS`."""
    return [
        f"{load_words(probe.load)}{'/s' if probe.by == 'rate' else ''}{', long run' if probe.confirmation else ''}",
        state_words(probe),
        f"{probe.trials}" + (f" + {probe.trials_invalid} invalid" if probe.trials_invalid else ""),
        units.count(probe.requests),
        units.rate(probe.completed_per_s),
        probe.reason if set(probe.states) == {"invalid"} else "; ".join(map(figure_words, _of_slo(probe))),
    ]


def answer_lines(answer: Capacity) -> list[str]:
    """The answer, then its notes."""
    confirmed = "; confirmed by a long run" if answer.confirmed else ""
    return [f"by {answer.by}: {answer.text}{confirmed}", *(f"  {note}" for note in answer.notes)]
