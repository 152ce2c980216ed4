"""The Ray engine on a stand-in for Ray: its actors are objects of this process. A cluster is in test_ray_engine."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bulk import ProcessSettings
from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet.engines import ray as engines
from harness.bulk.fleet.engines.ray import RayEngine
from harness.bulk.fleet.engines.worker_engine import engine_of
from harness.bulk.fleet.fleet import Fleet
from harness.client.errors import UsageError
from tests.bulk.fleet.inside import check_whole
from tests.bulk.helpers import write_input
from tests.processes import mock


class LostError(Exception):
    """Stands for `ray.exceptions.RayError`."""


class Handle:
    """An actor: a call of a method is what the method returns."""

    def __init__(self, ray: StandIn, inner: Any) -> None:
        self._ray, self._inner = ray, inner

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            if name == "exchange" and self._ray.lose > 0:
                self._ray.lose -= 1
                raise LostError("The actor died unexpectedly.\nMore lines.")
            return getattr(self._inner, name)(*arguments)

        return SimpleNamespace(remote=call)


class StandIn:
    """The part of Ray that the engine uses."""

    exceptions = SimpleNamespace(RayError=LostError, GetTimeoutError=TimeoutError)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft))
    )

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.lose = 0
        self.address = ""
        self.ended = 0

    def init(self, address: str, **options: Any) -> None:
        self.address = address
        logging.getLogger("ray._private.authentication").warning("Token authentication is enabled.")
        logging.getLogger("ray._private.worker").error("The node is gone.")
        if address == "auto":
            raise ConnectionError("Could not find any running Ray instance.\nMore lines.")

    def remote(self, kind: Any) -> Any:
        def options(name: str = "", **more: Any) -> Any:
            if name in self.taken:
                raise ValueError(f"The name {name} is already taken")
            return SimpleNamespace(remote=lambda *arguments: Handle(self, kind(*arguments)))

        return SimpleNamespace(options=options)

    def get(self, value: Any, timeout: float = 0.0) -> Any:
        return value

    def kill(self, actor: Any) -> None:
        self.ended += 1

    def shutdown(self) -> None:
        self.address = ""

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "head")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn()
    monkeypatch.setattr(engines, "_library", lambda: found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return found


def test_ray_prints_nothing_while_a_run_has_it(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints to standard output, from a thread. Afterwards, and after a mistake, it may print again."""
    printed: list[str] = []
    module = SimpleNamespace(print_to_stdstream=printed.append)
    monkeypatch.setitem(sys.modules, "ray._private.worker", module)

    async def session(address: str | None) -> None:
        engine = RayEngine(address, "out.jsonl")
        await engine.open(1)
        module.print_to_stdstream("The node is gone.")
        await engine.close()

    asyncio.run(session(None))
    with pytest.raises(UsageError, match="no Ray cluster at auto"):
        asyncio.run(session("auto"))
    assert printed == []
    module.print_to_stdstream("Of someone else.")
    assert printed == ["Of someone else."]


@pytest.mark.slow
def test_a_run_on_actors_of_which_some_are_lost(tmp_path: Path, ray: StandIn) -> None:
    """They are replaced; the cluster that was started for the run is stopped."""
    write_input(tmp_path / "in.jsonl", 300)
    ray.lose = 2
    notes: list[str] = []
    with mock() as server:
        wanted = ProcessSettings(
            input=str(tmp_path / "in.jsonl"),
            output=str(tmp_path / "out.jsonl"),
            target=server.url,
            tasks=("annotate",),
            strategy="queue-stream:concurrency=8",
        )
        fleet = FleetSettings(workers=2, engine="ray", range_lines=50)
        engine = engine_of("ray", None, wanted.output)
        tell = lambda event, facts: notes.append(facts.get("text", ""))  # noqa: E731 - one line
        assert asyncio.run(Fleet(wanted, fleet, engine, tell).run()).passed
    check_whole(tmp_path, 300)
    assert [note for note in notes if "actor is gone: The actor died unexpectedly." in note]
    assert ray.ended >= 2
    assert ray.address == ""


def test_no_cluster_and_a_name_that_is_taken(ray: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line each."""
    with pytest.raises(UsageError, match=r"no Ray cluster at auto: Could not find any running Ray instance\.$"):
        asyncio.run(RayEngine("auto", "out").open(1))
    monkeypatch.setattr(engines, "_CLAIM_S", 0.0)
    ray.taken.add(f"output:{tmp_path / 'out'}")
    with pytest.raises(UsageError, match="another run on this Ray cluster is writing it"):
        asyncio.run(RayEngine(None, str(tmp_path / "out")).open(1))


def test_notices_of_ray_are_not_shown_and_its_errors_are(ray: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Importing Ray sets its logger to INFO."""
    logging.getLogger("ray").setLevel(logging.INFO)
    with pytest.raises(UsageError, match="no Ray cluster at auto"):
        asyncio.run(RayEngine("auto", "out.jsonl").open(1))
    assert [record.getMessage() for record in caplog.records] == ["The node is gone."]


def test_a_worker_without_the_folder_names_its_machine(ray: StandIn) -> None:
    """As on a node that does not share the file system."""
    import msgspec

    from harness.bulk.fleet.engines.ray_worker import RayWorker
    from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder, packed

    settings = ProcessSettings(input="in", output="out", target="http://127.0.0.1:9", tasks=("annotate",))
    worker = RayWorker(packed(WorkerOrder("w7", settings, "/no/such/folder", "token", 15.0, 0.1, True)))
    beat = msgspec.msgpack.decode(asyncio.run(worker.exchange(packed(Reply()))), type=Beat)
    assert beat.leaves
    assert beat.error is not None
    assert beat.error.startswith("/no/such/folder: No such file or directory, seen by worker w7 on ")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r'--engine ray needs the package ray: pip install "paceline\[ray\]"'):
        RayEngine(None, "out")
    with pytest.raises(UsageError, match="--engine dask: is not known"):
        engine_of("dask", None, "out")


def test_a_cluster_that_starts_no_actor_is_named_in_one_line(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the cluster is gone: the error of Ray reached nobody."""
    from harness.bulk.fleet.messages import WorkerLostError, WorkerOrder

    def remote(kind: Any) -> Any:
        raise LostError("The head node is gone.\nMore lines.")

    monkeypatch.setattr(ray, "remote", remote)
    settings = ProcessSettings(input="in", output="out", target="http://127.0.0.1:9", tasks=("annotate",))
    order = WorkerOrder("w1", settings, "/", "token", 15.0, 0.1, True)
    with pytest.raises(WorkerLostError, match=r"^no actor on the Ray cluster: The head node is gone\.$"):
        asyncio.run(RayEngine(None, "out").start(order))


@pytest.mark.parametrize(("said", "mode"), [("ray.exceptions.AuthenticationError: RPC error", "token"), ("", None)])
def test_the_token_of_the_machine_is_used_where_the_cluster_wants_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, mode: str | None
) -> None:
    """A cluster that was started by hand has it once Ray has made one, and asks every driver for it."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    (tmp_path / "token").write_text("secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    asked: list[list[str]] = []

    def run(line: list[str], **options: Any) -> SimpleNamespace:
        asked.append(line)
        return SimpleNamespace(stderr=said)

    monkeypatch.setattr(engines.subprocess, "run", run)
    engines._use_token("127.0.0.1:6379")
    assert asked[0][-3:] == ["status", "--address", "127.0.0.1:6379"]
    assert os.environ.pop("RAY_AUTH_MODE", None) == mode
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    engines._use_token("127.0.0.1:6379")
    assert len(asked) == 1, "without a token there is nothing to ask"
