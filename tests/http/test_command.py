"""The command as a user runs it: from a shell, against real servers, with real files."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from harness.measure.result import json_schema
from tests.processes import BUSY, FAULTY, ROOT, mock, paceline, result_of, went_well

pytestmark = pytest.mark.slow
QUICK = ["--no-calibrate", "--no-report", "--quiet"]
BEGUN: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that fails leaves no command behind, whose load would slow the tests after it."""
    yield
    while BEGUN:
        child = BEGUN.pop()
        if child.poll() is None:
            child.kill()
            child.communicate(timeout=30)


@pytest.mark.covered_processes
def test_compare_tells_who_is_fastest_and_writes_a_report(tmp_path: Path) -> None:
    """Table, headline, verdict and paths; result.json keeps its schema; a report of every format; exit code 0."""
    line = ["compare", "-s", "sync", "-s", "queue-stream:concurrency=20", "-s", "adaptive", "--items", "60"]
    done = paceline(*line, "--server", "demo", "--out", "run", cwd=tmp_path)
    went_well(done, tmp_path / "run")
    assert "verdict: " in done.stdout
    assert re.search(r"(queue-stream:concurrency=20|adaptive) (is|are) fastest", " ".join(done.stdout.split()))
    if done.returncode == 0:
        assert re.search(r"Use .* for a batch job: ", done.stdout)
    assert "client ceiling:" in done.stderr
    result = result_of(tmp_path / "run")
    jsonschema.validate(result, json_schema())
    assert [case["name"] for case in result["cases"]] == ["sync", "queue-stream:concurrency=20", "adaptive"]
    counts = result["cases"][0]["counts"]
    assert counts["scheduled"] == counts["ok"] == counts["server_seen"] == counts["locust_seen"] == 60
    assert set(result["environment"]["records_sha256"]) == {"sync/0", "queue-stream:concurrency=20/0", "adaptive/0"}
    assert result["cases"][0]["load"]["duration_s"] is None
    for name in ("report.html", "report.md", "charts/throughput.png"):
        assert (tmp_path / "run" / name).stat().st_size > 500
    again = paceline("report", "run", "--format", "markdown", "--no-charts", "--json", cwd=tmp_path)
    assert json.loads(again.stdout) == result
    refused = paceline(*line, "--out", "run", cwd=tmp_path)
    assert (refused.returncode, "holds a run already" in refused.stderr) == (2, True)


