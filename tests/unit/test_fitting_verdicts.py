"""Rows and verdict of a verification."""

from __future__ import annotations

import pytest

from harness.fitting.load_figures import Figures
from harness.fitting.verdicts import LoadPair, rows, verdict
from harness.measure.verification_result import Verification
from reports.verification import NOTE, markdown


def _figures(rate: float = 100.0, p50: float = 0.010, p95: float = 0.020, refused: float = 0.0) -> Figures:
    return Figures(rate, p50, p95, None, None, None, None, refused, 1000)


def _pair(real: list[Figures], mock: list[Figures], share: float | None = 0.6, **scatter: float) -> LoadPair:
    return LoadPair("Poisson at 0.6", tuple(real), tuple(mock), share, scatter)


def test_an_equal_server_is_supported_and_refusals_that_never_came_are_bounded_below() -> None:
    found = rows(_pair([_figures()] * 2, [_figures()] * 2))
    assert {row.figure: row.status for row in found} == {
        "rate": "supported",
        "p50": "supported",
        "p95": "supported",
        "refused": "bounded below",
    }
    assert verdict(found, {"Poisson at 0.6"})[0] == "supported"


def test_an_error_above_tolerance_and_twice_the_floor_refutes() -> None:
    found = rows(_pair([_figures()] * 2, [_figures(p50=0.0108)] * 2))
    assert next(row for row in found if row.figure == "p50").status == "refuted"
    status, text = verdict(found, {"Poisson at 0.6"})
    assert status == "refuted"
    assert "p50 under Poisson at 0.6: +8.0 %" in text


def test_a_server_that_differs_from_itself_establishes_nothing() -> None:
    found = rows(_pair([_figures(p50=0.010), _figures(p50=0.0108)], [_figures(p50=0.0112)] * 2))
    row = next(row for row in found if row.figure == "p50")
    assert row.status == "not established"
    assert row.floor > row.tolerance
    assert verdict(found, {"Poisson at 0.6"})[0] == "not established"
    # Loads that are not decisive do not prevent a verdict.
    assert verdict(found, set())[0] == "supported"


def test_an_error_of_more_than_twice_a_large_floor_refutes_all_the_same() -> None:
    found = rows(_pair([_figures(p50=0.010), _figures(p50=0.0108)], [_figures(p50=0.020)] * 2))
    assert next(row for row in found if row.figure == "p50").status == "refuted"


def test_noise_within_the_runs_is_part_of_the_floor() -> None:
    (row,) = [row for row in rows(_pair([_figures()] * 2, [_figures(p50=0.0108)] * 2, p50=0.04)) if row.figure == "p50"]
    assert row.status == "not established"
    assert row.floor > 0.05


def test_near_the_capacity_latencies_are_not_refuted_but_their_sensitivity_is_given() -> None:
    found = rows(_pair([_figures()] * 2, [_figures(p50=0.02, rate=80)] * 2, share=0.95))
    by_name = {row.figure: row for row in found}
    assert by_name["p50"].status == "not established"
    assert by_name["p50"].sensitivity is not None
    assert abs(by_name["p50"].sensitivity - 20) < 1e-6
    assert by_name["rate"].status == "refuted"


@pytest.mark.parametrize(("share", "noted"), [(0.95, True), (0.8, False)])
def test_the_report_speaks_of_sensitivity_where_a_row_has_one(share: float, noted: bool) -> None:
    found = rows(_pair([_figures()] * 2, [_figures()] * 2, share=share))
    text = markdown(Verification(1, "my.toml", "0" * 64, "a server", "today", "supported", "", found, {}, 7, 100.0))
    assert (NOTE in text) == noted
    assert ("(x 20)" in text) == noted


def test_refusals_are_judged_in_points() -> None:
    found = rows(_pair([_figures(refused=0.50)] * 2, [_figures(refused=0.51)] * 2))
    assert next(row for row in found if row.figure == "refused").status == "supported"
    found = rows(_pair([_figures(refused=0.0)] * 2, [_figures(refused=0.1)] * 2))
    assert next(row for row in found if row.figure == "refused").status == "refuted"


DEAD = Figures(None, None, None, None, None, None, None, 0.0, 0)


def test_a_server_without_any_answer_is_not_supported() -> None:
    found = rows(LoadPair("Poisson at 0.6", (DEAD, DEAD), (_figures(), _figures()), 0.6, {}, invalid=True))
    assert {row.status for row in found} == {"not established"}
    assert {"rate", "p50", "p95"} <= {row.figure for row in found}
    status, text = verdict(found, {"Poisson at 0.6"})
    assert status == "not established"
    assert "answers/s under Poisson at 0.6" in text


def test_a_slow_load_without_a_p95_is_not_established() -> None:
    few = Figures(0.2, 0.01, None, None, None, None, None, 0.0, 10)
    found = rows(_pair([few, few], [few, few]))
    assert next(row for row in found if row.figure == "p95").status == "not established"
    status, text = verdict(found, {"Poisson at 0.6"})
    assert status == "not established"
    assert "Verify it for longer" in text


def test_an_invalid_load_establishes_nothing() -> None:
    found = rows(LoadPair("Poisson at 0.6", (_figures(),), (_figures(),), 0.6, {}, invalid=True))
    assert {row.status for row in found} == {"not established"}


def test_each_decisive_load_needs_a_supported_row() -> None:
    found = rows(_pair([_figures()] * 2, [_figures()] * 2))
    status, text = verdict(found, {"Poisson at 0.6", "Poisson at 0.8"})
    assert status == "not established"
    assert "Poisson at 0.8" in text
