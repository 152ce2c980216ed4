"""`paceline process` as its users run it: pipes, Ctrl-C, a full disk, a server that dies; exit codes and words."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.tally import RowCounts
from harness.cli import process_show
from harness.cli.process_show import Show, same_command
from tests.bulk.helpers import rows, settings, write_input
from tests.bulk.killing import check
from tests.processes import ROOT, mock, paceline

pytestmark = pytest.mark.slow
SLOW = "[generation]\nttft_base_s = 0.02\nitl_base_s = 0.0001\n"


def start(*arguments: str, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """The command, its words on stderr captured."""
    line = [sys.executable, "-m", "harness", "process", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True, **more)


def until_lines(path: Path, least: int, run: subprocess.Popen[str]) -> None:
    """Wait until that much of the file is there."""
    while not path.exists() or path.read_bytes().count(b"\n") < least:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.01)


def test_a_pipe_is_answered_as_it_comes(tmp_path: Path) -> None:
    """Standard input that is slow, standard output, and nothing else on it."""
    with mock() as server:
        arguments = ["-", "--output", "-", "--dead-letter", "bad.jsonl", "--task", "annotate", "--target", server.url]
        run = start(*arguments, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert run.stdin is not None
        assert run.stdout is not None
        for number in (1, 2, 3):
            run.stdin.write(json.dumps({"id": number, "text": "x y z"}) + "\n")
            run.stdin.flush()
            assert json.loads(run.stdout.readline())["id"] == number
        run.stdin.close()
        assert run.stdout.read() == ""
        assert run.wait(30) == 0, run.stderr.read() if run.stderr else ""
        run.stdout.close()
        if run.stderr:
            run.stderr.close()


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """As in `| head`: quiet, and exit code 0."""
    write_input(tmp_path / "in.jsonl", 20_000)
    with mock() as server:
        arguments = ["in.jsonl", "--output", "-", "--dead-letter", "bad.jsonl", "--task", "annotate"]
        run = start(*arguments, "--target", server.url, cwd=tmp_path, stdout=subprocess.PIPE)
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 0, said
    assert "Traceback" not in said


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    """The very command that it prints completes the run."""
    write_input(tmp_path / "in.jsonl", 600)
    with mock(SLOW, tmp_path) as server:
        arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "-s", "queue-stream:concurrency=8"]
        arguments += ["--target", server.url, "--dead-letter", "bad.jsonl"]
        run = start(*arguments, cwd=tmp_path)
        until_lines(tmp_path / "out.jsonl", 20, run)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 5, said
        assert "stopped: interrupted" in said
        done = len(rows(tmp_path / "out.jsonl"))
        assert 20 <= done < 600
        command = said.partition("resume with: paceline process ")[2].split()
        assert command == [*arguments, "--resume"]
        again = paceline("process", *command, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert summary["session"]["attempts"] <= 600 - done
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", 600)


def test_a_full_disk_stops_the_run_and_it_can_go_on(tmp_path: Path) -> None:
    """Files that may not grow any further stand in for it: what was done before is done."""
    write_input(tmp_path / "in.jsonl", 3_000)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    with mock() as server:
        arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "--target", server.url]
        arguments += ["--dead-letter", "bad.jsonl", "-s", "queue-stream:concurrency=20"]
        run = start(*arguments, cwd=tmp_path, preexec_fn=small)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 5, said
        assert "cannot be written: File too large" in said
        assert "--resume" in said
        again = paceline("process", *arguments, "--resume", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["session"]["ok"] < 2_900
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", 3_000)


def test_a_server_that_dies_makes_no_dead_letters(tmp_path: Path) -> None:
    """It is waited for; then the run stops, and goes on with another server."""
    write_input(tmp_path / "in.jsonl", 400)
    arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "annotate", "--dead-letter", "bad.jsonl"]
    with mock(SLOW, tmp_path) as server:
        run = start(*arguments, "--target", server.url, "--patience", "1", cwd=tmp_path)
        until_lines(tmp_path / "out.jsonl", 20, run)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 5, said
    assert "takes no connections; waiting up to 1 s" in said
    assert "has not answered for" in said
    assert rows(tmp_path / "bad.jsonl") == []
    refused = paceline("process", *arguments, "--target", server.url, "--resume", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is the server running?" in refused.stderr
    with mock() as server:
        again = paceline("process", *arguments, "--target", server.url, "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", 400)


def test_too_many_dead_letters_are_exit_code_1_and_mistakes_2(tmp_path: Path) -> None:
    """In words; with everything that was done kept."""
    (tmp_path / "in.jsonl").write_text('{"nothing": 1}\n' * 500)
    with mock() as server:
        arguments = ["in.jsonl", "--output", "out.jsonl", "--target", server.url]
        run = paceline("process", *arguments, "--task", "annotate", "--errors-max", "10%", cwd=tmp_path)
        assert run.returncode == 1
        assert "stopped: 100 of the last 100 lines are dead letters, more than 10 % (--errors-max)" in run.stderr
        assert "bad_line 100; line 1: text: is missing" in run.stderr
        assert "fix the cause first; start again with: paceline process" in run.stderr
        assert "--resume" not in run.stderr
        for more, words in [
            (["--task", "anotate"], "did you mean annotate"),
            (["--errors-max", "half"], "is not a share such as 5% or 0.05"),
            (["--task", "annotate"], "--resume continues it"),
            (["--task", "annotate", "-s", "adaptive+hedje"], "hedje"),
            (["--task", "annotate", "-s", "sync", "-s", "adaptive"], "--strategy: given 2 times, it takes one value"),
        ]:
            wrong = paceline("process", *arguments, *more, cwd=tmp_path)
            assert wrong.returncode == 2, wrong.stderr
            assert words in wrong.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(tmp_path: Path, closed: str) -> None:
    """As some supervisors start a program; messages are lost then, answers are not, and no file is written into."""
    write_input(tmp_path / "in.jsonl", 20)
    with mock() as server:
        line = f"{sys.executable} -m harness process in.jsonl --output out.jsonl --task annotate --target {server.url}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(f"{line} {closed}", shell=True, cwd=tmp_path, env=environment, timeout=60, check=False)  # noqa: S602 - a shell closes them
        assert run.returncode == 0
        assert [row["line"] for row in rows(tmp_path / "out.jsonl")] == list(range(1, 21))
        for path, stream in (("-", "<&-"), ("in.jsonl --output - --dead-letter bad.jsonl", ">&-")):
            line = f"{sys.executable} -m harness process {path} --task annotate --target {server.url}"
            line += " --output x.jsonl" if path == "-" else ""
            run = subprocess.run(  # noqa: S602 - as above
                f"{line} {stream}",
                shell=True,
                cwd=tmp_path,
                env=environment,
                timeout=60,
                check=False,
                stderr=subprocess.PIPE,
            )
            assert run.returncode == 2
            assert b"standard " in run.stderr
            assert b"put is closed" in run.stderr


def test_at_a_terminal_progress_is_live(tmp_path: Path) -> None:
    """A bar with rate and counts, gone at the end; the words stay."""
    write_input(tmp_path / "in.jsonl", 120)
    ours, theirs = pty.openpty()
    with mock(SLOW, tmp_path) as server:
        line = [sys.executable, "-m", "harness", "process", "in.jsonl", "--output", "out.jsonl", "--task", "annotate"]
        line += ["--target", server.url, "-s", "queue-stream:concurrency=2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"}
        run = subprocess.Popen(line, cwd=tmp_path, env=environment, stderr=theirs)
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65_536):
                said += chunk
        except OSError:  # the terminal of a process that has ended
            pass
        os.close(ours)
    assert run.wait(30) == 0
    assert b"in flight" in said
    assert b"/120" in said
    assert b"120 answers" in said


def test_without_a_terminal_progress_is_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines, rate, the cost of retries, time left; and an outage is reported once, with its end."""
    monkeypatch.setattr(process_show, "EVERY_S", 0.0)
    counts = RowCounts(ok=900, dead={"rejected": 100}, attempts=1_250, failed_attempts=250)
    counts.exchange_s, counts.failed_exchange_s = 100.0, 5.0
    status = {"counts": counts, "rate_per_s": 50.0, "in_flight": 8, "lines": 11_000.0}
    with Show(settings(tmp_path, target="http://server")) as show:
        show("begin", {"resumed": 400, "resumable": True})
        show("status", status)
        show("waiting", {"ok": 900})
        show("waiting", {"ok": 900})
        counts.ok += 1
        show("status", status)
        show("stopping", {"why": "interrupted", "in_flight": 8})
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "resuming after 400 lines"
    assert said[1] == (
        "1,000 of about 11,000 lines, 50/s  8 in flight  100 dead  retries 20 % of calls, 5 % of time, 200 s left"
    )
    assert said[2] == "the server at http://server takes no connections; waiting up to 60 s"
    assert said[3] == "the server answers again"
    assert said[5].startswith("stopping: 8 calls in flight may take 10 s more; press Ctrl-C again")


def test_the_command_that_goes_on_is_the_same_with_resume() -> None:
    """Quoted as a shell needs it, and never with an option that starts over."""
    line = ["process", "a b.jsonl", "--overwrite", "-s", "sync"]
    assert same_command(line, "resume") == "paceline process 'a b.jsonl' -s sync --resume"


def test_the_example_in_the_docs_runs(tmp_path: Path) -> None:
    """As it stands, against a real server; called again it has nothing to do."""
    text = (ROOT / "docs" / "process.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 - the docs' own code
    write_input(tmp_path / "in.jsonl", 30)
    with mock() as server:
        for again in (False, True):
            summary = names["annotate_all"](server.url, str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"))
            assert (summary.counts["ok"], summary.nothing_to_do) == (30, again)
