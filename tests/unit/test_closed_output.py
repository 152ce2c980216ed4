"""A command whose standard output was closed before its start ends like any other."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness.cli.options import play
from harness.cli.signals import reader_may_leave
from harness.client.errors import UsageError


def test_a_closed_standard_output_does_not_end_a_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with reader_may_leave():
            done.append("shown")
    assert done == ["shown"]


def test_json_for_a_closed_standard_output_is_refused_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = defaultdict(lambda: None, as_json=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        with pytest.raises(UsageError, match="--json writes to standard output, which is closed"):
            play(options, "backlog", [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line_and_not_a_fault_of_ours() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 5
    assert done.stderr == "paceline: standard output could not be written: No space left on device\n"
