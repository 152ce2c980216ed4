"""The server under test: an embedded mock or a user's URL."""

from __future__ import annotations

import asyncio
import json
import math
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.base import units
from harness.client.errors import UsageError
from harness.client.redaction import redact
from harness.client.transport.endpoint import Access
from harness.client.transport.server import PROBE_S, SideCalls, call, check_answers, check_url, root_of, route
from harness.client.types import Send
from harness.experiment import children

T = TypeVar("T")
START_S = 20.0
_MOST_SEEN = 2**63


@dataclass
class RunningTarget:
    """A server under test; `with` stops its process."""

    url: str
    profile: str | None = None
    note: str | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    access: Access | None = field(default=None, repr=False)
    calls: SideCalls = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # An embedded mock always answers in the end.
        self.calls = SideCalls(self.root, math.inf if self.embedded else PROBE_S, self.access)

    def __enter__(self) -> RunningTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def root(self) -> str:
        """Base of the routes outside the API: a base URL may end in /v1, as in OpenAI's clients."""
        return root_of(self.url)

    @property
    def embedded(self) -> bool:
        return self.process is not None

    def stop(self) -> None:
        """Stop the embedded mock; a user's server is left alone."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()

    def reset(self) -> None:
        """Reset the embedded mock's schedule and counts, so that each case meets the same server."""
        if self.embedded:
            call(route(self.root, "/debug/reset"), "POST")

    def ask(self, dialogue: Callable[[Send], Awaitable[T]]) -> T:
        """A few requests beside the load, with the headers, TLS and proxy of the load."""
        from harness.client.transport.async_http import HttpTransport

        to = self.access or Access(self.url)

        async def whole() -> T:
            more: dict[str, Any] = {
                "authorization": to.authorization,
                "headers": to.headers,
                "tls": to.tls,
                "proxy": to.proxy,
            }
            async with HttpTransport(self.url, **more) as send:
                return await dialogue(send)

        return asyncio.run(whole())

    def seen(self) -> int | None:
        """HTTP exchanges on work routes that the server has counted; None if it does not report them."""
        counts = self.calls.get("/debug/counts")
        total = counts.get("total") if isinstance(counts, dict) else None
        seen = total.get("seen") if isinstance(total, dict) else None
        # Any server may stand there: only a count is taken, and `true` is an int to Python.
        return seen if type(seen) is int and 0 <= seen < _MOST_SEEN else None


def remote(url: str, to: Access | None = None) -> RunningTarget:
    """A user's server, reached with these headers, TLS and proxy; raises UsageError if it does not answer."""
    url = check_url(url)
    check_answers(url, to)
    target = RunningTarget(url, access=to)
    info = target.calls.get("/info")
    note = info.get("note") if isinstance(info, dict) else None
    target.note = redact(note) if isinstance(note, str) else None
    return target


def embedded(
    profile: str, speed: float | None = None, seed: int | None = None, log: Path | None = None
) -> RunningTarget:
    """Start a mock on a free port of the loopback; raises UsageError with the mock's own line if it refuses."""
    command = children.python("mock_server", "--profile", profile, "--port", "0", "--exit-with-stdin")
    for option, value in (("--seed", seed), ("--speed", speed)):
        command += [] if value is None else [option, str(value)]
    with tempfile.TemporaryFile() if log is None else log.open("w+b") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_without_key(),
            start_new_session=True,
        )
        line = _first_line(process)
        if not line:
            process.wait()
            stderr.seek(0)
            text = stderr.read().decode(errors="replace")
    if not line:
        RunningTarget("", process=process).stop()
        said = text.strip().splitlines()
        raise UsageError(_as_option(said[-1]) if said else _silent(profile, process.returncode))
    ready = json.loads(line)
    return RunningTarget(ready["url"], profile=ready.get("profile", profile), note=ready.get("note"), process=process)


def _silent(profile: str, exit_code: int) -> str:
    """Why there is no mock that listens, if it said nothing; it was killed here after START_S."""
    if exit_code != -signal.SIGKILL:
        return f"the mock server {profile!r} ended with exit code {exit_code}, and wrote nothing"
    return (
        f"the mock server {profile!r} did not start within {units.seconds(START_S)}, or was killed: the machine is "
        "busy or short of memory; run it again on a quieter one"
    )


def _as_option(line: str) -> str:
    """The line with which a mock refuses, in the words of our command: its --profile is our --server."""
    own = line.removeprefix("mock_server: ")
    return f"--server {own.removeprefix('--profile ')}" if own.startswith("--profile ") else own


def _without_key() -> dict[str, str]:
    """The environment without the API key: the embedded mock checks none and its clients send none."""
    return {name: value for name, value in children.environment().items() if name != "PACELINE_API_KEY"}


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """The ready line, or nothing if the process ended or START_S passed without one."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    deadline = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if selector.select(deadline - time.monotonic()):
            return process.stdout.readline()
    process.kill()
    return b""
