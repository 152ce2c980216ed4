"""The server of the live page: who may ask, who may stop, what the page gets, and how it ends."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.live.address import far_url_of, is_loopback, listening, may_ask, parse, url_of
from harness.live.connection_bounds import CONNECTIONS_MAX
from harness.live.exposition import CONTENT_TYPE, Family
from harness.live.exposition import render as render_metrics
from harness.live.key import Key
from harness.live.live_server import TOKEN_HEADER, LiveServer
from harness.live.run_board import RunBoard
from reports.live_page import render
from tests.contract.servers import wait_until

HOSTILE = "<img src=x onerror=alert(1)>"


class Board(RunBoard):
    """A board of a run that can always be stopped until it is over."""

    @property
    def stoppable(self) -> bool:
        return self._phase != "over" and not self._asked


@contextmanager
def served(
    stops: list[int] | None = None, board: RunBoard | None = None, key: Key | None = None
) -> Iterator[tuple[LiveServer, int]]:
    sock = listening(parse("0"))
    port = sock.getsockname()[1]
    found = board or Board("run-1", HOSTILE, HOSTILE)
    server = LiveServer(sock, "127.0.0.1", found, render, "run-1", lambda: (stops or []).append(1), key)
    server.start(polite=False)
    try:
        yield server, port
    finally:
        server.close()


def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body; the Host is ours unless it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"Host": f"127.0.0.1:{port}", **sent})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def events(port: int) -> Iterator[dict[str, Any]]:
    """The states that a page gets, until the server ends the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    while line := answer.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
    connection.close()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8090", "127.0.0.1", 8090),
        ("8090", "127.0.0.1", 8090),
        ("localhost:0", "localhost", 0),
        ("[::1]:80", "::1", 80),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    found = parse(text)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "text", [":8090", "x", "1:2:3", "127.0.0.1:", "65536", "a b:1", "http://x:1", "-1", "::1:80", ""]
)
def test_a_wrong_address_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"--live .*expected HOST:PORT or PORT.*0 \(a free one\) to 65535"):
        parse(text)


def test_a_taken_port_is_one_line_and_exit_code_2_and_leaves_no_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(parse("0")) as sock:
        port = sock.getsockname()[1]
        for command in (["run", "steady"], ["gate", "--baseline", str(tmp_path), "--items", "5"]):
            with pytest.raises(SystemExit) as ended:
                main([*command, "--live", str(port), "--out", str(tmp_path / "run")])
            assert ended.value.code == 2
            err = capsys.readouterr().err
            assert err == (
                f"paceline: --live 127.0.0.1:{port}: cannot listen there: Address already in use. "
                "Choose another port, or 0 for a free one\n"
            )
    assert not (tmp_path / "run").exists()


def test_another_mistake_beside_a_live_page_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is not printed before the settings are known to be right."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--rate", "5", "--live", "0", "--out", str(tmp_path / "run")])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith("paceline: a backlog has no --rate")
    assert err.count("\n") == 1


def test_a_name_that_nobody_knows_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"--live no\.such\.host\.invalid:1: cannot listen there: "):
        listening(parse("no.such.host.invalid:1"))


def test_only_the_loopback_is_the_loopback() -> None:
    with listening(parse("0")) as near, listening(parse("0.0.0.0:0")) as far:
        assert (is_loopback(near), is_loopback(far)) == (True, False)
        assert url_of(near).startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("127.0.0.1:8090", True),
        ("localhost", True),
        ("[::1]:80", True),
        ("192.168.1.7:8090", True),
        ("loadgen.lan:8090", True),
        (f"{socket.gethostname()}:1", True),
        ("evil.example:8090", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("a:b:c", False),
    ],
)
def test_a_page_of_another_name_may_not_ask(header: str, allowed: bool) -> None:
    """DNS rebinding: a browser asks our address under the name of another page."""
    assert may_ask(header, "loadgen.lan") is allowed


def test_the_host_header_is_checked_on_every_route() -> None:
    with served() as (server, port):
        for path in ("/", "/events", "/metrics", "/report", "/nowhere"):
            assert ask(port, "GET", path, Host="evil.example")[0] == 403
        token = {TOKEN_HEADER: server.token}
        assert ask(port, "POST", "/stop", Host="evil.example", **token)[0] == 403


def test_a_stop_takes_the_token_of_the_page_and_its_own_origin() -> None:
    stops: list[int] = [0]
    with served(stops) as (server, port):
        token = {TOKEN_HEADER: server.token}
        assert ask(port, "GET", "/stop")[0] == 405
        assert ask(port, "POST", "/stop")[0] == 403
        assert ask(port, "POST", "/stop", **{TOKEN_HEADER: "wrong"})[0] == 403
        assert ask(port, "POST", "/stop", Origin="http://evil.example", **token)[0] == 403
        assert ask(port, "POST", "/stop", Origin="null", **token)[0] == 403
        assert stops == [0]
        assert ask(port, "POST", "/stop", Origin=f"http://127.0.0.1:{port}", **token)[0] == 202
        # Once.
        assert ask(port, "POST", "/stop", **token)[0] == 409
    assert stops == [0, 1]