def test_a_server_that_refuses_half_is_never_green(tmp_path: Path) -> None:
    """Headline counts successes only, the verdict is invalid, exit code 4; 0 with an SLO that allows it, 1 if not."""
    half = FAULTY.split("[[faults]]")[0] + "[[faults]]\nkind = 'status'\nstatus = 429\nprobability = 0.5\n"
    with mock(half, tmp_path) as server:
        line = ["compare", "-s", "queue-stream:concurrency=4", "--items", "400", "--target", server.url, *QUICK]
        done = paceline(*line, "--out", "a", cwd=tmp_path)
        allowed = paceline(*line, "--out", "b", "--slo", "errors<60%", cwd=tmp_path)
        failed = paceline(*line, "--out", "c", "--slo", "errors<10%", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    for ended, folder, code in ((allowed, "b", 0), (failed, "c", 1)):
        reasons = {reason["code"] for reason in result_of(tmp_path / folder)["verdict"]["reasons"]}
        # On a machine that starved the client, too, the measurement is invalid.
        assert ended.returncode == code or (ended.returncode == 4 and reasons & BUSY), ended.stderr
    case = result_of(tmp_path / "a")["cases"][0]
    assert 140 < case["counts"]["ok"] < 260
    assert case["counts"]["rejected"] == 400 - case["counts"]["ok"]
    assert case["rates_per_s"]["completed"] == pytest.approx(case["counts"]["ok"] / case["makespan_s"])
    assert case["latency_s"]["n"] == case["counts"]["ok"]
    assert "errors" in [reason["code"] for reason in result_of(tmp_path / "a")["verdict"]["reasons"]]


def test_a_stall_shows_in_due_time_and_not_in_service_time(tmp_path: Path) -> None:
    """One second without answers in an 8 s Poisson run at 100/s, four slots: it cannot hide."""
    (tmp_path / "stall.toml").write_text(
        "# stalls\n[service]\nbase_s = 0.005\n[[faults]]\nkind = 'stall'\nstart_s = 3.0\nend_s = 4.0\n"
    )
    line = ["run", "steady", "-s", "queue-stream:concurrency=4", "--rate", "100", "--duration", "8"]
    done = paceline(*line, "--server", "stall.toml", "--out", "run", *QUICK, cwd=tmp_path)
    went_well(done, tmp_path / "run")
    case = result_of(tmp_path / "run")["cases"][0]
    assert case["latency_s"]["p99"]["value"] > 0.5
    assert case["service_time_s"]["p99"]["value"] < 0.1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_gives_a_partial_result(number: int, tmp_path: Path) -> None:
    """Ctrl-C, the end of a container, a terminal that closes: what was recorded stands, marked; exit code 5."""
    child = command(
        "compare", "-s", "queue-stream:concurrency=8", "-s", "sync", "--items", "5000", *QUICK, cwd=tmp_path
    )
    until_rows(tmp_path)
    child.send_signal(number)
    if number == signal.SIGHUP:
        child.send_signal(number)  # a terminal and its shell both send it
    text = child.communicate(timeout=60)[0]
    result = result_of(tmp_path / "run")
    # On a machine that starved the client, too, the measurement is invalid.
    starved = BUSY & {reason["code"] for reason in result["verdict"]["reasons"]}
    ends = {(5, "inconclusive"), *([(4, "invalid")] if starved else [])}
    assert (child.returncode, result["verdict"]["status"]) in ends, text
    case = result["cases"][0]
    assert case["partial"]
    assert 0 < case["counts"]["ok"] < 5000
    assert case["counts"]["scheduled"] == 5000


@pytest.mark.parametrize("number", range(5))
def test_a_killed_run_can_be_reported(number: int, tmp_path: Path) -> None:
    """kill -9 at a random moment: no process is left, and the report shows what was recorded, marked partial."""
    child = command("compare", "-s", "queue-stream:concurrency=8", "--items", "20000", *QUICK, cwd=tmp_path)
    until_rows(tmp_path)
    time.sleep(random.Random(number + os.getpid()).random() * 2)
    child.kill()
    child.communicate(timeout=30)
    # The first one draws the charts of what there is.
    done = paceline("report", "run", *(["--no-charts"] if number else []), cwd=tmp_path)
    assert done.returncode in {4, 5}, done.stdout + done.stderr
    result = result_of(tmp_path / "run")
    assert result["cases"][0]["partial"]
    assert result["cases"][0]["counts"]["ok"] > 0
    assert "partial" in (tmp_path / "run" / "report.md").read_text().lower()


def until_rows(folder: Path, timeout_s: float = 90.0) -> None:
    """Wait until some requests are on disk: what is stopped earlier has nothing to show."""
    deadline = time.monotonic() + timeout_s
    while not any(path.stat().st_size > 2_000 for path in folder.glob("run/records/*.requests")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def command(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command in the background, writing to `run`."""
    line = [sys.executable, "-m", "harness", *arguments, "--out", "run"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(line, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    BEGUN.append(child)
    return child


def test_serve_answers_and_a_taken_port_is_reported(tmp_path: Path) -> None:
    """A mock on a chosen port; the same port again is a mistake with exit code 2."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", "serve", "mock", "--server", "null", "--port", port],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["url"].endswith(port)
        line = [
            "compare",
            "-s",
            "threads",
            "--items",
            "20",
            "--target",
            f"http://localhost:{port}",
            "--out",
            "run",
            *QUICK,
        ]
        went_well(paceline(*line, cwd=tmp_path), tmp_path / "run")
        taken = paceline("serve", "mock", "--port", port, cwd=tmp_path)
        assert taken.returncode == 2
        assert port in taken.stderr
        assert "Traceback" not in taken.stderr
    finally:
        child.terminate()
        child.communicate(timeout=30)


def test_help_is_quick() -> None:
    """Nothing heavy is imported for it. How long it takes is a benchmark's."""
    heavy = {"aiohttp", "numpy", "matplotlib", "locust", "gevent", "torch", "rich.progress", "urllib3", "uvicorn"}
    line = [sys.executable, "-X", "importtime", "-m", "harness", "--help"]
    done = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)
    imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
    assert "click" in imported
    assert not heavy & imported


def test_memory_stays_the_same_for_twenty_times_the_items(tmp_path: Path) -> None:
    """A backlog streamed from JSONL: resident memory grows by less than 5 MB from 1k to 20k items."""
    line = (ROOT / "scenarios" / "data" / "pairs.jsonl").read_text(encoding="utf-8")
    grown = {}
    for items in (1_000, 20_000):
        (tmp_path / "in.jsonl").write_text(line * (items // 1000), encoding="utf-8")
        run = ["compare", "-s", "queue-stream:concurrency=50", "--input", "in.jsonl", "--server", "null"]
        paceline(*run, "--out", str(items), *QUICK, cwd=tmp_path)
        case = result_of(tmp_path / str(items))["cases"][0]
        assert case["counts"]["ok"] == items
        grown[items] = case["resources"]["client_rss_max_mb"]
    assert grown[20_000] - grown[1_000] < 5


def test_a_reader_that_leaves_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """`| head -1`: click and rich would exit with 1, which means that an SLO failed."""
    line = ["compare", "-s", "sync", "--items", "30", *QUICK, "--server", "null"]
    child = command(*line, cwd=tmp_path)
    assert child.stdout is not None
    child.stdout.close()  # before anything is printed
    code = child.wait(60)
    verdict = result_of(tmp_path / "run")["verdict"]
    # A busy machine may starve the client, which is reported.
    assert {reason["code"] for reason in verdict["reasons"]} <= BUSY
    assert code == (0 if verdict["status"] == "valid" else 4)
    for arguments in (["list"], ["report", "run", "--no-charts"]):
        line = [sys.executable, "-m", "harness", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        gone = subprocess.Popen(line, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert gone.stdout is not None
        gone.stdout.close()
        _, errors = gone.communicate(timeout=60)
        assert (gone.returncode, errors) == (0 if arguments == ["list"] else code, "")


def test_too_few_open_files_are_refused_before_the_load(tmp_path: Path) -> None:
    """With the limit, and with what is needed; nothing is left behind."""
    line = "ulimit -n 200; exec " + f"{sys.executable} -m harness compare -s queue-stream:concurrency=150 --out run"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs 250 open files; the limit is 200 (`ulimit -n`). Raise it to 250" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
