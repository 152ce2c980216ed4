"""`paceline process --workers` with real processes: killed, interrupted, orphaned."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from harness.bulk import ProcessSettings
from harness.bulk.fleet import FleetSettings, process_with_workers
from harness.bulk.fleet.engines.local import LocalEngine
from harness.bulk.fleet.messages import Reply, WorkerLostError, WorkerOrder
from harness.experiment.event_loop import new_event_loop
from tests.bulk.fleet.inside import check_whole
from tests.bulk.helpers import rows, write_input
from tests.processes import ROOT, mock, paceline

pytestmark = pytest.mark.slow
SLOW = "[generation]\nttft_base_s = 0.01\nitl_base_s = 0.0001\n"
CONCURRENCY = 8
ARGUMENTS = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "-s", f"queue-stream:concurrency={CONCURRENCY}"]
ARGUMENTS += ["--workers", "2", "--range-lines", "100", "--resume"]


def start(url: str, cwd: Path) -> subprocess.Popen[str]:
    """The command in the background."""
    line = [sys.executable, "-m", "harness", "process", *ARGUMENTS, "--target", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


def workers_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """Its worker processes."""
    return psutil.Process(run.pid).children()


def seen(url: str, path: str = "") -> int:
    """Requests that the server has counted, of this path if given."""
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()  # noqa: S310 - our own mock
    counter = "paceline_exchanges_total{" + (f'route="{path}",' if path else "")
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(counter))


def until_answers(path: Path, least: int, run: subprocess.Popen[str]) -> None:
    """Wait until so many lines are in the parts or in the output."""
    while sum(map(_lines, _answers(path))) < least:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.01)


def _lines(file: Path) -> int:
    """Lines of a part; none if it was joined and removed in this moment."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes().count(b"\n")
    return 0


def _answers(path: Path) -> list[Path]:
    found = [*path.glob("out.jsonl"), *path.glob("out.jsonl.parts/part-*.jsonl")]
    return [file for file in found if file.exists()]


def test_killed_workers_and_a_killed_coordinator(tmp_path: Path) -> None:
    """Nothing is lost or doubled; orphans end at once; no more is sent again than was in flight."""
    write_input(tmp_path / "in.jsonl", 1500)
    with mock(SLOW, tmp_path) as server:
        run = start(server.url, tmp_path)
        until_answers(tmp_path, 150, run)
        workers_of(run)[0].kill()
        until_answers(tmp_path, 400, run)
        orphans = workers_of(run)
        assert orphans
        run.kill()
        run.communicate()
        gone, alive = psutil.wait_procs(orphans, timeout=10)
        assert not alive, "workers outlive their coordinator"
        assert gone
        done = paceline("process", *ARGUMENTS, "--target", server.url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        check_whole(tmp_path, 1500)
        assert seen(server.url) - 1500 <= 2 * CONCURRENCY


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    """Calls in flight end, finished ranges are joined, and the command that continues is printed."""
    write_input(tmp_path / "in.jsonl", 1500)
    with mock(SLOW, tmp_path) as server:
        run = start(server.url, tmp_path)
        until_answers(tmp_path, 250, run)
        os.kill(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 5, said
        assert "resume with: paceline process in.jsonl" in said
        alone = paceline("process", *ARGUMENTS[:7], "--resume", "--target", server.url, cwd=tmp_path)
        assert alone.returncode == 2
        assert "a run with --workers has begun this output" in alone.stderr
        done = paceline("process", *ARGUMENTS, "--target", server.url, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        check_whole(tmp_path, 1500)
        assert seen(server.url) == 1500


def test_a_server_that_is_not_there_is_a_mistake_and_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 2, one line, no files."""
    write_input(tmp_path / "in.jsonl", 10)
    done = paceline("process", *ARGUMENTS, "--target", "http://127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("more", [("--task", "own:Mine"), ("--task", "annotate", "-s", "own:Steady")])
def test_code_that_a_worker_cannot_import_is_a_mistake_that_names_the_worker(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    """On another machine a package may be missing. Exit code 2, one line, no files."""
    write_input(tmp_path / "in.jsonl", 10)
    (tmp_path / "own.py").write_text(
        "import sys\n"
        "if any('bulk_worker' in argument for argument in sys.orig_argv):\n"
        "    raise ImportError('no such library')\n"
        "from harness.client.tasks.annotate import Annotate as Mine\n"
        "from harness.strategies.queue_stream import QueueStream as Steady\n"
    )
    arguments = ("in.jsonl", "--output", "out.jsonl", "--workers", "2", *more)
    with mock() as server:
        done = paceline("process", *arguments, "--target", server.url, cwd=tmp_path)
    assert done.returncode == 2
    assert "no such library" in done.stderr
    assert re.search(r"\(found by worker w\d on .+\)$", done.stderr.strip())
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_folder_gets_the_parts(tmp_path: Path) -> None:
    """With a list of them; called from the library and from the command."""
    write_input(tmp_path / "in.jsonl", 300)
    with mock() as server:
        arguments = ["in.jsonl", "--output", "out/", "--task", "annotate", "--target", server.url, "--workers", "2"]
        done = paceline("process", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        listed = rows(tmp_path / "out" / "answers.jsonl")
        lines = [row["line"] for entry in listed for row in rows(tmp_path / "out" / entry["part"])]
        assert lines == list(range(1, 301))
        again = paceline("process", *arguments, "--resume", cwd=tmp_path)
        assert "nothing to do" in again.stderr
        shown = paceline("process", "status", "out", cwd=tmp_path)
        assert "complete, 300 of 300 lines" in shown.stdout
        own = ProcessSettings(
            input=str(tmp_path / "in.jsonl"), output=str(tmp_path / "own.jsonl"), target=server.url, tasks=("annotate",)
        )
        assert asyncio.run(process_with_workers(own, FleetSettings(workers=2))).passed
        assert len(rows(tmp_path / "own.jsonl")) == 300


def test_a_worker_whose_pipe_the_loop_has_closed_is_lost(tmp_path: Path) -> None:
    """uvloop raises RuntimeError for a write to it, which ended the run instead of the worker."""

    async def session() -> None:
        wanted = ProcessSettings(input="in.jsonl", output=str(tmp_path / "out.jsonl"), tasks=("annotate",))
        contact = await LocalEngine().start(WorkerOrder("w1", wanted, str(tmp_path), "token", 15.0, 0.1, True))
        process = contact._process
        process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.sleep(0)
        with pytest.raises(WorkerLostError, match="was ended by signal 9"):
            await contact.exchange(Reply())
        await contact.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(session())
