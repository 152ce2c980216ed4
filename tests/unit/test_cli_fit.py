"""The command lines of fit and verify: mistakes are one line, and a verdict has its exit code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.spec import Trial
from harness.fitting import fitter
from harness.fitting.bench import Virtual
from harness.fitting.calibration import Calibration, CalibrationPlan
from harness.fitting.fit_words import as_data, table
from harness.fitting.fitted_parameters import NotFitted
from harness.fitting.fitter import FitSettings, Fitted, fit_server
from harness.fitting.load_figures import Figures
from harness.fitting.profile_file import with_proof, write
from harness.fitting.suitability import unmeasured
from harness.fitting.verdicts import LoadPair, rows, verdict
from harness.fitting.verifier import NotVerified, Verified, VerifySettings
from harness.measure.result import Reason
from harness.measure.verification_result import Verification
from mock_server.profile import Capacity, Profile, Service
from mock_server.profiles import load
from mock_server.proof import words


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("after", [False, True])
def test_records_that_are_deleted_while_a_fit_runs_are_one_line(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a load is played, and before its records are read."""
    wanted, played = FitSettings(out=tmp_path / "a.toml", server="demo", records=tmp_path / "r"), Virtual.play

    def deleting(self: Virtual, trial: Trial, watch: Watch) -> TrialEnd:
        found = played(self, trial, watch) if after else None
        shutil.rmtree(tmp_path / "r" / "records")
        return found or played(self, trial, watch)

    monkeypatch.setattr(Virtual, "play", deleting)
    with pytest.raises(UsageError, match="r: files were deleted while the run was played"):
        fit_server(wanted, lambda text: None, simulated=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "--out", "my.toml"], "fit needs --target URL"),
        (
            ["fit", "--out", "my.toml", "--server", "demo", "--target", "http://127.0.0.1:1"],
            "--server and --target exclude each other",
        ),
        (
            ["verify", "--server", "there.toml", "--against", "demo", "--target", "http://127.0.0.1:1"],
            "--against and --target exclude each other",
        ),
        (["fit", "--out", "my.txt", "--target", "http://127.0.0.1:1"], "--out my.txt: must end in .toml"),
        (["fit", "--out", "there.toml", "--server", "demo"], "--out there.toml: exists already"),
        (["fit", "--out", "my.toml", "--server", "demo", "--lengths", "9"], "--lengths 9: must be LOW:HIGH in words"),
        (
            ["fit", "--out", "my.toml", "--server", "demo", "--lengths", "²:9"],
            "--lengths ²:9: must be LOW:HIGH in words",
        ),
        (["fit", "--out", "my.toml", "--server", "demo", "--lengths", "1:" + "9" * 5000], "must be LOW:HIGH"),
        (["fit", "--out", "my.toml", "--target", "http://127.0.0.1:1"], "is the server running?"),
        (["fit", "--out", "my.toml", "--server", "demo", "--task", "nothing"], "unknown task 'nothing'"),
        (["verify", "--server", "there.toml"], "verify needs --target URL"),
        (["fit", "--server", "demo", "--out", "gone/x.toml"], "gone is not a folder that can be written to"),
        (["verify", "--server", "gone.toml", "--against", "demo"], "--server gone.toml: no such profile file"),
        (["verify", "--server", "there.toml", "--against", "nul"], "--against nul: no such profile; known: "),
        (
            ["verify", "--server", "there.toml", "--against", "demo", "--lengths", "8:2"],
            "--lengths 8:2: must be LOW:HIGH",
        ),
        (
            ["fit", "--target", "http://x", "--out", "a.toml", "--batch-items", "2000000"],
            "2000000: must be between 1 and 1000000",
        ),
        (["fit", "--target", "http://x", "--out", "a" * 300 + ".toml"], "File name too long"),
        (
            ["fit", "--server", "llm-chat", "--out", "my.toml", "--task", "annotate:stream=true", "--batch-items", "8"],
            "--batch-items 8: a language model has no such batches; its slots are --workers",
        ),
        (["report", "a" * 300], "File name too long"),
        (["fit", "--target", "http://x", "--out", "folder.toml", "--overwrite"], "folder.toml: is a folder"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.toml").write_text("[service]\nbase_s = 0.01\n")
    Path("folder.toml").mkdir()
    assert code_of(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in error


def test_a_fit_writes_a_profile_that_can_be_served_and_reports_whether_the_warm_up_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fits: list[Fitted] = []

    def simulated_fit(wanted: FitSettings, say: Any) -> Fitted:
        fits.append(fit_server(wanted, say, simulated=True))
        return fits[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.cli.fit.fit_server", simulated_fit)
    Path("server.toml").write_text("[service]\nbase_s = 0.01\n[capacity]\nworkers = 1\n")
    arguments = ["fit", "--server", "server.toml", "--out", "my.toml", "--time", "20s", "--records", "records"]
    arguments += ["--lengths", "6:100", "--workers", "1", "--batch-items", "1", "--black-box"]
    assert code_of(arguments) == 0
    out, error = capsys.readouterr()
    assert "structure: 1 worker, no batches" in out
    assert "the warm-up did not settle" not in out
    assert "fit 1: warm-up 1, up to 2 s" in error
    assert "written: my.toml; measure it: paceline verify --server my.toml --against server.toml" in error
    profile = load("my.toml")
    assert profile.service.base_s == pytest.approx(0.01, rel=1e-3)
    assert str(words(profile)).startswith("fitted to the mock server on ")
    assert "not verified yet" in str(words(profile))
    assert profile.proof["warm_up_settled"] is True
    assert profile.proof["command"] == (
        "paceline fit --server server.toml --task similarity --out my.toml --seed 1 --lengths 6:100 --time 20s "
        "--workers 1 --batch-items 1 --black-box"
    )
    (found,) = fits
    assert as_data(found)["warm_up_settled"] is True
    found.calibration.settled = False
    assert as_data(found)["warm_up_settled"] is False
    assert "the warm-up did not settle: the median latencies of three windows" in table(found)


def test_a_server_that_cannot_be_fitted_gives_one_line_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(wanted: FitSettings, say: Any) -> Any:
        raise NotFitted("30 % of the requests of the load 'idle' failed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.cli.fit.fit_server", refuse)
    assert code_of(["fit", "--server", "demo", "--out", "my.toml", "--quiet"]) == 5
    assert "the server cannot be fitted, and nothing is written: 30 % of the requests" in capsys.readouterr().err
    assert not Path("my.toml").exists()


def verified(tmp_path: Path, p50: float) -> Verified:
    real, mock = Figures(100.0, 0.01, 0.02, None, None, None, None, 0.0, 500), None
    mock = Figures(100.0, p50, 0.02, None, None, None, None, 0.0, 500)
    found = rows(LoadPair("Poisson at 0.3", (real, real), (mock, mock), 0.3, {}))
    status, text = verdict(found, {"Poisson at 0.3"})
    result = Verification(
        1, "my.toml", "0" * 64, "http://127.0.0.1:8000", "2026-11-29T12:00:00+00:00", status, text, found, {}, 7, 120.0
    )
    (tmp_path / "run").mkdir()
    return Verified(result, tmp_path / "run", load(tmp_path / "my.toml"))


@pytest.mark.parametrize(("p50", "code", "status"), [(0.0101, 0, "supported"), (0.013, 1, "refuted")])
def test_a_verification_is_shown_written_and_kept_in_the_profile(
    p50: float,
    code: int,
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = Profile(service=Service(base_s=0.01), capacity=Capacity(workers=1))
    proof = {"status": "fitted", "fitted_to": "http://127.0.0.1:8000", "date": "2026-11-29"}
    write(with_proof(profile, proof), Path("my.toml"))

    def verify(wanted: VerifySettings, say: Any) -> Verified:
        return verified(tmp_path, p50)

    monkeypatch.setattr("harness.cli.verify.verify", verify)
    assert code_of(["verify", "--server", "my.toml", "--target", "http://127.0.0.1:8000"]) == code
    out = capsys.readouterr().out
    assert f"{status}: " in out
    assert "bounded below" in out
    data = json.loads((tmp_path / "run" / "verification.json").read_text())
    assert data["status"] == status
    assert {path.name for path in (tmp_path / "run").rglob("*.*")} >= {"report.html", "report.md", "forest.png"}
    assert f"# {'✔' if code == 0 else '✖'} my.toml: {status}" in (tmp_path / "run" / "report.md").read_text()
    # The parameters are the same, so the proof holds.
    assert words(load("my.toml")) == (
        f"fitted to http://127.0.0.1:8000 on 2026-11-29, verified: {status.upper() if code else status} "
        f"(worst errors: rate 0.0 %, p50 {100 * (p50 / 0.01 - 1):.1f} %, p95 0.0 %)"
    )


def test_a_profile_that_cannot_be_written_leaves_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = Profile(service=Service(base_s=0.01), capacity=Capacity(workers=1))
    write(with_proof(profile, {"status": "fitted"}), Path("my.toml"))
    found = verified(tmp_path, 0.013)
    monkeypatch.setattr("harness.cli.verify.verify", lambda wanted, say: found)
    # The file that is to replace it cannot be written.
    Path("my.toml.part").mkdir()
    assert code_of(["verify", "--server", "my.toml", "--target", "http://127.0.0.1:8000"]) == 1
    said = capsys.readouterr()
    assert "refuted: " in said.out
    assert "paceline: no proof is written: my.toml: Is a directory" in said.err


def test_a_server_that_fails_is_one_line_and_inconclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(wanted: VerifySettings, say: Any) -> Verified:
        raise NotVerified("the server failed 100 % of the requests of the load 'warm-up'")

    monkeypatch.setattr("harness.cli.verify.verify", refuse)
    assert code_of(["verify", "--server", "my.toml", "--target", "http://127.0.0.1:8000"]) == 5
    assert "nothing is written: the server failed 100 % of the requests" in capsys.readouterr().err


def test_a_load_with_failures_leaves_the_profile_without_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = Profile(service=Service(base_s=0.01), capacity=Capacity(workers=1))
    write(with_proof(profile, {"status": "fitted", "fitted_to": "a server", "date": "2026-11-29"}), Path("my.toml"))
    before = Path("my.toml").read_text()
    found = replace(verified(tmp_path, 0.0101), failed=("on and off",))
    monkeypatch.setattr("harness.cli.verify.verify", lambda wanted, say: found)
    code_of(["verify", "--server", "my.toml", "--target", "http://127.0.0.1:8000"])
    assert Path("my.toml").read_text() == before
    assert "no proof is written, because requests failed under: on and off" in capsys.readouterr().err


def test_without_scipy_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitter, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "paceline\[fit\]"'):
        fitter.fit_server(FitSettings(server="null", out=Path("x.toml")), lambda text: None)


def test_loads_that_could_not_be_measured_are_named_beside_a_refusal() -> None:
    found = Calibration(CalibrationPlan(), problems=[Reason("client_starved", "the client waited", "idle")])
    assert unmeasured(found) == [
        "1 of its loads could not be measured here, so it may be this machine and not the server: the client waited"
    ]
    assert unmeasured(Calibration(found.plan)) == []


def test_an_interrupted_verification_is_shown_and_leaves_the_profile_without_a_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = Profile(service=Service(base_s=0.01), capacity=Capacity(workers=1))
    write(with_proof(profile, {"status": "fitted", "fitted_to": "a server", "date": "2026-11-29"}), Path("my.toml"))
    before = Path("my.toml").read_text()
    found = verified(tmp_path, 0.0101)
    cut = msgspec.structs.replace(found.result, partial=True, status="not established")
    monkeypatch.setattr("harness.cli.verify.verify", lambda wanted, say: replace(found, result=cut))
    assert code_of(["verify", "--server", "my.toml", "--target", "http://127.0.0.1:8000"]) == 5
    assert Path("my.toml").read_text() == before
    out, error = capsys.readouterr()
    assert "interrupted, so no proof is written" in error
    assert "Poisson at 0.3" in out
