"""`paceline process status`: the state of a run from its files, whether its coordinator lives or not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.bulk.fleet.fleet_status import Snapshot, status_of, write_snapshot
from harness.bulk.fleet.members import Members
from harness.bulk.fleet.messages import Beat, Progress
from harness.bulk.fleet.parts import Parts
from harness.bulk.processing import Process
from harness.bulk.saving import Store
from harness.bulk.tally import RowCounts
from harness.cli.process import command
from harness.cli.process_status import described
from harness.client.errors import UsageError
from harness.client.types import Outcome
from tests.bulk import helpers
from tests.bulk.fleet.inside import go, settings
from tests.bulk.helpers import Server, write_input

WORKER = {"worker": "w1", "host": "here", "pid": 7, "ranges": [[3, 1]], "lines": 1200, "in_flight": 4}
WORKER |= {"rate_per_s": 99.0, "silent_s": 0.1, "straggler": False}


def broken_run(folder: Path) -> None:
    """A run that ended because a range ended its workers, with dead letters."""
    write_input(folder / "in.jsonl", 300)
    server = Server(judge=lambda index, call: Outcome.client_error if index == 5 else Outcome.ok)

    def dies(worker: str, beat: Any) -> bool:
        return 3 in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}

    assert go(settings(folder, errors_max=0.5), server, dies=dies).stopped == "worker"


def test_a_run_without_coordinator_is_told_from_its_journals(tmp_path: Path) -> None:
    """Joined ranges, finished parts and begun ones count."""
    broken_run(tmp_path)
    output = str(tmp_path / "out.jsonl")
    found = status_of(output, now=time.time() + 60)
    assert found.state == "stopped"
    assert found.silent_s == pytest.approx(60, abs=10)
    # Range 3 is never joined; how much of the others was done when the run ended is chance.
    assert found.ranges["joined"] <= 3
    assert found.done >= 50 * found.ranges["joined"]
    assert found.done == found.counts.settled > 0
    assert found.counts.dead["client_error"] >= 1
    text = "\n".join(described(found))
    assert "the same command with --resume continues" in text
    assert "client_error" in text
    assert re.search(r"line \d*5: HTTP 400: no", text)


def test_a_run_that_is_alive_shows_its_workers(tmp_path: Path) -> None:
    """With rate, time left, limits and stragglers."""
    broken_run(tmp_path)
    output = str(tmp_path / "out.jsonl")
    slow = {**WORKER, "worker": "w2", "rate_per_s": 9.0, "straggler": True}
    snapshot = Snapshot(100.0, 8, 1200.0, RowCounts(ok=200), [WORKER, slow], ["w3"], 12, 0.5, 2.0)
    write_snapshot(Parts(output), snapshot)
    found = status_of(output)
    assert (found.state, found.done, found.eta_s) == ("running", 200, 10.0)
    assert [worker["worker"] for worker in found.workers if worker["straggler"]] == ["w2"]
    text = "\n".join(described(found))
    assert "running, 200 of about 1,200 lines (16.7 %)" in text
    assert "100/s, 8 in flight, limit 12, rate limit at 50 % because of refusals, paused for 2 s by the server" in text
    assert "w2 on here (process 7): range 3 (epoch 1), 1,200 lines, 9/s, 4 in flight  slower than the others" in text
    assert "workers that were lost: w3" in text


def test_runs_of_one_process_have_a_status_too(tmp_path: Path) -> None:
    """Complete, or with an estimate of the lines that are left."""
    write_input(tmp_path / "in.jsonl", 40)
    helpers.go(helpers.settings(tmp_path))
    found = status_of(str(tmp_path / "out.jsonl"))
    assert (found.state, found.done, found.lines) == ("complete", 40, 40)
    os.utime(tmp_path / "out.jsonl.journal", (1, 1))
    assert status_of(str(tmp_path / "out.jsonl")).state == "complete"


def test_the_command_prints_it_and_writes_json(tmp_path: Path) -> None:
    """And reads only; a name without a run is one line and exit code 2."""
    broken_run(tmp_path)
    output = str(tmp_path / "out.jsonl")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    runner = CliRunner()
    shown = runner.invoke(command, ["status", output], standalone_mode=False)
    assert f"{output}: " in shown.output
    told = runner.invoke(command, ["status", output, "--json"], standalone_mode=False)
    assert json.loads(told.output)["ranges"] == status_of(output).ranges
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match="no run has begun this output"):
        status_of(str(tmp_path / "other.jsonl"))
    for name, why in ((f"{tmp_path}/folder/", "no run has begun"), (f"{output}/", "no run has begun")):
        with pytest.raises(UsageError, match=why):
            runner.invoke(command, ["status", name], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(UsageError, match="File name too long"):
        status_of("x" * 300)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_run_that_was_stopped_or_killed_is_known_at_once(tmp_path: Path) -> None:
    """By its last words, or on the same host because its process is gone; another host is judged by its silence."""
    broken_run(tmp_path)
    output = str(tmp_path / "out.jsonl")
    found = status_of(output)
    assert (found.state, found.orderly) == ("stopped", True)
    assert "it stopped" in "\n".join(described(found))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for host, pid, state in (
        (socket.gethostname(), gone.pid, "stopped"),
        (socket.gethostname(), os.getpid(), "running"),
        ("elsewhere", gone.pid, "running"),
    ):
        write_snapshot(Parts(output), Snapshot(100.0, host=host, pid=pid))
        found = status_of(output)
        assert (found.state, found.orderly) == (state, False)


def test_a_run_of_one_process_says_that_it_waits_and_that_it_has_stopped(tmp_path: Path) -> None:
    """Since when, as long as the outage lasts; after the end nothing has to be concluded from silence."""
    output = str(tmp_path / "out.jsonl")
    waits_s = 12.0
    store = Store(output, str(tmp_path / "bad.jsonl"), True, lambda pending: {}, lambda: waits_s)
    store.start({"input": {}}, False)
    assert (status_of(output).state, status_of(output).waiting_s) == ("running", 0.0)
    asyncio.run(store.checkpoint())
    found = status_of(output)
    assert found.waiting_s == pytest.approx(12, abs=5)
    assert re.search(r"the server takes no connections: waiting for 1\d(\.\d+)? s so far", "\n".join(described(found)))
    waits_s = 0.0
    asyncio.run(store.checkpoint())
    assert status_of(output).waiting_s == 0.0
    store.finish(complete=False)
    store.close()
    found = status_of(output)
    assert (found.state, found.orderly, found.waiting_s) == ("stopped", True, 0.0)


def test_a_run_that_waits_without_news_is_alive(tmp_path: Path) -> None:
    """Its journal is touched although nothing changes."""
    output = str(tmp_path / "out.jsonl")
    store = Store(output, str(tmp_path / "bad.jsonl"), True, lambda pending: {})
    store.start({"input": {}}, False)
    os.utime(output + ".journal", (1, 1))
    assert status_of(output).state == "stopped"
    asyncio.run(store.checkpoint())
    assert status_of(output).state == "running"
    store.close()


def test_a_process_knows_for_how_long_its_server_is_gone(tmp_path: Path) -> None:
    """From the first failed connection."""
    write_input(tmp_path / "in.jsonl", 40)
    waited: list[float] = []
    dead = Server(judge=lambda index, call: Outcome.connection_error)
    process = Process(
        helpers.settings(tmp_path, patience_s=0.2),
        dead,
        tell=lambda event, facts: waited.append(process.waits_s) if event == "waiting" else None,
    )
    assert asyncio.run(process.run()).stopped == "server"
    assert waited
    assert min(waited) > 0.0


def test_workers_that_all_wait_are_a_run_that_waits(tmp_path: Path) -> None:
    """One that is idle does not count."""
    members = Members()
    busy = [Progress(1, 1, 0, RowCounts())]
    members.heard(Beat("w1", progress=busy, waits_s=9.0), 0.0)
    members.heard(Beat("w2", progress=busy, waits_s=4.0), 0.0)
    members.heard(Beat("w3"), 0.0)
    assert members.waits_s == 4.0
    members.heard(Beat("w2", progress=busy), 0.0)
    assert members.waits_s == 0.0


def test_a_number_of_lines_that_is_known_is_not_about(tmp_path: Path) -> None:
    """Of a complete run, or once all of the input is cut."""
    write_input(tmp_path / "in.jsonl", 40)
    helpers.go(helpers.settings(tmp_path))
    assert "complete, 40 of 40 lines (100 %)" in next(described(status_of(str(tmp_path / "out.jsonl"))))
