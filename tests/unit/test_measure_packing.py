"""The processes that compress closed segments: their end, and a new recording beside one that still runs."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.measure.record import packing, segments


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


@pytest.mark.parametrize("closed", [False, True], ids=["removed", "replaced"])
def test_a_process_of_an_earlier_load_leaves_the_new_record_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """It has read a segment when the next load begins under the same name; that one has closed a segment or not."""
    path = tmp_path / "x.requests"
    part = segments.closed_name(path, 1)
    path.write_bytes(b"old, open")
    part.write_bytes(b"old")
    copy = shutil.copyfileobj

    def begin_next_load(*given: Any) -> None:
        copy(*given)
        segments.discard(path)
        path.write_bytes(b"new, open")
        if closed:
            part.write_bytes(b"new")
            part.with_name(f"{part.name}.gz.1.part").write_bytes(b"of the new load")

    monkeypatch.setattr(shutil, "copyfileobj", begin_next_load)
    packing.compress(str(part))
    found = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    new = {part.name: b"new", f"{part.name}.gz.1.part": b"of the new load"} if closed else {}
    assert found == {path.name: b"new, open", **new}


def test_a_failed_compression_leaves_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    part = tmp_path / "x.requests.0001"
    part.write_bytes(b"rows")
    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="no space left"):
        packing.compress(str(part))
    assert [file.name for file in tmp_path.iterdir()] == [part.name]


def test_a_new_recording_removes_what_killed_processes_have_left(tmp_path: Path) -> None:
    path = tmp_path / "x.requests"
    path.write_bytes(b"open")
    # A process that was killed while it closed this segment.
    os.link(path, segments.closed_name(path, 3))
    left = ["0001", "0001.gz", "0002.gz.part", "0002.gz.77.part", "0002.gz", "next"]
    others = ["x.attempts.0001", "x.requests.json", "y.x.requests.0001", "x.requestsX0001"]
    for name in [*(f"x.requests.{ending}" for ending in left), *others]:
        (tmp_path / name).write_bytes(b"rows")
    segments.discard(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["x.requests", *others])
