"""Locust's totals, our records and the server's own count are equal, exactly, in every mode; a stop loses nothing."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.client.types import Outcome
from harness.experiment import target as targets
from harness.experiment.child_process import play
from harness.experiment.spec import Trial
from harness.measure.record.files import find
from harness.measure.record.plan import Measured
from harness.measure.record.rows_file import read
from harness.measure.reduce.summary import observe
from harness.measure.result import Named
from tests.processes import BUSY, FAULTY, ROOT, case_file, mock, spec, start
from tests.raw_records import percentiles, pooled

pytestmark = pytest.mark.slow
LOCUST = ["locust", "--headless", "--only-summary", "--loglevel", "WARNING"]
SLOW = "# one second\n[service]\nbase_s = 1.0\n"


def locust(of: Trial, folder: Path, *more: str, unpatched: bool = False) -> subprocess.Popen[str]:
    """Locust on the backlog scenario with this case."""
    env = case_file(folder, of) | ({"LOCUST_SKIP_MONKEY_PATCH": "1"} if unpatched else {})
    line = [*LOCUST, "-f", str(ROOT / "scenarios" / "backlog.py"), "-u", str(of.users), "-r", str(of.users)]
    return start([*line, *more], env=env)


def finished(child: subprocess.Popen[str], timeout_s: float = 60.0) -> str:
    """What it printed."""
    try:
        return child.communicate(timeout=timeout_s)[0]
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()


def locusts_total(text: str) -> tuple[int, int]:
    """Requests and failures in the last summary that was printed (workers print theirs before)."""
    found = re.findall(r"Aggregated +(\d+) +(\d+)\(", text)
    return max((int(total), int(failed)) for total, failed in found)


def recorded(folder: Path) -> list[tuple[int, int]]:
    """(index, outcome) of every row of a request that was sent, of all processes."""
    rows: list[tuple[int, int]] = []
    for part in find(folder)["case"][0]:
        _, data = read(part.requests)
        sent = data[data["first_sent"] >= 0]
        rows += zip(sent["index"].tolist(), sent["outcome"].tolist(), strict=True)
    return rows


def agree(text: str, records: Path, server: targets.RunningTarget, items: int | None) -> None:
    """All three counts are one number; every item is there once."""
    rows = recorded(records)
    assert len({index for index, _ in rows}) == len(rows)
    total, failed = locusts_total(text)
    assert total == len(rows) == server.seen()
    assert failed == sum(outcome != Outcome.ok for _, outcome in rows)
    if items is not None:
        assert len(rows) == items


def exact(of: Trial, records: Path) -> None:
    """Each percentile of the merged result is that of the pooled raw records, to the bit."""
    case = observe(of, records, Measured(), [], of.repeat).case
    assert case is not None
    found = percentiles(pooled(records))
    for name in ("p50", "p90", "p95", "p99"):
        shown = getattr(case.latency_s, name).value, getattr(case.service_time_s, name).value
        # p99 needs more successes than there are here, and is not shown then.
        assert shown in {(found[f"latency {name}"], found[f"service {name}"]), (None, None)}, name
    assert case.latency_s.p95.value is not None


def local(of: Trial, folder: Path) -> str:
    return finished(locust(of, folder))


def local_unpatched(of: Trial, folder: Path) -> str:
    return finished(locust(of, folder, unpatched=True))


def two_processes(of: Trial, folder: Path) -> str:
    return finished(locust(of, folder, *two()))


def two() -> list[str]:
    """Two worker processes on a port of their own, so that tests can run beside each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return ["--processes", "2", "--master-bind-port", port, "--master-port", port]


