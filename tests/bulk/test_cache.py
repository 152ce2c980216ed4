"""A file of answers and whose they are: those of one server are none of another's, unless that is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.bulk import Summary
from harness.cli.process_show import Show
from harness.client.cache.store import AnswerStore
from harness.client.errors import UsageError
from harness.client.transport import server
from harness.client.types import Outcome, Request, Response
from tests.bulk.helpers import Server, go, rows, settings, write_input


def named(name: str) -> Any:
    """A server whose answers say whose they are."""

    async def send(request: Request, /) -> Response:
        return Response(Outcome.ok, 200, (f"{name}: {request.items[0].data}",), sent=0.0, done=0.0)

    return send


def run(folder: Path, name: str, more: str = "") -> tuple[Summary, list[str]]:
    """The input once through this server, with the one file of answers; the answers."""
    strategy = f"sync+cache:path={folder / 'answers.sqlite'}{more}"
    result = go(settings(folder, strategy=strategy, target=f"http://{name}", overwrite=True), named(name))
    return result, [row["answer"] for row in rows(folder / "out.jsonl")]


def test_a_file_of_answers_gives_no_server_those_of_another(tmp_path: Path) -> None:
    """Each finds its own again; with `shared` they are one."""
    write_input(tmp_path / "in.jsonl", 5)
    for name, cached in [("a", 0), ("b", 0), ("a", 5), ("b", 5)]:
        result, answers = run(tmp_path, name)
        assert result.counts["from_cache"] == cached
        assert [answer[:2] for answer in answers] == [f"{name}:"] * 5
    assert run(tmp_path, "a", ",shared=true")[0].counts["from_cache"] == 0
    result, answers = run(tmp_path, "b", ",shared=true")
    assert result.counts["from_cache"] == 5
    assert answers[0].startswith("a:")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"/v1/models": {"data": [{"id": "m"}]}}, {"/v1/models": {"data": [{"id": "m"}]}}, True),
        ({"/v1/models": {"data": [{"id": "m"}]}}, {"/v1/models": {"data": [{"id": "n"}]}}, False),
        (
            {"/v1/models": {"data": [{"id": "m"}, {"id": "n"}]}},
            {"/v1/models": {"data": [{"id": "n"}, {"id": "m"}]}},
            True,
        ),
        ({"/info": {"model_id": "m", "version": 1}}, {"/info": {"model_id": "m", "version": 2}}, True),
        ({"/info": {"model_id": "m", "model_sha": "1"}}, {"/info": {"model_id": "m", "model_sha": "2"}}, False),
        ({}, {}, True),
        ({"/v1/models": ["odd"]}, {"/v1/models": {"data": [None, 5]}}, True),
    ],
)
def test_a_server_is_identified_by_its_address_and_its_models(
    monkeypatch: pytest.MonkeyPatch, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    """A restart with another model at the same address is another server; a base URL may end in /v1."""

    def seen(routes: dict[str, Any], url: str = "http://h:1") -> str:
        monkeypatch.setattr(server, "call", lambda asked, **_: routes.get(asked.removeprefix("http://h:1")))
        return server.identity(url)

    assert (seen(one) == seen(other)) is same
    assert seen(one) == seen(one, "http://h:1/v1")
    assert seen({}) != seen({}, "http://h:2")


@pytest.mark.parametrize("what", ["database", "text"])
def test_a_file_that_is_no_cache_is_refused_before_anything_is_deleted(tmp_path: Path, what: str) -> None:
    """Another program's database, or no database: neither it nor the run that was to be overwritten is touched."""
    write_input(tmp_path / "in.jsonl", 5)
    go(settings(tmp_path))
    file = tmp_path / "theirs.sqlite"
    if what == "text":
        file.write_text("precious\n" * 500)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE precious (x)")
        connection.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=r"layer cache: .*theirs\.sqlite: (is another|cannot be used)"):
        go(settings(tmp_path, strategy=f"sync+cache:path={file}", overwrite=True), Server())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_takes_no_answer_costs_hits_and_is_named_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All lines are answered and the run passes; the last words name the file, also where all else is quiet."""
    write_input(tmp_path / "in.jsonl", 5)
    file = tmp_path / "answers.sqlite"
    AnswerStore(file).close()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END")
    connection.close()
    summary, answers = run(tmp_path, "a")
    assert summary.passed
    assert len(answers) == 5
    [cache] = [layer for layer in summary.layers if layer.name == "cache"]
    assert cache.figures == {
        "hits": 0,
        "misses": 5,
        "stored": 5,
        "file_hits": 0,
        "file_written": 0,
        "file_dropped": 5,
    }
    assert cache.ratios == {"hit_share": 0.0}
    assert cache.faults == [f"its file failed, which costs hits: {file}: disk I/O error"]
    fault = f"note: the layer cache did not do all of its work: {cache.faults[0]}"
    Show(settings(tmp_path)).end(summary, [])
    said = capsys.readouterr().err.splitlines()
    counted = "hits 0, misses 5, stored 5, file hits 0, file written 0, file dropped 5, hit share 0 %"
    assert said[-2:] == [f"layer cache: {counted}", fault]
    Show(settings(tmp_path), quiet=True).end(summary, [])
    assert capsys.readouterr().err.splitlines() == [fault]
