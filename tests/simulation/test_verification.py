"""A profile against servers in virtual time: the same one is not refuted, a slower one is.

Ten seeds with a fit before: `python -m tests.bench.verify_changes`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.fitting.verifier import NotVerified, VerifySettings, verify
from harness.measure.verification_result import Verification

SERVER = '[service]\nbase_s = {base}\n[service.jitter]\nkind = "lognormal"\ncv = 0.1\n[capacity]\nworkers = 2\n'


def verified(base_s: float, tmp_path: Path, more: str = "", near: bool = False) -> Verification:
    """The profile has 20 ms."""
    (tmp_path / "my.toml").write_text(SERVER.format(base=0.020) + more)
    (tmp_path / "server.toml").write_text(SERVER.format(base=base_s) + more)
    settings = VerifySettings(
        server=str(tmp_path / "my.toml"), against=str(tmp_path / "server.toml"), duration_s=3.0, out=tmp_path / "out",
        near_capacity=near,
    )  # fmt: skip
    return verify(settings, lambda text: None, simulated=True).result


def test_the_same_server_is_not_refuted_and_gets_the_same_schedules(tmp_path: Path) -> None:
    found = verified(0.020, tmp_path, "[limits]\nin_flight = 40\n")
    assert found.status != "refuted"
    assert 95 < found.capacity_per_s < 105
    # Four loads of arrivals twice, and a burst: equal hashes on both servers.
    assert {name.partition(" (")[0] for name in found.schedules} >= {"Poisson at 0.3", "Poisson at 0.8", "on and off"}
    refused = {row.load: row for row in found.rows if row.figure == "refused"}
    assert refused["Poisson at 0.3"].status == "bounded below"
    assert refused["burst of 64"].measured > 0.2
    assert refused["burst of 64"].status == "supported"


@pytest.mark.no_cover
def test_a_server_that_is_a_fifth_slower_is_refuted(tmp_path: Path) -> None:
    found = verified(0.024, tmp_path)
    assert found.status == "refuted"
    low = next(row for row in found.rows if row.load == "Poisson at 0.3" and row.figure == "p50")
    assert low.status == "refuted"
    assert low.error is not None
    assert -0.25 < low.error < -0.1


@pytest.mark.no_cover
def test_near_the_capacity_a_slower_server_shows_the_sensitivity_and_its_latencies_do_not_refute(
    tmp_path: Path,
) -> None:
    found = verified(0.0204, tmp_path, near=True)
    near = {row.figure: row for row in found.rows if row.load == "Poisson at 0.95"}
    assert near["p50"].sensitivity == pytest.approx(20)
    for row in (near["p50"], near["p95"]):
        # Under any other load this would refute.
        assert abs(row.error or 0.0) > max(row.tolerance, 2 * row.floor)
        assert row.status == "not established"
    assert all(row.sensitivity is None for row in found.rows if row.load != "Poisson at 0.95")


def test_a_server_that_fails_every_request_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SERVER.format(base=0.020))
    failing = SERVER.format(base=0.020) + '[[faults]]\nkind = "status"\nstatus = 500\nprobability = 1.0\n'
    (tmp_path / "server.toml").write_text(failing)
    settings = VerifySettings(
        server=str(tmp_path / "my.toml"), against=str(tmp_path / "server.toml"), duration_s=3.0, out=tmp_path / "out"
    )
    with pytest.raises(NotVerified, match="failed 100 % of the requests of the load 'warm-up'"):
        verify(settings, lambda text: None, simulated=True)


def test_an_interrupted_verification_has_the_loads_until_then_and_no_verdict_in_favour(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SERVER.format(base=0.020))
    settings = VerifySettings(
        server=str(tmp_path / "my.toml"), against=str(tmp_path / "my.toml"), duration_s=3.0, out=tmp_path / "out"
    )

    def stop(text: str) -> None:
        if "load 7 of " in text:
            raise KeyboardInterrupt

    found = verify(settings, stop, simulated=True).result
    assert found.partial
    assert {row.load for row in found.rows} == {"Poisson at 0.3"}
    assert found.status == "not established"
    assert found.text.startswith("interrupted after 1 of 5 loads, in which ")