def master_and_workers(of: Trial, folder: Path) -> str:
    """Three processes started one by one, as on three machines: one has a folder of its own, whose files are copied."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    master = locust(of, folder, "--master", "--master-bind-port", port, "--expect-workers", "2")
    line = ["locust", "-f", str(ROOT / "scenarios" / "backlog.py"), "--worker", "--master-port", port]
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    far = msgspec.structs.replace(of, records=str(elsewhere / "r"))
    workers = [start(line, env=case_file(*at)) for at in ((folder, of), (elsewhere, far))]
    try:
        return finished(master)
    finally:
        for worker in workers:
            finished(worker, 15)
        for path in (elsewhere / "r").iterdir():
            path.rename(Path(of.records) / path.name)


@pytest.mark.parametrize(
    "mode",
    [local, local_unpatched, pytest.param(two_processes, marks=pytest.mark.covered_processes), master_and_workers],
)
@pytest.mark.parametrize("strategy", ["queue-stream:concurrency=8", "threads:workers=4"])
def test_three_counts_agree_on_a_faulty_server(
    mode: Callable[[Trial, Path], str], strategy: str, tmp_path: Path
) -> None:
    """With status codes, resets and malformed answers, and no retries: one request, one row, one exchange."""
    with mock(FAULTY, tmp_path) as server:
        case = spec(server.url, tmp_path / "r", strategy, items=400, users=3)
        agree(mode(case, tmp_path), tmp_path / "r", server, 400)
    exact(case, tmp_path / "r")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("how", ["sigterm", "run-time"])
def test_a_stop_in_the_middle_loses_no_slow_request(how: str, processes: int, tmp_path: Path) -> None:
    """Requests of a second are in flight when the stop comes: all are drained, recorded and counted."""
    with mock(SLOW, tmp_path) as server:
        case = spec(server.url, tmp_path / "r", "queue-stream:concurrency=10", items=1000, users=2)
        more = two() if processes == 2 else []
        child = locust(case, tmp_path, *more, *(["-t", "5s"] if how == "run-time" else []))
        if how == "sigterm":
            while not server.seen():
                time.sleep(0.05)
            time.sleep(1.3)
            child.send_signal(signal.SIGTERM)
        text = finished(child)
        agree(text, tmp_path / "r", server, None)
        rows = recorded(tmp_path / "r")
        assert len(rows) >= 20
        assert {outcome for _, outcome in rows} == {Outcome.ok}


SHAPE = '''
from locust import LoadTestShape
from scenarios.users import Application

class Shaped(Application):
    """Users come and go."""

class OneThreeOne(LoadTestShape):
    users_max = 3
    def tick(self):
        at = self.get_run_time()
        return None if at > 6 else (3, 3) if 2 < at < 4 else (1, 3)
'''


def test_a_shape_that_adds_and_removes_users_loses_nothing(tmp_path: Path) -> None:
    """Users that the shape stops drain first; their slots are free for later ones."""
    (tmp_path / "shaped.py").write_text(SHAPE)
    with mock("constant-120ms") as server:
        case = spec(server.url, tmp_path / "r", items=None, users=3, duration_s=20.0)
        case = msgspec.structs.replace(case, load=Named("poisson", {"rate_per_s": 60.0}))
        child = start([*LOCUST, "-f", str(tmp_path / "shaped.py")], env=case_file(tmp_path, case), cwd=tmp_path)
        text = finished(child)
        agree(text, tmp_path / "r", server, None)
        assert len(recorded(tmp_path / "r")) > 100


def test_play_watches_its_child_and_tells_how_it_ended(tmp_path: Path) -> None:
    """Status lines arrive, the exit code is 0 although requests failed, the log is kept."""
    seen: list[float] = []
    with mock(FAULTY, tmp_path) as server:
        case = spec(server.url, tmp_path / "r", "queue-stream:concurrency=2", items=300)
        played = play(case, lambda status: seen.append(status.get("done") or 0))
    assert (played.exit_code, played.interrupted) == (0, False)
    assert seen[-1] == 300
    assert "Aggregated" in played.log.read_text()


def test_plain_locust_starts_a_mock_and_leaves_a_run(tmp_path: Path) -> None:
    """No --host, no case: the scenario's own load on the demo profile, and a directory that can be reported."""
    line = [*LOCUST, "-f", str(ROOT / "scenarios" / "spike.py"), "-u", "2", "-r", "2", "-t", "3s", "--out", "out"]
    child = start(line, cwd=tmp_path)
    text = finished(child)
    verdict = json.loads((tmp_path / "out" / "result.json").read_text())["verdict"]
    assert {reason["code"] for reason in verdict["reasons"]} <= BUSY  # the machine may be busy
    assert child.returncode == (0 if verdict["status"] == "valid" else 4)
    assert "report: paceline report out" in text
    assert len(recorded_of(tmp_path / "out", "spike")) == locusts_total(text)[0] > 20


def recorded_of(run: Path, case: str) -> list[int]:
    """Rows of a run directory."""
    _, data = read(find(run / "records")[case][0][0].requests)
    rows: list[int] = data["index"].tolist()
    return rows


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--strategy", "syn"], "paceline: unknown strategy 'syn': did you mean sync?"),
        (["--host", "http://127.0.0.1:1"], "Connection refused; is the server running?"),
        (["--rate", "-3"], "rate_per_s=-3.0 must be above 0"),
    ],
)
def test_plain_locust_answers_mistakes_in_a_line(more: list[str], says: str, tmp_path: Path) -> None:
    """Exit code 2, no traceback."""
    child = start([*LOCUST, "-f", str(ROOT / "scenarios" / "steady.py"), *more], cwd=tmp_path)
    text = finished(child)
    assert says in text
    assert "Traceback" not in text
    assert child.returncode == 2


def test_plain_locust_ends_with_4_on_an_invalid_run(tmp_path: Path) -> None:
    """Every request fails: there is nothing to trust, whatever --exit-code-on-error says of failures."""
    (tmp_path / "broken.toml").write_text(
        "# broken\n[service]\nbase_s = 0.001\n[[faults]]\nkind = 'status'\nstatus = 500\n"
    )
    line = [
        *LOCUST,
        "-f",
        str(ROOT / "scenarios" / "backlog.py"),
        "--items",
        "50",
        "--server",
        "broken.toml",
        "--out",
        "out",
    ]
    child = start([*line, "--exit-code-on-error", "0"], cwd=tmp_path)
    text = finished(child)
    assert child.returncode == 4, text
    assert "verdict: invalid" in text
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["cases"][0]["load"]["duration_s"] is None, "every item of a backlog is due at once"
    assert set(result["environment"]["records_sha256"]) == {"backlog/0"}


@pytest.mark.parametrize("processes", [1, 2])
def test_plain_locust_that_is_stopped_drains_before_its_result(processes: int, tmp_path: Path) -> None:
    """SIGTERM: the mock is there until the last answer, and what nobody sent of the schedule is counted."""
    line = [*LOCUST, "-f", str(ROOT / "scenarios" / "steady.py"), "--rate", "20", "--duration", "60", "--out", "out"]
    child = start([*line, "-u", "2", "-r", "2", *([] if processes == 1 else two())], cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 2_000 for path in tmp_path.glob("out/records/*.requests")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    text = finished(child)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    codes = [reason["code"] for reason in result["verdict"]["reasons"]]
    assert child.returncode == (4 if {"lag", "client_ceiling", "client_starved"} & set(codes) else 5), (
        text
    )  # on a busy machine the load comes late
    counts = result["cases"][0]["counts"]
    assert counts["connection_error"] == counts["rejected"] == 0
    assert counts["ok"] + counts["not_sent"] == counts["scheduled"] > 1000
    assert [code for code in codes if code not in BUSY] == ["unfinished"]
