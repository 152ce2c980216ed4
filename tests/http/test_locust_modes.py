"""Stops that are not polite, users that come and go, workers that die: what Locust says, what we recorded, what was."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from harness.experiment import target as targets
from harness.experiment.child_process import TrialEnd, play
from harness.experiment.spec import Trial
from harness.measure.record.files import find
from harness.measure.record.plan import CaseFacts, Measured, TaskShare, write_facts
from harness.measure.record.rows_file import read
from harness.measure.reduce.summary import observe
from harness.measure.result import Named
from tests.http.test_conservation import LOCUST, SLOW, agree, finished, locusts_total, recorded, two, two_processes
from tests.processes import FAULTY, ROOT, case_file, free_port, mock, result_of, spec, start

pytestmark = pytest.mark.slow
TWO = ["two worker processes"]  # each test's on a port of their own: tests run beside each other


def options(more: tuple[str, ...]) -> list[str]:
    """What Locust gets; a port that is free now where there are several processes."""
    return two() if list(more) == TWO else list(more)


def begun(of: Trial, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Locust in a process group of its own, so that a signal reaches all of it, as in a terminal."""
    line = [*LOCUST, "-f", str(ROOT / "scenarios" / "backlog.py"), "-u", str(of.users), "-r", str(of.users)]
    line += options(more)
    return start(line, env=case_file(folder, of), start_new_session=True)


def under_way(server: targets.RunningTarget, seconds: float = 1.3) -> None:
    """Return when requests are in flight, and so for a while."""
    deadline = time.monotonic() + 20
    while not server.seen():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(seconds)


@pytest.mark.parametrize(
    ("number", "strategy", "more"),
    [
        (signal.SIGINT, "queue-stream:concurrency=10", []),
        (signal.SIGTERM, "threads:workers=5", []),
        (signal.SIGINT, "queue-stream:concurrency=10", TWO),
        (signal.SIGTERM, "queue-stream:concurrency=10", TWO),
        (signal.SIGTERM, "threads:workers=5", TWO),
    ],
)
def test_a_signal_to_all_processes_at_once_loses_nothing(
    number: int, strategy: str, more: list[str], tmp_path: Path
) -> None:
    """Ctrl-C in a terminal, or the end of a container: master and workers stop at the same time, each drains."""
    with mock(SLOW, tmp_path) as server:
        child = begun(spec(server.url, tmp_path / "r", strategy, items=1000, users=2, drain_s=5.0), tmp_path, *more)
        under_way(server)
        stopped = time.monotonic()
        os.killpg(child.pid, number)
        text = finished(child, 30)
        assert time.monotonic() - stopped < 20  # a second for the drain, the rest for Locust; it is not waited in vain
        agree(text, tmp_path / "r", server, None)
    assert {outcome for _, outcome in recorded(tmp_path / "r")} == {Outcome.ok}
    assert set(find(tmp_path / "r")["case"]) == {0}  # no test began again while the processes left
    assert child.returncode == 0


def test_an_impatient_stop_cuts_what_outlives_the_drain_and_counts_it(tmp_path: Path) -> None:
    """The drain is shorter than a request: rows say so, the server saw them all."""
    slow = SLOW.replace("1.0", "20.0")
    with mock(slow, tmp_path) as server:
        child = begun(spec(server.url, tmp_path / "r", items=100, users=2, drain_s=0.5), tmp_path, *TWO)
        under_way(server, 0.5)
        child.send_signal(signal.SIGTERM)
        agree(finished(child, 30), tmp_path / "r", server, 16)
    assert {outcome for _, outcome in recorded(tmp_path / "r")} == {Outcome.unfinished}


