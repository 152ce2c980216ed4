"""What one session with workers leaves to the next: parts, learnt limits, dead letters."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.fleet import FleetSettings
from harness.bulk.fleet.engines.local import LocalContact, LocalEngine
from harness.bulk.fleet.fleet import Fleet
from harness.bulk.fleet.messages import WorkerLostError, WorkerOrder
from harness.bulk.fleet.opening import Opening
from harness.bulk.fleet.range_worker import Worker
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from tests.bulk.fleet.inside import InsideEngine, check_whole, go, settings
from tests.bulk.helpers import Server, write_input


def test_a_stop_says_what_is_still_in_parts(tmp_path: Path) -> None:
    """Answers and dead letters that are not in their files until the run is resumed."""
    write_input(tmp_path / "in.jsonl", 300)
    server = Server(judge=lambda index, call: Outcome.client_error if index % 50 == 5 else Outcome.ok)

    def dies(worker: str, beat: Any) -> bool:
        return 0 in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}

    summary = go(settings(tmp_path, errors_max=0.5), server, dies=dies)
    assert summary.joined == {"answers": 0, "dead_letters": 0}
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert summary.counts["ok"] > 0
    summary = go(settings(tmp_path, errors_max=0.5, resume=True), server)
    assert summary.joined is None


def test_workers_share_one_limit_that_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run begins with it; a strategy without such a limit is refused before anything is written."""
    monkeypatch.setattr(Opening, "check_server", lambda self, target: None)
    write_input(tmp_path / "in.jsonl", 300)
    layers = LayerSettings(remember=str(tmp_path / "limits.json"))
    wanted = settings(tmp_path, strategy="adaptive", layers=layers, target="http://host:1/", overwrite=True)
    for known in (0, 1):
        summary = go(wanted, Server(turns=lambda index: 40))
        assert summary.passed
        figures = {layer.name: layer.figures for layer in summary.layers}["remember"]
        assert (figures["limits that began with saved findings"], figures["saved"]) == (known, 1)
    assert "http://host:1" in (tmp_path / "limits.json").read_text()
    with pytest.raises(UsageError, match=r"--remember .*: with --workers it needs a strategy with one limit"):
        go(settings(tmp_path, layers=layers, target="http://host:1", overwrite=True), Server())


def test_the_dead_letters_of_the_first_session_are_named(tmp_path: Path) -> None:
    """A session that does not name their file is refused."""
    write_input(tmp_path / "in.jsonl", 300)
    server = Server(judge=lambda index, call: Outcome.client_error if index == 5 else Outcome.ok)

    def dies(worker: str, beat: Any) -> bool:
        return 3 in {each.number for each in beat.progress} | {each.finished.number for each in beat.reports}

    letters = str(tmp_path / "kd5.jsonl")
    go(settings(tmp_path, errors_max=0.5, dead_letter=letters), server, dies=dies, workers=1)
    with pytest.raises(UsageError, match=r"this run's dead letters are in .*kd5.jsonl; add --dead-letter"):
        go(settings(tmp_path, errors_max=0.5, resume=True), server)
    assert go(settings(tmp_path, errors_max=0.5, resume=True, dead_letter=letters), server).complete


def test_a_worker_that_cannot_be_given_its_order_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process has ended and its pipes are closed, since nobody else knows them."""
    contacts: list[LocalContact] = []

    async def send(self: LocalContact, message: Any) -> None:
        contacts.append(self)
        raise WorkerLostError("ended")

    monkeypatch.setattr(LocalContact, "send", send)
    monkeypatch.setattr("sys.executable", "/bin/true")

    async def main() -> None:
        with pytest.raises(WorkerLostError):
            await LocalEngine().start(WorkerOrder("w1", settings(Path()), "", "", 1.0, 1.0, False))
        process = contacts[0]._process
        assert process.returncode is not None
        assert process.stdin is not None
        assert process.stdin.is_closing()

    asyncio.run(main())


def test_a_run_that_another_one_has_continued_meanwhile_is_refused(tmp_path: Path) -> None:
    """It waited for the other to end, with what it had read of the journal before, and sent all lines again."""
    write_input(tmp_path / "in.jsonl", 60)
    server = Server()

    async def session() -> None:
        engine = InsideEngine(server)
        wanted = settings(tmp_path, resume=True)

        async def opened(workers: int) -> None:
            other = Fleet(wanted, FleetSettings(workers=1), InsideEngine(server))
            assert (await other.run()).passed

        engine.open = opened  # type: ignore[method-assign]
        with pytest.raises(UsageError, match="another process has gone on with it meanwhile"):
            await Fleet(wanted, FleetSettings(workers=1), engine).run()

    asyncio.run(session())
    assert server.calls.total() == 60
    check_whole(tmp_path, 60)


def test_an_input_that_a_worker_does_not_see_names_its_machine(tmp_path: Path) -> None:
    """As on a node without the shared file system."""
    write_input(tmp_path / "in.jsonl", 60)
    order = WorkerOrder(
        "w7", settings(tmp_path, input=str(tmp_path / "none.jsonl")), str(tmp_path), "token", 15.0, 0.1, True
    )

    async def read() -> None:
        Worker(order, Server())._reader_of_input()

    with pytest.raises(UsageError, match=r"none.jsonl: No such file or directory, seen by worker w7 on "):
        asyncio.run(read())
