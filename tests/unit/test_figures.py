"""Figures of layers: sums over processes, ratios of these sums, bounds, and a user's own layer that is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.client.figures import FAULT_MAX, FIGURES_MAX, LayerCounts, Ratio, counts_of, summed
from harness.measure.judge.verdict import exit_code
from harness.measure.record.plan import write_plan
from harness.measure.reduce.layer_figures import figures
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RunResult
from tests.measure_samples import finished, leave, plan, plan_case, request_rows, whole_end

HITS = Ratio("hit_share", "hits", ("hits", "misses"))
HIGH = Ratio("false_share_high", "false", ("checked",), upper=True)


def run_of(folder: Path, *parts: Sequence[LayerCounts]) -> RunResult:
    """A whole run of as many processes as there are parts, each with what its layers counted."""
    write_plan(plan(plan_case(processes=len(parts))), folder)
    for number, layers in enumerate(parts[:-1]):
        rows = request_rows(100, first=100 * number)
        leave(folder, rows, process=number, end=whole_end(rows, layers=list(layers)))
    rows = request_rows(100, first=100 * (len(parts) - 1))
    finished(
        folder, rows, seen=100 * len(parts), planned=plan_case(processes=len(parts)), process=len(parts) - 1,
        end=whole_end(rows, layers=list(parts[-1])),
    )  # fmt: skip
    return summarize_run(folder)


def test_processes_add_up_and_ratios_are_of_the_sums(tmp_path: Path) -> None:
    """90 of 100 and 0 of 300 hits: 22.5 %, not the mean of 90 % and 0 %. 1 of 20 false: at most 21.61 %."""
    result = run_of(
        tmp_path,
        [LayerCounts("cache", {"hits": 90, "misses": 10, "false": 1, "checked": 5}, [HITS, HIGH])],
        [LayerCounts("cache", {"hits": 0, "misses": 300, "checked": 15}, [HITS, HIGH]), LayerCounts("own", {"n": 2})],
    )
    cache, own = result.cases[0].layer_figures
    assert cache.figures == {"hits": 90, "misses": 310, "false": 1, "checked": 20}
    assert cache.ratios == {"hit_share": 0.225, "false_share_high": pytest.approx(0.2161061642, abs=1e-9)}
    assert (own.name, own.figures, own.ratios) == ("own", {"n": 2}, {})
    assert result.verdict.status == "valid"
    assert result.verdict.reasons == []


def test_a_fault_is_a_reason_that_leaves_the_run_valid(tmp_path: Path) -> None:
    """Said once, however many processes had it; the exit code stays 0."""
    fault = LayerCounts("cache", {"hits": 0}, faults=["its file failed"])
    result = run_of(tmp_path, [fault], [fault])
    assert [(one.code, one.text) for one in result.verdict.reasons] == [
        ("layer_fault", "The layer cache did not do all of its work: its file failed.")
    ]
    assert result.verdict.status == "valid"
    assert exit_code(result) == 0


@pytest.mark.parametrize(("false", "checked", "high"), [(0, 20, 1 - 0.05**0.05), (3, 50, 0.1478371763), (2, 2, 1.0)])
def test_an_upper_bound_is_clopper_and_pearsons(false: int, checked: int, high: float) -> None:
    """One-sided, 95 %; of 0 of n it is 1 - 0.05^(1/n)."""
    assert HIGH.value({"false": false, "checked": checked}) == pytest.approx(high, abs=1e-9)


class Own:
    """A layer of the user's own, whose members are those given."""

    def __init__(self, **members: Any) -> None:
        self.__dict__.update(members)


def read(**members: Any) -> LayerCounts:
    return counts_of([("own", Own(**members))])[0]


def test_a_layer_of_ones_own_has_figures_ratios_and_faults() -> None:
    """Two of one name are one; those without figures are left out."""
    ratio = Ratio("long_share", "long", ("seen",))
    one = Own(figures=lambda: {"seen": 3, "long": 1, "waited_s": 0.5}, ratios=(ratio,), faults=lambda: ["slow\ndisk"])
    other = Own(figures=lambda: {"seen": 1, "long": 0}, ratios=(ratio,), faults=lambda: "slow disk")
    [counted] = counts_of([("own", one), ("retired", Own()), ("own", other)])
    assert counted == LayerCounts("own", {"seen": 4, "long": 1, "waited_s": 0.5}, [ratio], ["slow disk"])
    assert figures([counted])[0].ratios == {"long_share": 0.25}


def test_a_layer_whose_figures_raise_is_named_and_nothing_else_is_lost() -> None:
    """Neither its neighbours nor the end of the case."""

    def broken() -> dict[str, int]:
        raise ZeroDivisionError("oops")

    bad, good = counts_of([("bad", Own(figures=broken)), ("good", Own(figures=lambda: {"n": 1}))])
    assert bad == LayerCounts("bad", faults=["its figures cannot be read: ZeroDivisionError: oops"])
    assert good == LayerCounts("good", {"n": 1})


@pytest.mark.parametrize("odd", ["text", None, math.nan, math.inf, True, [1]])
def test_what_is_no_number_is_named_and_left_out(odd: object) -> None:
    """The other figures stand."""
    counted = read(figures=lambda: {"n": 1, "odd": odd})
    assert counted.figures == {"n": 1}
    assert counted.faults == ["its figures hold something other than a number: odd"]


@pytest.mark.parametrize(
    "members",
    [
        {"figures": lambda: 5},
        {"figures": lambda: {"n": 10**400}},
        {"figures": dict, "ratios": [5]},
        {"figures": dict, "faults": lambda: 5},
    ],
)
def test_members_of_another_kind_are_a_fault(members: dict[str, Any]) -> None:
    """In one line that says so."""
    [fault] = read(**members).faults
    assert fault.startswith("its figures cannot be read: ")


def test_what_a_layer_says_is_bounded() -> None:
    """In number and in length."""
    counted = read(figures=lambda: {str(n): n for n in range(1000)}, faults=lambda: ["x" * 10_000] * 1000)
    assert len(counted.figures) == FIGURES_MAX
    [fault] = summed([counted])[0].faults
    assert len(fault) <= FAULT_MAX + 1
