"""The figures of a run while it is played, and its result at the end.

Rules of this file
  1. Figures come from the record files and from the status lines that the client processes send anyway.
  2. Repeats that have ended are judged as at the end (`summary.observe`), by the caller; the one that is played is
     judged by `verdict.so_far`. A sweep and a search judge their levels at the end.
  3. At the end everything shown comes from the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.base import units
from harness.client.errors import UsageError
from harness.client.redaction import one_line, redact
from harness.live import words
from harness.live.case_so_far import CaseSoFar
from harness.live.event_board import EventBoard
from harness.live.exposition import Family
from harness.live.final import of_gate, of_result
from harness.live.page_state import PageState, Row, Table, VerdictState
from harness.live.run_metrics import families
from harness.live.tail import TrialTail
from harness.measure.gate_result import Gate
from harness.measure.judge import slo
from harness.measure.judge.client_time import tolerance_s
from harness.measure.judge.verdict import so_far
from harness.measure.record.plan import Measured, Plan, read_measured, read_plan
from harness.measure.reduce.summary import Observed
from harness.measure.result import Case, Reason, RunResult, SloCheck, Verdict

Key = tuple[str, str]
"""Side of a gate ("" elsewhere) and name of a case."""


class RunBoard(EventBoard):
    """The board of a run, a sweep, a search or a gate."""

    def __init__(self, run: str, title: str, command: str) -> None:
        super().__init__(run, title, command)
        self._plans: dict[str, Plan] = {}
        self._measured: dict[str, Measured] = {}
        self._cases: dict[Key, CaseSoFar] = {}
        # Those that are not played at present, because making them takes time.
        self._resting: dict[Key, Case] = {}
        self._seen: dict[tuple[Key, int], Observed] = {}
        self._key: Key | None = None
        self._tail: TrialTail | None = None
        self._status: dict[str, Any] = {}
        self._expected: int | None = None
        self._result: RunResult | None = None
        self._gate: tuple[Gate, dict[str, RunResult]] | None = None
        self._calibrating = self._asked = False

    @property
    def stoppable(self) -> bool:
        """While the client is calibrated or a trial is played: in between, a stop could hit the making of a result."""
        return (self._calibrating or self._tail is not None) and not self._asked

    def _on_target(self, facts: dict[str, Any]) -> None:
        what = f"mock server {facts['profile']}" if facts["profile"] else "server"
        where = f"{what} at {facts['url']}" + (f" ({facts['note']})" if facts["note"] else "")
        self._line(where)

    def _on_calibrating(self, facts: dict[str, Any]) -> None:
        self._calibrating, self._said = True, one_line(f"calibrating the {facts['transport']} client")

    def _on_calibrated(self, facts: dict[str, Any]) -> None:
        self._calibrating = False
        if ceilings := facts["ceilings"]:
            found = ", ".join(f"{name} {units.rate(rate)}" for name, rate in sorted(ceilings.items()))
            self._line(f"client ceiling: {found}")

    def _on_case(self, facts: dict[str, Any]) -> None:
        self._begun = True
        side, records = facts.get("side", ""), Path(facts["records"])
        key = side, facts["name"]
        self._measured.setdefault(side, Measured())
        try:
            self._plans[side] = read_plan(records.parent)
            self._measured[side] = read_measured(records.parent)
        except UsageError as error:
            self._line(str(error))
        known = self._plans[side].cases if side in self._plans else []
        plan = next((case for case in known if case.name == facts["name"]), None)
        if plan is None:
            # What follows belongs to this case, and not to the one before.
            self._key, self._tail = None, None
            return
        so_far = self._cases.setdefault(key, CaseSoFar(plan))
        so_far.begin(facts["repeat"])
        self._resting.pop(key, None)
        self._tail = TrialTail(records, facts["name"], facts["repeat"])
        scheduled = plan.scheduled_in(facts["repeat"])
        self._key, self._status, self._expected = key, {}, facts["items"] or scheduled
        of = f" of {facts['repeats']}" if facts["repeats"] else ""
        repeat = f", repeat {facts['repeat'] + 1}{of}" if facts["repeats"] != 1 else ""
        self._phase, self._said = "playing", one_line(f"playing {_shown(key)}{repeat}")

    def _on_status(self, facts: dict[str, Any]) -> None:
        self._status = facts

    def _on_case_done(self, facts: dict[str, Any]) -> None:
        self.read()
        if self._key is None:
            return
        if facts.get("observed") is not None:
            self._seen[self._key, facts["repeat"]] = facts["observed"]
        done = self._cases[self._key]
        failed = done.rows - done.ok
        self._line(f"{_shown(self._key)}: {units.count(done.ok)} ok" + (f", {failed:,} failed" if failed else ""))
        self._resting[self._key] = done.case(self._measured[self._key[0]])
        self._tail = None
        self._said = "between two trials, or computing the result"

    def _on_search(self, facts: dict[str, Any]) -> None:
        self._line(f"capacity: {facts['text']}")

    def _on_probe(self, facts: dict[str, Any]) -> None:
        self._line(f"probe {facts['number']}: {facts['text']}")

    def _on_stop_asked(self, facts: dict[str, Any]) -> None:
        self._asked = True
        self._said = "stopping: requests in flight are drained"
        self._line("stopped from this page")

    def _on_reporting(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "ending", "drawing the report"

    def _on_result(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "ending", "the result is there"
        self._result = facts["result"]

    def _on_gate(self, facts: dict[str, Any]) -> None:
        self._phase, self._said = "ending", "the gate is decided"
        self._gate = facts["gate"], facts["sides"]

    def read(self) -> None:
        """Read the rows that the client processes have written."""
        if self._tail is None or self._key is None:
            return
        case = self._cases[self._key]
        for fresh in self._tail.read():
            case.add(fresh)
        case.series.settle()

    # The shown state.

    def state(self) -> PageState:
        """The result if it is there, else the figures so far."""
        return PageState(**self._common(), **(self._final() or self._so_far()))

    def _so_far(self) -> dict[str, Any]:
        cases = {key: self._resting.get(key) or case.case(self._measured[key[0]]) for key, case in self._cases.items()}
        more: dict[str, Any] = {"verdict": self._verdict(cases), "tables": self._tables(cases)}
        if self._key is not None:
            case, playing = cases[self._key], self._cases[self._key]
            points = list(playing.series.points)
            more["tiles"] = words.tiles(case, points, running=self._tail is not None)
            more["charts"] = words.charts(points, words.is_backlog(case))
            more["seconds"] = [point.t_s for point in points]
            more["share"] = self._share(playing) if self._tail is not None else None
            more["findings"] = [f"so far: {slo.describe(one)}" for one in self._slo(case)]
        return more

    def _share(self, playing: CaseSoFar) -> float | None:
        """How much of the trial is played; by its time if that ends it."""
        plan, done = playing.plan, float(self._status.get("done") or 0)
        if plan.stop_s is not None:
            return min(1.0, float(self._status.get("t_s") or 0.0) / plan.stop_s)
        return min(1.0, done / self._expected) if self._expected else None

    def _slo(self, case: Case) -> list[SloCheck]:
        """The conditions that have a figure. A sweep and a search ask for levels that fail them."""
        plan = self._plan
        if plan is None or not plan.slo or plan.sweep is not None or plan.capacity is not None:
            return []
        return [one for one in slo.check(slo.parse(plan.slo), case) if one.value is not None]

    @property
    def _plan(self) -> Plan | None:
        return None if self._key is None else self._plans.get(self._key[0])

    def _verdict(self, cases: dict[Key, Case]) -> VerdictState:
        plan = self._plan
        if plan is None or self._key is None:
            return VerdictState("none", "nothing was measured yet")
        reasons = {
            (key, reason.code): reason for (key, _), seen in self._seen.items() for reason in seen.verdict.reasons
        }
        statuses = {one.verdict.status for one in self._seen.values()}
        if self._tail is not None and (now := self._judged_now(plan, cases[self._key])) is not None:
            statuses.add(now.status)
            reasons |= {(self._key, reason.code): reason for reason in now.reasons}
        texts = [redact(f"{_shown(key)}: {reason.text}") for (key, _), reason in reasons.items()]
        if plan.sweep is not None or plan.capacity is not None:
            return VerdictState("none", "judged at the end, over all levels", texts)
        status = next((one for one in ("invalid", "inconclusive", "valid") if one in statuses), None)
        if status is None:
            return VerdictState("none", "nothing was measured yet")
        fails = any(not one.passed for one in self._slo(cases[self._key]))
        style = "failed" if fails and status != "invalid" else status
        return VerdictState(style, f"{status} so far" + (", SLO fails" if fails else ""), texts)

    def _judged_now(self, plan: Plan, case: Case) -> Verdict | None:
        """The verdict on the case that is played at present; None before anything ended."""
        assert self._key is not None  # noqa: S101 - something is played
        if not case.counts.scheduled:
            return None
        if not case.counts.ok:
            text = f"No success among {case.counts.scheduled:,} items so far."
            return Verdict("invalid", [Reason("no_data", text, case.name)])
        conditions = slo.parse(plan.slo) if plan.slo else []
        tolerated_s = tolerance_s(plan.lag_tolerance_s, conditions)
        proof = self._cases[self._key].evidence(self._measured[self._key[0]].cores)
        return so_far(case, proof, slo.sets_errors(conditions), tolerated_s)

    def _tables(self, cases: dict[Key, Case]) -> list[Table]:
        rows: list[Row] = []
        for key in self._planned():
            if key not in cases:
                rows.append(words.waiting_row(_shown(key)))
                continue
            state = "running" if key == self._key and self._tail is not None else "played"
            rows.append(words.case_row(cases[key], state, _shown(key)))
        title = "Cases so far, warm-up included; percentiles to 1 %"
        named = [(_shown(key), case) for key, case in cases.items()]
        return [words.cases_table(rows, title), *words.outcomes_table(named)] if rows else []

    def _planned(self) -> list[Key]:
        """All cases in the order of the plan; a search adds to it."""
        planned = [(side, case.name) for side, plan in self._plans.items() for case in plan.cases]
        return planned + [key for key in self._cases if key not in planned]

    def _final(self) -> dict[str, Any] | None:
        if self._gate is not None:
            return of_gate(*self._gate)
        return None if self._result is None else of_result(self._result)

    def families(self) -> Iterable[Family]:
        """The metrics of all cases."""
        status = "none" if self._result is None else self._result.verdict.status
        phases = {"phase": self._phase, "verdict": status}
        flight = float(self._status.get("in_flight") or 0.0) if self._tail is not None else 0.0
        named = {_shown(key): case for key, case in self._cases.items()}
        return families(named, _shown(self._key) if self._key is not None else None, flight, phases)


def _shown(key: Key) -> str:
    side, name = key
    return f"{side}: {name}" if side else name
