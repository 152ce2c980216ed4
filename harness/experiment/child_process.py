"""Plays one repeat of a case in its own Locust process and reads its status.

The child is started by command line, so that CPU, memory and warm state of one strategy never touch another's, and so
that this process never imports Locust. A pipe carries the child's status lines; when this process dies the child finds
the pipe broken and stops.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness import plugins
from harness.client.transport.endpoint import AUTHORIZATION_VARIABLE
from harness.experiment import children
from harness.experiment.spec import TRIAL_VARIABLE, Trial
from harness.measure.record.files import slug

Watch = Callable[[dict[str, Any]], None]
"""Gets the merged status of the case, a few times a second."""

# Seconds after the drain until a child that does not stop is killed.
KILL_AFTER_S = 15.0


class TrialEnd(msgspec.Struct, frozen=True):
    """How a repeat of a case ended."""

    exit_code: int
    interrupted: bool
    log: Path


def command(trial: Trial) -> list[str]:
    """The Locust command line of a case."""
    locustfile = plugins.folder("scenario") / "locust_bridge" / "case_file.py"
    line = children.python("locust", "-f", str(locustfile), "--headless")
    line += ["--only-summary"]
    line += ["--loglevel", "WARNING", "-u", str(trial.users), "-r", str(trial.users)]
    # Failed requests are a result; the exit code reports only failures of the client.
    line += ["--exit-code-on-error", "0"]
    if trial.processes == 1:
        return line
    # With Locust's default port, two runs on one machine would share their workers.
    port = str(_free_port())
    return [*line, "--processes", str(trial.processes), "--master-bind-port", port, "--master-port", port]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(
    trial: Trial,
    case_file: Path,
    status_fd: int,
    authorization: str | None = None,
    connection: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The child's environment: the case, the status pipe, and no monkey-patching where one process suffices.

    Settings for the user's own Locust (`LOCUST_RUN_TIME` ...) are left out: the case holds every setting. Credentials
    are passed here because the case is written to a file.
    """
    env = {name: value for name, value in children.environment().items() if not name.startswith("LOCUST_")}
    env |= {TRIAL_VARIABLE: str(case_file), "PACELINE_SCENARIO": trial.scenario, "PACELINE_STATUS_FD": str(status_fd)}
    if authorization is not None:
        env[AUTHORIZATION_VARIABLE] = authorization
    env |= connection or {}
    if trial.processes == 1:
        env["LOCUST_SKIP_MONKEY_PATCH"] = "1"
    return env


def play(
    trial: Trial,
    watch: Watch | None = None,
    authorization: str | None = None,
    connection: Mapping[str, str] | None = None,
) -> TrialEnd:
    """Run the child to its end. On KeyboardInterrupt it stops and drains; its records are kept.

    None of its processes outlives this call: workers whose master was killed stop and drain, too.

    `authorization` and `connection` are credentials and settings of the connection, for the child's environment.
    """
    records, stem = Path(trial.records), slug(trial.name, trial.repeat, 0)
    case_file, log = records / f"{stem}.trial.json", records / f"{stem}.locust.log"
    case_file.write_bytes(trial.as_json())
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own scenario under Locust
            command(trial),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(trial, case_file, write_fd, authorization, connection),
            pass_fds=[write_fd],
            start_new_session=True,
        )
    os.close(write_fd)
    watcher = _Watcher(read_fd, watch)
    interrupted = False
    try:
        watcher.until(lambda: child.poll() is not None)
    except KeyboardInterrupt:
        interrupted = True
        _stop(child, watcher, trial.drain_s + KILL_AFTER_S)
    finally:
        try:
            if trial.processes > 1 and child.poll() is not None:
                interrupted |= _stop_workers(child.pid, case_file, watcher, trial.drain_s + KILL_AFTER_S)
        finally:
            os.close(read_fd)
            if child.poll() is None:
                _kill(child)
    return TrialEnd(child.returncode, interrupted, log)


def _stop(child: subprocess.Popen[bytes], watcher: _Watcher, grace_s: float) -> None:
    """Send SIGTERM and wait for the drain; a second Ctrl-C ends the wait."""
    child.send_signal(signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):
        watcher.until(lambda: child.poll() is not None, time.monotonic() + grace_s)


def _stop_workers(group: int, case_file: Path, watcher: _Watcher, grace_s: float) -> bool:
    """The same for the workers that a master left when it was killed, which then are killed; whether Ctrl-C came."""
    if not (left := _workers(group, case_file)):
        return False
    interrupted = False
    try:
        _signal(left, signal.SIGTERM)
        watcher.until(lambda: not _workers(group, case_file), time.monotonic() + grace_s)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _signal(_workers(group, case_file), signal.SIGKILL)
    return interrupted


def _workers(group: int, case_file: Path) -> list[psutil.Process]:
    """The processes of a process group that run and play this case.

    When a group is gone its number may be another's, so the case's file has to be in the environment. Nobody may wait
    for a process whose parent was killed, so one that has ended counts as gone before its number is free.
    """
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(pid) != group:
                continue
            process = psutil.Process(pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            if not ended and process.environ().get(TRIAL_VARIABLE) == str(case_file):
                found.append(process)
    return found


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        # psutil sends nothing to a process that was given the number of one that has ended.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Watcher:
    """Reads the status lines of all processes of a case and reports their sum."""

    def __init__(self, fd: int, watch: Watch | None) -> None:
        self._fd = fd
        self._watch = watch
        self._rest = b""
        self._of: dict[int, dict[str, Any]] = {}

    def until(self, over: Callable[[], bool], deadline: float | None = None) -> None:
        """Read until it is over, or until the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._fd, selectors.EVENT_READ)
            while not over() and (deadline is None or time.monotonic() < deadline):
                if not selector.get_map():
                    time.sleep(0.02)
                elif selector.select(0.1) and not self._read():
                    selector.unregister(self._fd)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError, KeyError):
                status = msgspec.json.decode(line)
                self._of[status["pid"]] = status
        if self._watch is not None:
            self._watch(self._merged())
        return True

    def _merged(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for status in self._of.values():
            for key, value in status.items():
                if isinstance(value, (int, float)) and key not in {"pid", "t_s"}:
                    merged[key] = merged.get(key, 0) + value
        merged["t_s"] = max((s.get("t_s") or 0.0 for s in self._of.values()), default=0.0)
        return merged
