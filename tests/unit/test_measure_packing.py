"""The processes that compress closed segments: their end, and a new recording beside one that still runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.measure.record import segments


def test_processes_that_compress_are_reaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that still runs when the last is started, and the last one."""
    real, pids = os.posix_spawn, list[int]()

    def spawn(path: str, arguments: list[str], *more: Any, **settings: Any) -> int:
        # The first one runs until it is killed.
        arguments = arguments if pids else ["sleep", "600"]
        pids.append(real(path if pids else "/bin/sleep", arguments, *more, **settings))
        return pids[-1]

    monkeypatch.setattr(os, "posix_spawn", spawn)
    packer = segments.Packer()
    for number in (1, 2):
        part = segments.closed_name(tmp_path / "x.requests", number)
        part.write_bytes(b"rows")
        packer.add(part)
    packer.start()
    assert len(pids) == 2
    os.waitid(os.P_PID, pids[1], os.WEXITED | os.WNOWAIT)
    assert packer.running
    os.kill(pids[0], signal.SIGKILL)
    os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
    assert not packer.running
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_the_next_recording_reaps_the_last_process_of_the_one_before(tmp_path: Path) -> None:
    packer, part = segments.Packer(), tmp_path / "x.requests.0001"
    part.write_bytes(b"rows")
    packer.add(part)
    (pid,) = (pid for pid, owner in segments._started.items() if owner is packer)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    segments.Packer()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