def workers_of(parent: int) -> list[int]:
    """Its children, by /proc or whatever `ps` has."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, of in pairs if of == parent]


def test_a_worker_that_is_killed_takes_its_share_and_not_the_test(tmp_path: Path) -> None:
    """The other one finishes its own, Locust ends, and the log says what was lost."""
    with mock(SLOW.replace("1.0", "0.2"), tmp_path) as server:
        case = spec(server.url, tmp_path / "r", "queue-stream:concurrency=20", items=600, users=2, drain_s=5.0)
        child = begun(case, tmp_path, *TWO)
        under_way(server, 0.5)
        os.kill(workers_of(child.pid)[0], signal.SIGKILL)
        text = finished(child, 40)
        seen = server.seen() or 0
    assert re.search(r"worker [01] \(\S+\) is gone: the rest of its load is lost", text)
    rows = recorded(tmp_path / "r")
    whole = [share for share in (0, 1) if sum(index % 2 == share for index, _ in rows) == 300]
    assert len(whole) == 1
    assert 300 < len(rows) < 600
    ends = [part.end.exists() for part in find(tmp_path / "r")["case"][0]]
    assert sorted(ends) == [False, True]
    loss_is_counted(case, tmp_path / "r", ends.index(False), 1 - whole[0], seen)


def loss_is_counted(of: Trial, records: Path, process: int, user: int, seen: int) -> None:
    """Every item has an outcome, the server's surplus is named, and so is the worker."""
    rows = len(recorded(records))
    write_facts(CaseFacts(of.name, of.repeat, exit_code=0, server_seen=seen), records)
    case, verdict = observe(of, records, Measured(), [], of.repeat)
    assert case is not None
    assert case.lost is not None
    (lost,) = case.lost.processes
    assert (lost.process, lost.users, case.lost.exchanges) == (process, [user], seen - rows)
    assert lost.recorded == rows - 300
    counts = case.counts
    assert (counts.scheduled, counts.ok + counts.unfinished + counts.not_sent) == (600, 600)
    assert 0 < seen - rows <= counts.unfinished
    (text,) = [reason.text for reason in verdict.reasons if reason.code == "partial"]
    assert f"client process p{process} of 2 at " in text
    assert f"The server counted {seen - rows} exchanges that no record holds" in text
    assert f"{counts.unfinished} were under way" in text


def group_of(master: int) -> list[int]:
    """The processes of its group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == master and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.parametrize(("service_s", "outcome"), [("0.5", Outcome.ok), ("60.0", Outcome.unfinished)])
def test_the_workers_of_a_master_that_is_killed_drain_before_the_trial_is_over(
    service_s: str, outcome: Outcome, tmp_path: Path
) -> None:
    """They end in the drain, whether the requests in flight do or not; no process is left and no exchange is lost."""
    ends: list[TrialEnd] = []
    with mock(SLOW.replace("1.0", service_s), tmp_path) as server:
        case = spec(server.url, tmp_path / "r", items=1000, users=2, processes=2, drain_s=2.0)
        playing = threading.Thread(target=lambda: ends.append(play(case)))
        playing.start()
        under_way(server, 0.4)
        (master,) = (child.pid for child in psutil.Process().children() if "locust" in child.cmdline())
        assert len(group_of(master)) == 3
        os.kill(master, signal.SIGKILL)
        killed = time.monotonic()
        playing.join(60)
        assert group_of(master) == []
        assert time.monotonic() - killed < 20, "the drain, and not the end of the load"
        assert (ends[0].exit_code, ends[0].interrupted) == (-signal.SIGKILL, False)
        rows = recorded(tmp_path / "r")
        assert len(rows) == server.seen()
    assert outcome in {one for _, one in rows}
    assert len(rows) < 1000


def test_retries_are_attempts_of_one_request_in_every_process(tmp_path: Path) -> None:
    """Locust counts requests, the server exchanges; our rows know both."""
    with mock(FAULTY, tmp_path) as server:
        case = spec(server.url, tmp_path / "r", items=300, users=2, layers=LayerSettings(retries=6))
        text = two_processes(case, tmp_path)
        seen = server.seen() or 0
    tables = [read(part.requests)[1] for part in find(tmp_path / "r")["case"][0]]
    assert locusts_total(text) == (300, sum(int((rows["outcome"] != Outcome.ok).sum()) for rows in tables))
    assert sum(int(rows["attempts"].sum()) for rows in tables) == seen > 300


SHAPE = """
from locust import LoadTestShape
from scenarios.users import Application

class Shaped(Application):
    pass

class Steps(LoadTestShape):
    users_max = {peak}
    def tick(self):
        at = self.get_run_time()
        users = [u for since, u in {plan} if at >= since][-1]
        return (users, 5) if users else None