def test_the_page_is_whole_and_escaped_and_runs_only_its_own_script() -> None:
    with served() as (server, port):
        status, headers, page = ask(port, "GET", "/")
    assert status == 200
    assert f'content="{server.token}"' in page
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    # Nothing is loaded from elsewhere, and nothing is read as HTML.
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    assert "innerHTML" not in script
    assert HOSTILE not in page


def test_a_page_gets_the_state_at_once_with_each_event_and_at_the_end() -> None:
    with served() as (server, port):
        stream = events(port)
        first = next(stream)
        assert (first["run"], first["title"], first["phase"]) == ("run-1", HOSTILE, "starting")
        server.tell("search", {"text": "20 probes"})
        while not first["lines"]:
            first = next(stream)
        assert first["lines"] == ["capacity: 20 probes"]
        server.tell("over", {"text": "the run is over", "report": "/r/report.html", "page": True})
        closing = threading.Thread(target=server.close, args=(b"<p>report</p>",))
        closing.start()
        *_, last = stream
        assert (last["phase"], last["report"], last["has_report"], last["stoppable"]) == (
            "over",
            "/r/report.html",
            True,
            False,
        )
        # A page that was open still gets the report.
        assert ask(port, "GET", "/report")[2] == "<p>report</p>"
        closing.join(20)
        assert not closing.is_alive()
    with pytest.raises(OSError, match="refused"):
        ask(port, "GET", "/")


def test_without_a_page_the_end_does_not_wait() -> None:
    with served() as (server, port):
        assert ask(port, "GET", "/report")[0] == 404
        assert ask(port, "GET", "/metrics")[1]["content-type"] == CONTENT_TYPE
        server.close(b"report")
        assert not server._thread.is_alive()


class Broken(Board):
    """Fails when it is read."""

    def read(self) -> None:
        raise ValueError("torn")


def test_a_view_that_fails_says_so_and_answers_on() -> None:
    with served(board=Broken("run-1", "x", "x")) as (server, port):
        status, _, text = ask(port, "GET", "/metrics")
        assert (status, server.failure) == (500, "ValueError: torn")
        assert "torn" in text


def test_simulate_refuses_a_live_page(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compare", "sweep", "capacity"):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", command, "--live", "8090"])
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert "--live shows a run in real time, and simulate plays in virtual time" in err
        assert err.count("\n") == 1


def open_connections(server: LiveServer) -> int:
    found = server._connections
    assert found is not None
    return len(found.open())


def test_connections_are_bounded_and_idle_ones_make_room() -> None:
    """A client that opens hundreds neither locks the page nor fills the memory."""
    with served() as (server, port):
        assert ask(port, "GET", "/")[0] == 200
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * CONNECTIONS_MAX)]
        try:
            assert ask(port, "GET", "/")[0] == 200
            assert open_connections(server) <= CONNECTIONS_MAX
        finally:
            for one in idle:
                one.close()


def test_a_page_that_does_not_read_is_dropped_with_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.live.live_server.WRITE_S", 0.2)
    monkeypatch.setattr("harness.live.live_server.EVERY_S", 0.05)
    monkeypatch.setattr(LiveServer, "_encode", lambda self: setattr(self, "_state", b"x" * 8_000_000))
    with served() as (server, port), socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert slow.recv(1)
        wait_until(lambda: server._streams == 0 and open_connections(server) == 0)
        assert ask(port, "GET", "/metrics")[0] == 200


def test_metrics_have_all_their_digits() -> None:
    """A counter beyond ten digits still shows each step."""
    values = [12_345_678_901.0, 12_345_678_902, 0.1, 1e-9, 1e300, float("nan"), float("inf"), -float("inf"), 123456.789]
    family = Family("x", "gauge", "x", [({}, value) for value in values])
    shown = [line.split()[1] for line in render_metrics([family]).splitlines() if not line.startswith("#")]
    assert shown == [
        *("12345678901", "12345678902", "0.1", "1e-09", "1e+300", "NaN", "+Inf", "-Inf", "123456.789"),
    ]


def test_a_page_for_other_machines_has_their_name() -> None:
    with listening(parse("0.0.0.0:0")) as sock:
        port = sock.getsockname()[1]
        assert url_of(sock) == f"http://127.0.0.1:{port}/"
        assert far_url_of(sock) == f"http://{socket.gethostname()}:{port}/"
        assert may_ask(f"{socket.gethostname()}:{port}", "0.0.0.0")


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_the_page_is_served_by_an_ipv6_address() -> None:
    try:
        sock = listening(parse("[::1]:0"))
    except UsageError:
        pytest.skip("there is no IPv6 loopback here")
    server = LiveServer(sock, "::1", Board("run-1", HOSTILE, HOSTILE), render, "run-1", lambda: None)
    server.start(polite=False)
    port = sock.getsockname()[1]
    assert url_of(sock) == f"http://[::1]:{port}/"
    connection = http.client.HTTPConnection("::1", port, timeout=20)
    connection.request("GET", "/", headers={"Host": f"[::1]:{port}"})
    assert connection.getresponse().status == 200
    connection.close()
    server.close()
