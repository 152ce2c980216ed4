"""The gate's servers: started by commands, stopped with all their processes; mistakes are one line."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.client.errors import UsageError
from harness.experiment.server_command import started
from harness.measure.judge.codes import CODES
from tests.processes import BUSY, ROOT, paceline, result_of, start

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


def test_a_server_ends_with_a_command_that_was_killed(tmp_path: Path) -> None:
    """`kill -9` leaves nobody to stop it; the processes that it started end as well."""
    pids = tmp_path / "pids"
    server = f"sleep 60 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; : {{port}}; wait"
    code = (
        "from pathlib import Path\nfrom harness.experiment.server_command import started\n"
        f"with started('--x', {shlex.join(['sh', '-c', server])!r}, Path({str(tmp_path / 'log')!r})): pass\n"
    )
    gate = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    _until(pids.exists)
    gate.kill()
    gate.wait()
    for pid in map(int, pids.read_text().split()):
        _until(lambda pid=pid: not Path(f"/proc/{pid}").exists())


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_gate_that_is_stopped_is_inconclusive(tmp_path: Path) -> None:
    """SIGTERM in its second pair: what was measured is reported, its servers are stopped, and the exit code is 5."""
    gate = start(
        [
            *("harness", "gate", "--baseline-cmd", MOCK, "--candidate-cmd", MOCK, "--items", "30", "--no-calibrate"),
            *("--out", "g", "--quiet", "--junit", "g.xml"),
        ],
        cwd=tmp_path,
    )
    _until(lambda: gate.poll() is not None or any(tmp_path.glob("g/*/records/*.r0.p0.end.json")))
    gate.terminate()
    said, _ = gate.communicate(timeout=60)
    made = json.loads((tmp_path / "g" / "gate.json").read_text())
    verdicts = [result_of(tmp_path / "g" / side)["verdict"] for side in ("baseline", "candidate")]
    codes = {reason["code"] for verdict in verdicts for reason in verdict["reasons"]}
    if not [code for code in codes if CODES[code][0] == "invalid"]:
        assert (gate.returncode, made["status"]) == (5, "inconclusive"), said
    else:
        # A busy machine has made a part invalid besides.
        assert (gate.returncode, made["status"]) == (4, "invalid"), said
    assert (tmp_path / "g.xml").exists()


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
