"""The gate's servers: started by commands, stopped with all their processes; mistakes are one line."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.client.errors import UsageError
from harness.experiment.server_command import started
from tests.processes import BUSY, paceline, result_of

MOCK = f"{sys.executable} -m mock_server --profile constant-120ms --speed 20 --port {{port}}"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("server --port 80", "{port} is missing"),
        ("no-such-server {port}", "no-such-server: No such file"),
        ("'{port}", "No closing quotation"),
        (f"{sys.executable} -c 'import sys; sys.exit(str(7))' {{port}}", "ended with exit code 1: 7"),
    ],
)
def test_a_command_that_starts_no_server_is_refused(tmp_path: Path, command: str, message: str) -> None:
    with pytest.raises(UsageError, match=message), started("--baseline-cmd", command, tmp_path / "log"):
        pass


def test_a_server_that_never_answers_is_refused_and_stopped(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    command = f'{sys.executable} -c "{code}" {{port}}'
    refused = pytest.raises(UsageError, match=r"no answer at http://127.0.0.1:\d+ within 1 s")
    with refused, started("--candidate-cmd", command, tmp_path / "log", timeout_s=1.0):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_two_servers_are_played_in_alternation(tmp_path: Path) -> None:
    """With one pair the answer is that there are too few, and every file is there."""
    done = paceline(
        *("gate", "--baseline-cmd", MOCK, "--candidate-cmd", MOCK, "--pairs", "1", "--pairs-max", "1"),
        *("--items", "30", "--no-calibrate", "--out", "g", "--junit", "g.xml", "--summary", "s.md", "--json"),
        cwd=tmp_path,
    )
    gate = json.loads(done.stdout)
    assert gate["pairs"] == 1
    assert gate == json.loads((tmp_path / "g" / "gate.json").read_text())
    reasons = set()
    for side in ("baseline", "candidate"):
        result = result_of(tmp_path / "g" / side)
        assert result["cases"][0]["counts"]["ok"] == 30
        reasons |= {reason["code"] for reason in result["verdict"]["reasons"]}
    assert reasons <= BUSY, done.stderr
    status, code = ("inconclusive", 5) if gate["status"] == "inconclusive" else ("invalid", 4)
    assert (gate["status"], done.returncode) == (status, code), done.stderr
    assert reasons or status == "inconclusive", done.stderr
    assert f" Gate {status}" in (tmp_path / "s.md").read_text().splitlines()[0]
    assert (tmp_path / "g.xml").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "name the baseline with one of"),
        (["--baseline-cmd", "x {port}"], "name the candidate with"),
        (["--baseline-cmd", "x {port}", "--candidate-cmd", "y {port}", "--target", "http://127.0.0.1:9"], "exclude"),
        (["--baseline", "runs/none", "--target", "http://127.0.0.1:9"], "no such run directory"),
        (["--baseline-cmd", "x {port}", "--candidate-cmd", "y {port}", "--pairs-max", "2"], "--pairs-max 2"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, given: list[str], message: str) -> None:
    done = paceline("gate", *given, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
