"""`python -m mock_server`: the ready line, the port file, stops, and a user's mistakes in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mock_server.main import main
from model_server.command import face_settings

pytestmark = [pytest.mark.slow, pytest.mark.covered_processes]


@contextmanager
def command(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mock_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def post(url: str, body: Any, timeout: float = 5) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310 - a URL of our own making
    with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310 - as above
        return json.loads(response.read())


def test_it_serves_says_where_and_stops_on_sigterm(tmp_path: Path) -> None:
    port_file = tmp_path / "port.json"
    with command("--profile", "demo", "--speed", "10", "--seed", "3", "--port-file", str(port_file)) as (process, line):
        assert line == {"url": line["url"], "profile": "demo", "pid": process.pid, "note": "times divided by 60"}
        assert json.loads(port_file.read_text()) == line
        assert post(line["url"] + "/similarity", {"text1": "a", "text2": "a"}) == {"similarity_score": 1.0}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_streams_and_timers_run_under_uvloop() -> None:
    with command("--profile", "constant-120ms") as (_, line):
        begun = time.monotonic()
        answer = post(line["url"] + "/annotate", {"text": "x", "max_tokens": 5})
        seconds = time.monotonic() - begun
        assert answer["tokens"] == 5
        assert seconds >= 0.199


def test_it_ends_when_its_parent_closes_stdin() -> None:
    with command("--profile", "null", "--exit-with-stdin", stdin=subprocess.PIPE) as (process, _):
        assert process.stdin is not None
        assert process.poll() is None
        process.stdin.close()
        process.stdin = None
        assert process.wait(30) == 0


def test_the_api_key_comes_from_the_environment() -> None:
    with (
        command("--profile", "null", env={**os.environ, "PACELINE_API_KEY": "k"}) as (_, line),
        pytest.raises(urllib.error.HTTPError, match="401") as caught,
    ):
        post(line["url"] + "/similarity", {"text1": "a", "text2": "a"})
    caught.value.close()


@pytest.mark.parametrize("key", ["", "   ", "\n", "two words", "\u201ck\u201d", "k\u00e9y"])
def test_a_key_that_cannot_be_used_starts_no_server(
    key: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An empty one least of all: the server would be open. The key is not repeated."""
    monkeypatch.setenv("PACELINE_API_KEY", key)
    assert main(["--profile", "null"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mock_server: PACELINE_API_KEY")
    assert captured.err.count("\n") == 1
    assert not key.strip() or key not in captured.err


@pytest.mark.parametrize("key", ["k ", " k", "k\n", "k\r\n", "\tk"])
def test_blanks_and_line_ends_around_a_key_are_dropped(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_API_KEY", key)
    assert face_settings().api_key == "k"


def test_mistakes_are_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[service]\nbase_s = -1\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, message in (
            (["--profile", "structbert"], "--profile structbert: no such profile; known: constant-120ms, "),
            (["--profile", str(bad)], "service.base_s = -1"),
            (["--profile", "null", "--port", port], "Address already in use"),
            (["--profile", "null", "--speed", "-1"], "speed = -1.0: allowed: > 0"),
        ):
            assert main(arguments) == 2
            captured = capfd.readouterr()
            assert captured.out == ""
            assert message in captured.err
            assert captured.err.count("\n") == 1
