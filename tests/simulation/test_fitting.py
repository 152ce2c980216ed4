"""Known parameters are found again, changed servers are refuted, and servers that cannot be fitted are refused.

Whole tables: `python -m tests.bench.fit_recovery` and `python -m tests.bench.verify_changes`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.fitting import candidates
from harness.fitting.calibration import CalibrationPlan
from harness.fitting.candidates import Scales, Search
from harness.fitting.estimates import fit
from harness.fitting.fit_words import as_data
from harness.fitting.fitted_parameters import NotFitted
from harness.fitting.fitter import FitSettings, Fitted, fit_server
from harness.fitting.written_parameters import parameters
from mock_server.proof import digest
from tests.bench.fit_recovery import KINDS, calibrated, misses

SHORT = CalibrationPlan(idle_s=6.0, level_s=4.0, items=400)


@pytest.mark.parametrize(
    "name",
    [
        "batching with linger",
        "queue bound with 429",
        "batches behind a queue",
        "large batches",
        "rate limit",
        "language model",
    ],
)
def test_known_parameters_are_found_again(name: str, tmp_path: Path) -> None:
    kind = replace(KINDS[name], plan=SHORT)
    # A coefficient of variation needs more requests than these.
    kind = replace(kind, truth={key: value for key, value in kind.truth.items() if not key.endswith("cv")})
    assert misses(kind, fit(calibrated(kind, 3, tmp_path), 1e-6)) == {}


def test_a_batch_that_left_nothing_waiting_bounds_its_size_from_below(tmp_path: Path) -> None:
    """511 of a burst of 512 are answered together: more might be."""
    kind = replace(KINDS["large batches"], plan=SHORT)
    kind = replace(kind, toml=kind.toml.replace("256", "1024"))
    found = fit(calibrated(kind, 3, tmp_path), 1e-6)
    (most,) = [one for one in found.estimates if one.name == "batch_max_items"]
    assert most.value == 511
    assert most.note == "bounded below: no batch of 511 left others waiting"


def test_a_limit_of_requests_in_flight_is_no_number_of_workers(tmp_path: Path) -> None:
    """The server reports 20 batches at once, and none that left others waiting."""
    found = fitted("[service]\nbase_s = 0.05\n[limits]\nin_flight = 20\nstatus = 503\n", tmp_path, 20.0)
    assert not found.refused
    assert found.profile.capacity.workers == 0
    assert found.profile.limits.in_flight == 20
    assert found.profile.limits.status == 503
    known = {one.name: one.determined for one in found.fit.estimates}
    assert (known["workers"], known["in_flight"]) == (False, True)


TWO_WORKERS = '[service]\nbase_s = 0.010\n[service.jitter]\nkind = "lognormal"\ncv = 0.2\n[capacity]\nworkers = 2\n'


def fitted(toml: str, tmp_path: Path, time_s: float = 25.0) -> Fitted:
    (tmp_path / "server.toml").write_text(toml)
    wanted = FitSettings(
        out=tmp_path / "my.toml", server=str(tmp_path / "server.toml"), records=tmp_path / "records", time_s=time_s
    )
    return fit_server(wanted, lambda text: None, simulated=True)


def test_a_server_that_counts_tokens_in_another_way_is_played_with_its_own_lengths(tmp_path: Path) -> None:
    """Half a token for a word, as for the longer text of a pair: batches are padded where the server pads them."""
    server = "[service]\nbase_s = 0.01\nper_token_s = 0.0005\n[capacity]\nworkers = 1\nbatch_max_items = 8\n"
    found = fitted(server + "[tokens]\nper_word = 0.5\nspecial = 3.0\n", tmp_path)
    assert not found.refused
    assert found.profile.tokens.per_word == pytest.approx(0.5, rel=0.02)
    assert found.profile.tokens.special == pytest.approx(3.0, abs=0.5)
    assert found.profile.capacity.pad_multiple == 16
    assert found.profile.service.per_token_s == pytest.approx(0.0005, rel=0.02)
    assert found.loss < 0.01


@pytest.mark.no_cover
def test_a_refined_fit_reports_and_proves_the_parameters_that_its_profile_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "GOOD", -1.0)
    monkeypatch.setattr(Search, "refined", lambda self, found: Scales(service=1.05, jitter=0.5).applied(found))
    found = fitted(TWO_WORKERS, tmp_path, 20.0)
    played = parameters(found.profile)
    assert played["base_s"] == pytest.approx(0.0105, rel=0.03)
    assert played["cv"] == pytest.approx(0.1, rel=0.2)
    said = found.profile.proof["parameters"]
    assert {name: value[0] if isinstance(value, list) else value for name, value in said.items()} == {
        name: played[name] for name in said
    }
    assert {"base_s", "cv", "workers"} <= said.keys()
    shown = {one["name"]: one["value"] for one in as_data(found)["parameters"] if one["determined"]}
    assert shown == {name: played[name] for name in shown}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("[[changes]]\nat_s = 0.7\nworkers = 5\n", "no set of parameters explains all loads"),
        ("[[pauses]]\nstart_s = 0.6\nend_s = 1.0\n", "it stopped at times: it answered nothing for up to 4"),
        ("[[pauses]]\nstart_s = 0.2\nend_s = 0.27\nperiod_s = 0.5\n", "it stopped at times"),
    ],
    ids=["autoscaling", "a stall", "short pauses"],
)
def test_a_server_that_changes_is_refused_and_not_fitted_quietly(more: str, why: str, tmp_path: Path) -> None:
    assert why in "; ".join(fitted(TWO_WORKERS + more, tmp_path).refused)


def test_a_server_whose_answers_fail_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFitted, match=r"of the requests of the load '.*' failed"):
        fitted(TWO_WORKERS + '[[faults]]\nkind = "status"\nstatus = 500\nprobability = 0.2\n', tmp_path, 20.0)


def test_a_server_that_refuses_everything_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFitted, match=r"100 % of the requests of the load 'idle.*' were refused, and 0 answered"):
        fitted(TWO_WORKERS + '[[faults]]\nkind = "status"\nstatus = 503\ndelay_s = 0.05\n', tmp_path, 20.0)


@pytest.mark.no_cover
def test_the_same_seed_gives_the_same_profile(tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        found.append(fitted("[service]\nbase_s = 0.02\n[capacity]\nworkers = 2\n", tmp_path / name, 20.0).profile)
    assert digest(found[0]) == digest(found[1])


@pytest.mark.no_cover
def test_what_the_user_knows_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text(TWO_WORKERS)
    wanted = FitSettings(
        out=tmp_path / "my.toml", server=str(tmp_path / "server.toml"), records=tmp_path / "records", time_s=20.0,
        workers=3, batch_items=1,
    )  # fmt: skip
    found = fit_server(wanted, lambda text: None, simulated=True)
    assert found.profile.capacity.workers == 3
    # And it does not explain the server.
    assert found.refused
