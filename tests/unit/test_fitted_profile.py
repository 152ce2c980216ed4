"""The file of a fitted profile, and what its proof says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.list import entries
from harness.fitting.profile_file import toml_of, with_proof, write
from mock_server import profiles
from mock_server.app import create
from mock_server.jitter import Empirical, Lognormal
from mock_server.profile import Capacity, Limits, Network, Profile, Service, in_real_time
from mock_server.profiles import load
from mock_server.proof import words

PROOF = {
    "status": "supported",
    "fitted_to": "http://127.0.0.1:8000",
    "date": "2026-11-29T12:00:00+00:00",
    "worst_errors": {"p50": 0.031},
    "rows": ["Poisson at 0.3 | p50 | +0.031"],
    "parameters": {"base_s": [0.0123457, 1e-5], "workers": 2},
}


def fitted() -> Profile:
    profile = Profile(
        summary="Fitted to a server.",
        network=Network(overhead_s=0.0012345678, own_s=0.0004),
        service=Service(base_s=0.01234567891, per_token_s=1.23456789e-5, jitter=Lognormal(cv=0.2)),
        capacity=Capacity(workers=2, batch_max_items=8, pad_multiple=8),
        limits=Limits(in_flight=64),
    )
    return with_proof(profile, PROOF)


def test_a_fitted_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    profile, path = fitted(), tmp_path / "my.toml"
    write(profile, path)
    read = load(path)
    assert read.service == profile.service
    assert read.capacity == profile.capacity
    assert read.network == profile.network
    assert read.limits == profile.limits
    assert {**read.proof, "void": False} == {**profile.proof, "void": False}
    assert read.summary == "Fitted to a server."


def test_a_file_with_odd_texts_in_its_proof_can_be_read(tmp_path: Path) -> None:
    """TOML has no control characters in comments, and a path may be no UTF-8."""
    path = tmp_path / "my.toml"
    odd = "a\x01b\x7fc\ud800d\n# e"
    write(with_proof(Profile(summary=odd, service=Service(base_s=0.01)), {"task": odd}), path)
    assert load(path).proof["task"] == "a\x01b\x7fc?d\n# e"
    assert load(path).summary == "a b c d # e"


def test_measured_factors_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    factors = (0.5, 1.0, 1.5)
    write(with_proof(Profile(service=Service(base_s=0.01, jitter=Empirical(factors=factors))), {}), path)
    assert load(path).service.jitter == Empirical(factors=factors)


def test_the_proof_says_how_good_the_profile_is(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    write(fitted(), path)
    said = words(load(path))
    assert said == "fitted to http://127.0.0.1:8000 on 2026-11-29, verified: supported (worst errors: p50 3.1 %)"
    app = create(path)
    assert said in str(app.engine.info.note)
    assert app.engine.info.details["proof"]["parameters"]["workers"] == 2


@pytest.mark.parametrize("change", [("workers = 2", "workers = 3"), ("base_s = 0.0123457", "base_s = 0.02")])
def test_a_profile_that_was_changed_has_no_proof(change: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    text = toml_of(fitted())
    assert change[0] in text
    path.write_text(text.replace(change[0], change[1], 1))
    assert words(load(path)) == "its proof is void: the profile was changed after the fit"


def test_profiles_without_a_proof_say_nothing() -> None:
    assert words(load("demo")) is None


def test_a_mock_process_waits_only_for_what_it_does_not_take_anyway() -> None:
    assert in_real_time(fitted()).network.overhead_s == pytest.approx(0.00123457 - 0.0004)
    # Four times as fast: its own part stays as long as it is.
    faster = in_real_time(fitted(), 4.0)
    assert faster.network.overhead_s / 4 == pytest.approx(max(0, 0.00123457 / 4 - 0.0004))


def test_the_list_of_profiles_marks_fitted_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(fitted(), tmp_path / "mine.toml")
    (tmp_path / "plain.toml").write_text("# A plain one.\n[service]\nbase_s = 0.01\n")
    monkeypatch.setattr(profiles, "_HERE", tmp_path)
    found = entries("profile")
    assert found["plain"] == {"summary": "A plain one.", "settings": {}}
    assert found["mine"]["fitted"].startswith("fitted to http://127.0.0.1:8000 on 2026-11-29, verified: supported")
    assert found["mine"]["summary"] == f"Fitted to a server. [{found['mine']['fitted']}]"
