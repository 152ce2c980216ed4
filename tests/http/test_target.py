"""The server under test: started, asked, stopped; or refused in a line."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.client.errors import UsageError
from harness.client.transport import server
from harness.client.transport.server import call, check_url
from harness.experiment import target as targets
from harness.experiment.ceiling import rate_of
from tests.processes import mock, spec

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("url", ["", "foo", "ftp://x", "http://", "http://host:0", "http://host:port"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """With what is expected."""
    with pytest.raises(UsageError, match="expected http://HOST"):
        check_url(url)


def test_a_target_that_is_down_is_named() -> None:
    """Before anything is measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=f"target http://127.0.0.1:{port}: Connection refused; is the server running"):
        targets.remote(f"http://127.0.0.1:{port}/")


def test_an_embedded_mock_counts_resets_and_stops(tmp_path: Path) -> None:
    """A remote one is left alone."""
    with mock("demo", speed=2.0, log=tmp_path / "log") as server:
        assert server.note == "times divided by 12"
        assert call(f"{server.url}/nowhere") is None
        assert server.seen() == 0
        server.reset()
        remote = targets.remote(server.url)
        assert remote.note == f"simulated: answers are made up; {server.note}"
        assert not remote.embedded
        remote.stop()
        assert server.seen() == 0
    assert server.process is not None
    assert server.process.poll() is not None
    assert server.seen() is None


def test_exchanges_without_an_answer_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes connections and says nothing: it is asked by name, models and counts, at start and end."""
    monkeypatch.setattr(server, "PROBE_S", 0.3)
    monkeypatch.setattr(targets, "PROBE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        remote = targets.remote(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert [remote.seen() for _ in range(40)] == [None] * 40
        assert 0.3 <= time.monotonic() - began < 3.0
        asked = server.SideCalls(remote.url, 0.3)
        assert [asked.get("/x") for _ in range(40)] == [None] * 40


def test_a_server_that_answers_is_asked_every_time() -> None:
    """Also after a route that it does not have."""
    with mock("demo") as embedded:
        remote = targets.remote(embedded.url)
        assert [remote.calls.get("/nowhere") for _ in range(20)] == [None] * 20
        assert [remote.seen() for _ in range(20)] == [0] * 20


def test_a_mock_that_refuses_is_answered_with_its_own_line() -> None:
    """Unknown profiles come with near names."""
    with pytest.raises(UsageError, match=r"^--server nul: no such profile; known: .*did you mean null"):
        targets.embedded("nul")


def test_a_mock_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and named."""
    monkeypatch.setattr(targets, "START_S", 0.0)
    with pytest.raises(UsageError, match=r"the mock server 'null' did not start within .*: the machine is busy"):
        targets.embedded("null")


def test_a_mock_that_ends_without_a_word_is_named_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code is the only trace of the cause."""
    monkeypatch.setattr(targets.children, "python", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(UsageError, match="the mock server 'null' ended with exit code 3, and wrote nothing"):
        targets.embedded("null")


def test_the_middle_of_a_probe_is_its_rate(tmp_path: Path) -> None:
    """No file, or too few rows: no ceiling."""
    assert rate_of(tmp_path / "none") is None
    from tests.http.test_case_runner import play

    with mock() as server:
        play(spec(server.url, tmp_path / "r", items=50, name="few"))
        play(spec(server.url, tmp_path / "r", items=600, name="many"))
    assert rate_of(tmp_path / "r" / "few.r0.p0.requests") is None
    assert (rate_of(tmp_path / "r" / "many.r0.p0.requests") or 0) > 30


@contextmanager
def answering(answer: bytes, *, one_by_one: bool = False) -> Iterator[str]:
    """The URL of a server that answers whatever is asked with these bytes; slowly, it never ends."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                if not one_by_one:
                    peer.sendall(answer)
                while one_by_one and not over.wait(0.02):
                    peer.send(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _json(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n{text}".encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n",
        _json("[" * 100_000),
        _json('{"total": 1}'),
        _json('{"total": {}}'),
        _json('{"total": {"seen": "many"}}'),
        _json('{"total": {"seen": -1}}'),
        _json('{"total": {"seen": 1e400}}'),
        _json('{"total": {"seen": ' + "9" * 30 + "}}"),
    ],
    ids=["no-http", "cut", "headers", "deep", "number", "empty", "text", "negative", "infinite", "large"],
)
def test_a_server_with_odd_counts_reports_none(answer: bytes) -> None:
    """Neither bytes that are no HTTP nor JSON of another shape end a run."""
    with answering(answer) as url:
        assert targets.RunningTarget(url).seen() is None


def test_a_server_that_drips_its_answer_is_not_waited_for() -> None:
    """The time-out holds for the whole answer, not for each read."""
    with answering(b"", one_by_one=True) as url:
        begun = time.monotonic()
        assert call(url, timeout_s=0.3) is None
        assert time.monotonic() - begun < 3
