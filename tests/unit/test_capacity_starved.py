"""A capacity search whose client was starved: a spoiled trial is played again, and never makes a bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.experiment.capacity import CapacityOrder, CapacitySettings, prepare_capacity
from harness.experiment.run import opened
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.spec import CaseSpec
from harness.measure.capacity_result import CapacityPlan, Probe
from harness.measure.judge.capacity.search import Ask
from harness.measure.judge.capacity.wording import probe_words
from harness.measure.judge.verdict import verdict
from harness.measure.reduce.capacity_probes import fault_of, tolerated_s
from harness.measure.reduce.summary import Observed
from harness.measure.result import Case, Reason, Verdict
from tests.unit.test_measure_starved import waiting
from tests.unit.test_measure_verdict import SOUND, case

SERVER = "# Two workers of 20 ms: 100/s.\n[service]\nbase_s = 0.02\n[capacity]\nworkers = 2\nqueue_max = 1000\n"
STARVED = Verdict("invalid", [Reason("client_starved", "The client was starved of its processor.", "rate 80/s")])


def plan(slo: str) -> CapacityPlan:
    return CapacityPlan([slo], ["rate"])


def fault(of: Case, slo: str = "p99<500ms", given_s: float | None = None, lag_s: float = 0.0) -> str:
    """The fault of a trial with this case and this lag."""
    asked = plan(slo)
    proof = msgspec.structs.replace(SOUND, lag=("p99", lag_s))
    return fault_of(Observed(of, verdict([of], [proof], (), False, tolerated_s(given_s, asked))), asked)


def test_the_slo_sets_the_tolerance_and_the_option_replaces_it() -> None:
    assert tolerated_s(None, plan("p99<500ms,errors<1%")) == pytest.approx(0.025)
    assert tolerated_s(None, plan("p99<4ms")) == 0.001
    assert tolerated_s(0.002, plan("p99<500ms")) == 0.002
    assert tolerated_s(None, plan("errors<1%")) is None


def test_lag_within_the_tolerance_is_no_fault_and_above_it_is_one() -> None:
    """20 ms of 500 ms are tolerated and 26 ms are not; at a median of 10 ms both would be too much by themselves."""
    assert fault(case("constant"), lag_s=0.020) == ""
    assert "fell behind schedule" in fault(case("constant"), lag_s=0.026)
    assert "fell behind schedule" in fault(case("constant"), lag_s=0.020, given_s=0.010)


def test_a_client_whose_own_time_is_above_the_tolerance_spoils_a_trial() -> None:
    """8 % of 400 ms are 32 ms, more than 5 % of the SLO; a share of errors is not touched by them."""
    late = waiting("constant", service_s=0.4, run_queue_share=0.08, run_queue_wait_s=0.02)
    assert "client's own time" in fault(late)
    assert fault(late, slo="p99<1s") == ""
    assert fault(late, slo="errors<1%") == ""


def test_a_starved_client_spoils_a_trial() -> None:
    assert "starved of its processor" in fault(waiting("constant", service_s=0.4, run_queue_share=0.3))


class Starves(CapacityOrder):
    """The first trials of a load are starved, each time that more are asked for."""

    starved = 0

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        seen = observe()
        bad = repeat < self.starved
        super().ended(case, repeat, lambda: Observed(seen.case, STARVED if bad else seen.verdict))


def probed(tmp_path: Path, load: float, starved: int) -> Probe:
    """A probe whose first trials are starved."""
    (tmp_path / "mine.toml").write_text(SERVER)
    settings = RunSettings(
        strategies=("queue-stream",),
        server=str(tmp_path / "mine.toml"),
        out=tmp_path / "run",
        simulated=True,
        calibrate=False,
    )
    wanted = CapacitySettings(slo=("p95<100ms",), by="rate", start=load, trial_s=2.0, warmup_s=0.2, confirm_s=0.0)
    run, plain = prepare_capacity(settings, wanted)
    order = Starves(run, plain._plan, plain._maker)
    order.starved = starved
    with opened(run, VirtualTime(run), lambda event, facts: None) as session:
        for one, repeat in order.trials("rate", Ask(load, 4, "bracket")):
            assert session.play(one, repeat, order)
    return order.probes()[0]


@pytest.mark.parametrize(("load", "state"), [(60.0, "passed"), (200.0, "failed")])
def test_spoiled_trials_are_played_again(tmp_path: Path, load: float, state: str) -> None:
    """Two of them, and then as many valid ones as were asked for (two in a row at saturation)."""
    found = probed(tmp_path, load, starved=2)
    assert found.trials_invalid == 2
    assert found.trials == (4 if state == "passed" else 2)
    assert found.states == [state]
    assert probe_words(found).endswith("; the last invalid trial: The client was starved of its processor")


@pytest.mark.no_cover
@pytest.mark.parametrize("load", [60.0, 200.0])
def test_a_load_with_spoiled_trials_only_is_no_bound(tmp_path: Path, load: float) -> None:
    """Not even where the server is far beyond its capacity."""
    found = probed(tmp_path, load, starved=99)
    assert (found.states, found.trials, found.trials_invalid) == (["invalid"], 0, 3)
    assert "starved" in found.reason
