"""Many connections from one process, in small: all in flight at once, none lost, and what is missing is said."""

from __future__ import annotations

import asyncio
import resource

import pytest

from harness.client.transport import local_ports, open_files
from harness.experiment.event_loop import new_event_loop
from tests.bench import many_connections
from tests.bench.fixed_answers import fixed_answers

CONNECTIONS = 200


def test_all_requests_are_in_flight_at_once_and_all_are_answered() -> None:
    with fixed_answers(CONNECTIONS) as (url, _), asyncio.Runner(loop_factory=new_event_loop) as runner:
        found = runner.run(many_connections.measured(url, CONNECTIONS))
    assert len(found) == 2
    for figures in found.values():
        assert figures["outcomes"] == {"ok": CONNECTIONS}
        assert figures["in flight at most"] == figures["connections open"] == CONNECTIONS


def test_what_the_machine_does_not_allow_is_said_with_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "limits", lambda: (100.0, 200.0))
    monkeypatch.setattr(many_connections, "local_ports", lambda: 150)
    # With these limits it would lower those of the whole process.
    monkeypatch.setattr(resource, "setrlimit", lambda *limits: None)
    files, ports = many_connections.missing(300)
    assert "400 open files are needed, 200 are allowed: `ulimit -n 400`" in files
    assert local_ports.WIDER in ports
    assert many_connections.main(["--connections", "300"]) == 2
