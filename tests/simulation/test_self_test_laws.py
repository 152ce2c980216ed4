"""In virtual time, where client and mock cost nothing, a self-test measures exactly what it injects."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import plugins
from harness.experiment.self_test.error_table import Level, Planned, cells
from harness.experiment.self_test.laws import Injected, Law, injected
from harness.experiment.self_test.playing import spec_of
from harness.experiment.simulate.case import play
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.measure.judge.self_test_words import LEFT_OUT
from harness.measure.record.plan import Measured
from harness.measure.reduce.summary import observe
from harness.measure.result import Case, Distribution

LAWS = injected()
CELLS = cells((Level(1, 0.01, 300), Level(10, 0.1, 300)))
LEAST_IN_FLIGHT = {"adaptive": 0.4, "batches": 0.6}
"""As a share of the number asked for: `adaptive` seeks its own, `batches` waits for the slowest of a chunk."""


def played(of: Injected, folder: Path) -> Case:
    """The case of a law, in virtual time."""
    (folder / "records").mkdir()
    (folder / "profile.toml").write_text(of.profile)
    spec = spec_of("law", of)
    play(spec.trial("simulated:", folder / "records"), SimulatedServer(folder / "profile.toml", None))
    case = observe(spec, folder, Measured(), [], 0).case
    assert case is not None
    return case


def assert_exact(law: Law, case: Case) -> None:
    """To a microsecond."""
    figure: Distribution = getattr(case, law.figure)
    assert figure.p50.value == pytest.approx(law.p50_s, abs=1e-6)
    assert figure.p99.value == pytest.approx(law.p99_s, abs=1e-6)


@pytest.mark.parametrize("of", LAWS, ids=[law.laws[0].name for law in LAWS])
def test_each_law_is_measured_as_it_is_injected(of: Injected, tmp_path: Path) -> None:
    """p50 and p99 of every figure; the draws of a random law are the mock's."""
    case = played(of, tmp_path)
    assert case.counts.ok == of.items
    for law in of.laws:
        assert_exact(law, case)


@pytest.mark.parametrize("planned", CELLS, ids=[f"{cell.name}-{cell.level.in_flight}" for cell in CELLS])
def test_each_cell_of_the_error_table_is_measured_as_it_is_injected(planned: Planned, tmp_path: Path) -> None:
    """Every strategy that sends requests, with as many in flight as asked for."""
    case = played(planned.injected, tmp_path)
    assert_exact(planned.injected.laws[0], case)
    assert case.in_flight.mean is not None
    least = LEAST_IN_FLIGHT.get(planned.name, 0.8)
    assert least * planned.level.in_flight < case.in_flight.mean <= 1.05 * planned.level.in_flight


def test_the_table_has_every_strategy() -> None:
    """A new one must be added to it, or left out for a reason."""
    assert set(plugins.names("strategy")) - {cell.name for cell in cells()} == set(LEFT_OUT)
