"""The network in memory: real client, real HTTP, real face; and the same records as the way without a network."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from harness.client.errors import SettingError
from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from harness.experiment.simulate import NotSimulated, SimulatedRun, Terms, simulate
from harness.experiment.simulate.network import Network
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.experiment.simulate.virtual_loop import VirtualLoop, run
from tests.simulation.kernel import servers

SHAPES = {
    "queued": servers.WORKERS_8,
    "steps": servers.STEPS,
    "no queue": servers.NO_QUEUE,
    "rate": servers.RATE,
    "errors": servers.ERRORS,
    "stalls": servers.STALLS,
    "hangs": servers.HANGS,
}


def _both(tmp_path: Path, text: str, **terms: object) -> list[SimulatedRun]:
    server = servers.written(tmp_path, text)
    given = {"items": 240, "seed": 7, "layers": LayerSettings(retries=2, timeout_s=3.0), **terms}
    strategy = str(given.pop("strategy", "queue-stream:concurrency=12"))
    return [simulate(strategy, server, network=network, **given) for network in ("none", "memory")]  # type: ignore[arg-type] # a test's own terms


@pytest.mark.no_cover
@pytest.mark.parametrize("shape", SHAPES)
def test_both_ways_record_the_same_to_the_byte(tmp_path: Path, shape: str) -> None:
    """Without a delay the network adds nothing: neither time nor another order."""
    straight, wired = _both(tmp_path, SHAPES[shape])
    assert straight.seen == wired.seen
    assert straight.sha256 == wired.sha256


def test_streams_come_both_ways_alike(tmp_path: Path) -> None:
    """Token by token, each at its instant."""
    straight, wired = _both(tmp_path, servers.LLM, items=20, task="annotate:max_tokens=8,stream=true")
    assert straight.count(Outcome.ok) == wired.count(Outcome.ok) == 20
    assert (straight.rows["first_byte"] == wired.rows["first_byte"]).all()
    assert (straight.rows["last_chunk"] == wired.rows["last_chunk"]).all()


def test_resets_are_connection_errors_both_ways(tmp_path: Path) -> None:
    """As RST is on a real network."""
    straight, wired = _both(tmp_path, servers.RESETS, layers=LayerSettings())
    assert straight.count(Outcome.connection_error) == wired.count(Outcome.connection_error) > 0


def test_the_delay_is_paid_once_each_way(tmp_path: Path) -> None:
    """100 ms of service and 2 x 25 ms of network."""
    run = simulate("sync", servers.written(tmp_path, servers.CONSTANT), items=10, network="memory", delay_s=0.025)
    assert run.service_s() == pytest.approx(0.15)


def test_terms_that_cannot_be_are_refused_in_words() -> None:
    """Each names the field and what it may be."""
    with pytest.raises(SettingError, match=r"delay_s=0\.1: only the network in memory"):
        Terms(delay_s=0.1)
    with pytest.raises(SettingError, match="stop_s=-1"):
        Terms(stop_s=-1)
    with pytest.raises(SettingError, match="network='tcp'"):
        Terms(network="tcp")  # type: ignore[arg-type] # the mistake that is tested


def test_a_connection_without_a_network_is_refused() -> None:
    """A real socket in virtual time would be a hang or a lie."""
    from harness.client.transport.async_http import HttpTransport
    from harness.experiment.simulate import run

    async def main() -> None:
        async with HttpTransport("http://127.0.0.1:9") as transport:
            from harness.client.task_calls import request_for
            from harness.client.types import Item
            from harness.plugins import build

            task = build("task", "similarity", {})
            await transport(request_for(Item(0, task.parse({"text1": "a", "text2": "b"}), task)))

    with pytest.raises(NotSimulated, match="network in memory"):
        run(main())


def test_the_network_in_memory_has_one_server(tmp_path: Path) -> None:
    """A connection to any other address is refused, however it is made; it never reaches the simulated server."""

    async def connected(url: str) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = Network(SimulatedServer(servers.written(tmp_path, servers.WORKERS_8), 1).app)
        loop.connect = network.connect
        host, port = url.split(":")
        transport, _ = await loop.create_connection(asyncio.Protocol, host, int(port))
        transport.abort()

    async def by_socket() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.connect = lambda _: pytest.fail("a connection was made")
        with socket.socket() as one:
            await loop.sock_connect(one, ("127.0.0.1", 9))

    run(connected("127.0.0.1:80"))
    with pytest.raises(NotSimulated, match="one server"):
        run(connected("127.0.0.1:9"))
    with pytest.raises(NotSimulated, match="one server"):
        run(by_socket())
