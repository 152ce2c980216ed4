"""Code of the user's own that does not end: a stop signal ends it, and the run continues from there."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.bulk.helpers import rows, write_input
from tests.bulk.killing import check
from tests.bulk.test_process_command import start, until_lines
from tests.processes import mock, paceline

OWN = """
from dataclasses import dataclass
from harness.client.tasks.annotate import Annotate

@dataclass(frozen=True)
class Loops(Annotate):
    '''An annotation whose row 300 takes for ever, while a file says so.'''

    def parse(self, row, /):
        import os
        while row["id"] == "i300" and os.path.exists("stuck"):
            {body}
        return super().parse(row)
"""


@pytest.mark.parametrize("body", ["pass", "try: sum(range(1000))\n            except Exception: pass"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_a_loop_in_own_code(tmp_path: Path, body: str, number: signal.Signals) -> None:
    write_input(tmp_path / "in.jsonl", 600)
    (tmp_path / "own.py").write_text(OWN.format(body=body))
    (tmp_path / "stuck").touch()
    with mock() as server:
        arguments = ["in.jsonl", "--output", "out.jsonl", "--task", "own:Loops", "-s", "queue-stream:concurrency=8"]
        arguments += ["--target", server.url, "--dead-letter", "bad.jsonl", "--window", "8"]
        run = start(*arguments, cwd=tmp_path)
        until_lines(tmp_path / "out.jsonl", 200, run)
        with pytest.raises(subprocess.TimeoutExpired):
            run.communicate(timeout=1)
        run.send_signal(number)
        said = run.communicate(timeout=90)[1]
        assert run.returncode == 5, said
        assert "stopped: interrupted" in said
        assert "Traceback" not in said
        (tmp_path / "stuck").unlink()
        done = len(rows(tmp_path / "out.jsonl"))
        assert 200 <= done < 300
        again = paceline("process", *arguments, "--resume", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["session"]["attempts"] <= 600 - done
    check(tmp_path / "out.jsonl", tmp_path / "bad.jsonl", 600)
