"""A chat from a ShareGPT file under an SLO of a language model, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, went_well
from tests.unit.test_cli import run

SERVER = "# Tokens.\n[generation]\nttft_base_s = 0.01\nitl_base_s = 0.002\n"
SLO = "ttft_p95<30s,tpot_p95<10s,e2e_p95<60s,goodput>0.1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of conversations, and the profile of a server."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"c{n}",
            "conversations": [
                {"from": "human", "value": "Explain this, please. " * (1 + n % 9)},
                {"from": "gpt", "value": "Gladly."},
            ],
        }
        for n in range(20)
    ]
    (tmp_path / "sharegpt.json").write_text(json.dumps(rows))
    (tmp_path / "server.toml").write_text(SERVER)
    return tmp_path


@pytest.mark.slow
def test_a_chat_streams_for_its_slo_and_its_tokens_are_measured(folder: Path) -> None:
    """Every condition has a figure, and the report and the table of requests have the tokens."""
    line = [
        "run",
        "steady",
        "--task",
        "chat:max_tokens=8",
        "--input",
        "sharegpt.json",
        "--rate",
        "40",
        "--duration",
        "2",
    ]
    more = ["--slo", SLO, "--server", "server.toml", "--out", "out", "--no-calibrate"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *line, *more],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        timeout=120,
    )
    went_well(done, folder / "out")
    (case,) = json.loads((folder / "out" / "result.json").read_text())["cases"]
    assert [check["condition"] for check in case["slo"]] == SLO.split(",")
    assert all(check["value"] is not None for check in case["slo"])
    tokens, ok = case["tokens"], case["counts"]["ok"]
    assert tokens["counted_by_server"] == tokens["streams"] == tokens["output"]["requests"]
    assert (tokens["output"]["mean"], tokens["bundled"]) == (8.0, 0)
    assert tokens["streams"] + case["warmup"]["removed"] == ok
    assert case["itl_s"]["n"] == 7 * tokens["streams"]
    assert "## Tokens" in (folder / "out" / "report.md").read_text()
    assert (folder / "out" / "charts" / "token_times.png").exists()


def test_a_chat_that_must_not_stream_is_refused_under_an_slo_of_streams(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names both, exit code 2, and nothing was played."""
    asked = ["run", "steady", "--task", "chat:stream=false", "--slo", "tpot_p95<40ms", "--out", "out"]
    code, _, said = run(capsys, *asked)
    assert code == 2
    expected = "--slo 'tpot_p95<40ms': only a streamed answer has it, and --task 'chat:stream=false' has stream=false"
    assert said.strip().endswith(expected)
    assert len(said.strip().splitlines()) == 1
    assert not (folder / "out").exists()