"""


def shaped(folder: Path, url: str, plan: list[tuple[float, int]], peak: int | None, *more: str, **fields: Any) -> str:
    """A case under a load shape: (from second, users), 0 is the end."""
    (folder / "shaped.py").write_text(SHAPE.format(peak=peak, plan=plan))
    case = spec(url, folder / "r", users=3, load=Named("constant", {"rate_per_s": 60.0}), items=None, **fields)
    line = [*LOCUST, "-f", str(folder / "shaped.py"), *options(more)]
    return finished(start(line, env=case_file(folder, case), cwd=folder))


def users_seen(folder: Path) -> set[int]:
    return {int(user) for part in find(folder)["case"][0] for user in read(part.requests)[1]["user"]}


@pytest.mark.parametrize("more", [[], TWO], ids=["local", "processes"])
def test_slots_of_those_who_left_are_taken_again_and_free_ones_too(more: list[str], tmp_path: Path) -> None:
    """1, 2, 1, then 3 users: the third has a share although more users than slots have been there."""
    with mock("constant-120ms") as server:
        plan = [(0, 1), (1.2, 2), (3.2, 1), (5.2, 3), (7.5, 0)]
        text = shaped(tmp_path, server.url, plan, 3, *more, duration_s=60.0)
        agree(text, tmp_path / "r", server, None)
    assert "beyond the planned" not in text
    assert users_seen(tmp_path / "r") == {0, 1, 2}


def test_a_shape_that_says_no_peak_keeps_the_share_of_its_first_users(tmp_path: Path) -> None:
    """A late worker causes a warning and has nothing to do, and nothing is lost."""
    with mock("constant-120ms") as server:
        text = shaped(tmp_path, server.url, [(0, 1), (1.5, 3), (4, 0)], None, duration_s=60.0)
        agree(text, tmp_path / "r", server, None)
    assert "a user beyond the planned 1 has no share of the load" in text
    assert users_seen(tmp_path / "r") == {0}


def test_a_shape_outlived_by_its_load_ends_when_the_schedule_does(tmp_path: Path) -> None:
    """Three users, then one; the arrivals are over long before the shape is."""
    with mock("constant-120ms") as server:
        start_s = time.monotonic()
        text = shaped(tmp_path, server.url, [(0, 3), (2, 1), (60, 0)], 3, duration_s=4.0)
        agree(text, tmp_path / "r", server, None)
    assert time.monotonic() - start_s < 45, "the shape would go on for 60 s"
    assert len(recorded(tmp_path / "r")) > 100


def test_a_test_that_locusts_own_page_starts_is_played_to_its_end_and_recorded(tmp_path: Path) -> None:
    """Its page is there, its figures are ours, and the result has them when Locust quits."""
    port, items = free_port(), 40
    line = ["locust", "-f", str(ROOT / "scenarios" / "backlog.py"), "--web-host", "127.0.0.1", "--web-port", str(port)]
    with mock() as server:
        options = ["--host", server.url, "--items", str(items), "--out", str(tmp_path / "run")]
        locust = start([*line, *options])
        try:
            assert "Locust" in _locusts_page(port, "/")
            assert json.loads(_locusts_page(port, "/swarm", b"user_count=1&spawn_rate=1"))["success"] is True
            deadline = time.monotonic() + 30
            while (seen := json.loads(_locusts_page(port, "/stats/requests")))["stats"][-1]["num_requests"] < items:
                assert time.monotonic() < deadline, seen
                time.sleep(0.1)
        finally:
            locust.send_signal(signal.SIGTERM)
            said = locust.communicate(timeout=60)[0]
    counts = result_of(tmp_path / "run")["cases"][0]["counts"]
    assert (counts["ok"], counts["locust_seen"]) == (items, items), said


def _locusts_page(port: int, path: str, form: bytes | None = None) -> str:
    """What Locust's web UI answers, as soon as it is there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", form, timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("more", [[], TWO])
def test_a_test_that_cannot_begin_ends_its_process(tmp_path: Path, more: list[str]) -> None:
    """With the reason, in place of waiting for ever."""
    of = spec("http://127.0.0.1:9", tmp_path / "records")
    broken = msgspec.structs.replace(of, tasks=[TaskShare(Named("no-such-task"))])
    child = begun(broken, tmp_path, *options(tuple(more)))
    said = finished(child)
    assert "the test cannot begin: unknown task 'no-such-task'" in said
    assert child.returncode == 3
    # The master says which of its workers it was, in one line.
    assert ("cannot begin the test, so it ends: unknown task 'no-such-task'" in said) is bool(more)
