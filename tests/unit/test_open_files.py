"""Open files: what a case needs, and what is said when there are too few."""

from __future__ import annotations

import asyncio
import errno
import resource
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.client.errors import UsageError
from harness.client.transport import local_ports, open_files
from harness.client.transport.connection_errors import connection_fault
from harness.client.types import Outcome, Request, Response
from harness.experiment.file_limit import IN_FLIGHT, RESERVE, check, needed
from harness.experiment.spec import Trial
from tests.processes import spec
from tests.unit.recorded import T0, end, recorder, request


def case(strategy: str, **more: Any) -> Trial:
    return spec("http://x", Path(), strategy, **more)


@pytest.mark.parametrize(
    ("strategy", "more", "processes", "connections"),
    [
        ("queue-stream:concurrency=300", {}, 1, 300),
        ("queue-stream:concurrency=300", {"users": 6}, 4, 600),
        ("threads:workers=40", {"users": 2}, 1, 80),
        ("adaptive:maximum=70", {}, 1, 70),
        ("unbounded", {"items": 5000, "users": 2}, 1, 5000),
        ("sync", {"items": 5000}, 1, 1),
    ],
)
def test_what_a_case_needs(strategy: str, more: dict[str, Any], processes: int, connections: int) -> None:
    """The connections of all applications of one process."""
    assert needed(case(strategy, processes=processes, **more)) == RESERVE + connections


@pytest.mark.parametrize(("name", "setting"), sorted(IN_FLIGHT.items()))
def test_the_settings_that_bound_strategies_exist(name: str, setting: str) -> None:
    assert setting in plugins.settings_of(plugins.make("strategy", name))


def test_too_few_are_refused_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.experiment.file_limit.limits", lambda: (64.0, 256.0))
    check([case("queue-stream:concurrency=150")])  # the soft limit is raised
    with pytest.raises(UsageError, match=r"needs 300 open files; the limit is 256 \(`ulimit -n`\)"):
        check([case("queue-stream:concurrency=200")])


def test_too_few_local_ports_are_refused_with_the_command_that_widens_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All processes share them; a Unix socket needs none, and a system that does not say is trusted."""
    (tmp_path / "range").write_text("60000\t60099\n")
    monkeypatch.setattr(local_ports, "RANGE", tmp_path / "range")
    assert local_ports.local_ports() == 100
    many = case("queue-stream:concurrency=60", users=2, processes=2)
    with pytest.raises(UsageError, match=r"120 connections.*has 100 ports.*sysctl -w net.ipv4.ip_local_port_range"):
        check([many], "http://h")
    check([many], "unix:/run/app.sock")
    said = connection_fault(OSError(errno.EADDRNOTAVAIL, "x"), "h")
    assert "no local port is free; this machine has 100 of them" in said
    monkeypatch.setattr(local_ports, "RANGE", tmp_path / "none")
    check([many], "http://h")


def test_the_soft_limit_is_raised_as_far_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 256))
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: asked.append(to))
    open_files.raise_limit()
    assert asked == [(256, 256)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, resource.RLIM_INFINITY))
    open_files.raise_limit()
    assert asked == [(256, 256)]


def test_only_a_want_of_descriptors_is_explained() -> None:
    assert "`ulimit -n`" in str(open_files.explained(OSError(errno.EMFILE, "Too many open files")))
    assert open_files.explained(OSError(errno.ENOSPC, "No space left on device")) is None


def test_requests_without_a_descriptor_are_the_clients_own_failure(tmp_path: Path) -> None:
    """Not the server's: the end says how many, and what the limit is."""
    into = recorder(tmp_path)
    said = "ClientConnectorError: Cannot connect to host x:80 ssl:default [Errno 24] Too many open files"

    async def send(_: Request, /) -> Response:
        return Response(Outcome.connection_error, sent=T0, done=T0 + 0.1, error=said.replace("24", str(errno.EMFILE)))

    async def play() -> None:
        for index in range(3):
            await into.layer(send)(request(index))

    asyncio.run(play())
    error = end(into).error or ""
    assert error.startswith("3 requests found no free file descriptor with 1 in flight: this process may have ")
