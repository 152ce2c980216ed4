"""The file of a fitted profile, and what its proof says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from harness.cli.list import entries
from harness.client.errors import UsageError
from harness.fitting.profile_file import toml_of, with_proof, write
from harness.fitting.proof_file import proven, save
from harness.measure.verification_result import Verification, VerifiedRow
from mock_server import profiles
from mock_server.app import create
from mock_server.jitter import Empirical, Lognormal
from mock_server.profile import Capacity, Limits, Network, Profile, Service, in_real_time
from mock_server.profiles import load
from mock_server.proof import digest, words

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


def as_supported(text: str = "supported", target: str = "http://127.0.0.1:8000") -> Verification:
    """A verification with one row."""
    row = VerifiedRow("Poisson at 0.3", "p50", 0.02, 0.0201, 0.005, 0.01, 0.05, "supported")
    date = "2026-11-30T12:00:00+00:00"
    return Verification(1, "my.toml", "0" * 64, target, date, "supported", text, [row], {}, 7, 120.0)


def proved(path: Path, found: Verification | None = None) -> str | None:
    """Verify a profile, save the proof, and say what its file says."""
    save(proven(load(path), found or as_supported()), path)
    return words(load(path))


SUPPORTED = "fitted to http://127.0.0.1:8000 on 2026-11-29{}, verified: supported{} (worst errors: p50 0.5 %)"


def test_a_verification_proves_the_parameters_that_it_measured_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    write(fitted(), path)

    def edit(old: str, new: str) -> str | None:
        path.write_text(path.read_text().replace(old, new, 1))
        return words(load(path))

    void = "its proof is void: the profile was changed after the fit"
    assert edit("workers = 2", "workers = 3") == void
    # The edited one was measured, and says that it was edited.
    assert proved(path) == SUPPORTED.format(", changed after the fit", "")
    assert load(path).proof["fitted_sha256"] == digest(fitted())
    # Verified again it is still another one than the fitted one.
    assert proved(path) == SUPPORTED.format(", changed after the fit", "")
    # The fitted one was not measured.
    assert edit("workers = 3", "workers = 2") == void
    assert proved(path) == SUPPORTED.format("", "")
    assert "fitted_sha256" not in load(path).proof


def test_a_proof_names_another_server_than_the_fitted_one(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    write(fitted(), path)
    assert proved(path, as_supported(target="the mock demo")) == SUPPORTED.format("", " against the mock demo")


def test_a_proof_leaves_all_other_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    write(fitted(), path)
    faults = '\n# Not measured.\n[[faults]]\nkind = "status"\nstatus = 500\nprobability = 0.1\n'
    path.write_text(path.read_text().replace("[capacity]", "# Two processes.\n[capacity]  # of one machine") + faults)
    before = path.read_text()
    assert proved(path) == SUPPORTED.format(", changed after the fit", "")
    after = path.read_text()
    kept = before[: before.index("[proof]")].rstrip()
    assert after.startswith(kept)
    assert faults.strip() in after
    assert after.count("[proof]") == 1
    assert load(path).faults == ({"kind": "status", "status": 500, "probability": 0.1},)
    # What the fit wrote into the proof stays, too.
    assert load(path).proof["parameters"] == {"base_s": [0.0123457, 1e-5], "workers": 2}


def test_a_proof_in_an_inline_table_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    text = toml_of(msgspec.structs.replace(fitted(), proof={}))
    path.write_text('proof = { status = "fitted", fitted_to = "http://127.0.0.1:8000", date = "2026-11-29" }\n' + text)
    assert proved(path) == SUPPORTED.format("", "")
    assert load(path).capacity == fitted().capacity


def test_a_file_that_extends_another_is_never_written(tmp_path: Path) -> None:
    write(fitted(), tmp_path / "my.toml")
    path = tmp_path / "ci.toml"
    path.write_text('# For CI.\nextends = "my.toml"\n')
    before = path.read_text()
    # It has the proof of the other.
    assert words(load(path)) == words(load(tmp_path / "my.toml"))
    with pytest.raises(UsageError, match=r"ci.toml: extends 'my.toml', and a proof belongs to .*; verify that profile"):
        save(proven(load(path), as_supported()), path)
    assert path.read_text() == before


def test_a_file_that_was_changed_while_it_was_verified_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    write(fitted(), path)
    measured = load(path)
    path.write_text(path.read_text().replace("workers = 2", "workers = 3"))
    with pytest.raises(UsageError, match=r"my.toml: was changed during the verification"):
        save(proven(measured, as_supported()), path)
    assert load(path).capacity.workers == 3


class Later(Profile, frozen=True):
    """A profile of a version with one more key."""

    new_key: int = 0


def test_a_new_key_does_not_void_the_proofs_of_profiles_without_it() -> None:
    values = {name: getattr(fitted(), name) for name in fitted().__struct_fields__}
    assert digest(Later(**values)) == digest(fitted())
    assert digest(Later(**values, new_key=1)) != digest(fitted())


def test_a_proof_with_a_hash_of_all_values_is_valid(tmp_path: Path) -> None:
    """The first proofs had it."""
    path, profile = tmp_path / "my.toml", fitted()
    plain = msgspec.structs.replace(profile, name="", summary="", proof={})
    of_all = hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
    write(msgspec.structs.replace(profile, proof={**profile.proof, "parameters_sha256": of_all}), path)
    assert load(path).proof["void"] is False
    path.write_text(path.read_text().replace("workers = 2", "workers = 3"))
    assert load(path).proof["void"] is True


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
