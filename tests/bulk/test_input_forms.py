"""`process` on inputs of other forms than JSONL: the same guarantees."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bulk import Process, Summary
from harness.client.input_settings import InputSettings
from harness.client.types import Outcome
from tests.bulk.helpers import Server, go, refusal, rows, settings, write_input

ROWS = [{"id": f"i{n}", "text": f"a b\n{n} é"} for n in range(1, 1501)]


def write(folder: Path, name: str) -> Path:
    """The rows in the form of the name."""
    path = folder / name
    if name.endswith(".json"):
        path.write_text(json.dumps(ROWS, indent=1))
    elif name.endswith(".csv"):
        path.write_text("id;text\n" + "".join(f'{row["id"]};"{row["text"]}"\n' for row in ROWS), encoding="latin-1")
    else:
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(ROWS), path, row_group_size=400)
    return path


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "first", "reading"),
    [
        ("in.parquet", 1, InputSettings()),
        ("in.json", 1, InputSettings()),
        ("in.csv", 2, InputSettings(encoding="latin-1")),
    ],
)
def test_a_run_that_stops_is_resumed(name: str, first: int, reading: InputSettings, tmp_path: Path) -> None:
    """It gives each row one answer under its number, and repeats none."""
    path = write(tmp_path, name)

    def fails(index: int, call: int) -> Outcome:
        return Outcome.client_error if 700 <= index < 900 else Outcome.ok

    wanted = settings(tmp_path, input=str(path), reading=reading, errors_max=0.1, window=100)
    stopped = go(wanted, Server(fails))
    assert stopped.stopped == "errors"
    again = settings(tmp_path, input=str(path), reading=reading, resume=True, errors_max=1.0)
    server = Server()
    go(again, server)
    answers = rows(tmp_path / "out.jsonl")
    dead = rows(tmp_path / "bad.jsonl")
    assert {row["id"] for row in answers} | {row["id"] for row in dead} == {row["id"] for row in ROWS}
    assert len(answers) + len(dead) == len(ROWS)
    assert all(row["id"] == f"i{row['line'] - first + 1}" for row in answers)
    assert min(server.calls) > 600
    other = settings(tmp_path, input=str(path), reading=InputSettings(encoding="cp1252"), resume=True)
    if name.endswith(".csv"):
        assert "encoding was" in (refusal(other) or "")


def test_a_table_that_was_changed_is_refused(tmp_path: Path) -> None:
    """Also if it has the same size."""
    path = write(tmp_path, "in.parquet")
    go(settings(tmp_path, input=str(path)))
    data = bytearray(path.read_bytes())
    data[-12] ^= 1
    path.write_bytes(data)
    assert refusal(settings(tmp_path, input=str(path), resume=True)) is not None


def through_a_pipe(data: bytes, monkeypatch: pytest.MonkeyPatch, run: Any) -> Any:
    """Run with these bytes on standard input."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with io.FileIO(reading) as raw:
        monkeypatch.setattr(sys, "stdin", raw)
        return run()


def test_csv_comes_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first row names the columns; a wrong --map is refused before anything is written; a run can be resumed."""
    data = '\ufefffrage;id\r\n"a;\nb";x\r\nc é;y\r\n'.encode("utf-16")
    reading = InputSettings(input_format="csv", encoding="utf-16")

    def wanted(column: str, resume: bool = False) -> Any:
        return settings(tmp_path, input="-", reading=reading, columns=(f"text={column}",), resume=resume)

    said = through_a_pipe(data, monkeypatch, lambda: refusal(wanted("question")))
    assert said == "--map text=question: - has no such column; it has frage, id"
    assert not (tmp_path / "out.jsonl").exists()
    through_a_pipe(data, monkeypatch, lambda: go(wanted("frage")))
    found = [(row["line"], row["id"], row["answer"]) for row in rows(tmp_path / "out.jsonl")]
    assert [row[:2] for row in found] == [(2, "x"), (3, "y")]
    assert "a;\nb" in found[0][2]
    assert "c é" in found[1][2]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_another_encoding_on_a_pipe_is_refused_before_a_file_is_made(
    pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for a file; and it is read where --encoding names it."""
    data = pack('{"text": "a"}\n'.encode("utf-16"))
    said = through_a_pipe(data, monkeypatch, lambda: refusal(settings(tmp_path, input="-")))
    assert said is not None
    assert said.startswith("-: is not UTF-8 but UTF-16")
    assert list(tmp_path.iterdir()) == []
    named = settings(tmp_path, input="-", reading=InputSettings(encoding="utf-16"))
    assert through_a_pipe(data, monkeypatch, lambda: go(named)).counts["ok"] == 1


async def _stopped_in_wait(run: Process) -> Summary:
    """Stop a session that waits for the first bytes of its pipe."""
    session = asyncio.create_task(run.run())
    await asyncio.sleep(0.02)
    run.stop()
    return await session


@pytest.mark.parametrize("form", [None, "csv"])
def test_a_stop_ends_the_wait_for_a_silent_pipe(
    form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: nothing is in flight, and no file was made, so the same command can be given again."""
    wanted = settings(tmp_path, input="-", reading=InputSettings(input_format=form), resume=True)
    reading, writing = os.pipe()
    with io.FileIO(reading) as raw:
        monkeypatch.setattr(sys, "stdin", raw)
        done = asyncio.run(_stopped_in_wait(Process(wanted, Server())))
    os.close(writing)
    assert (done.stopped, done.counts["ok"]) == ("interrupted", 0)
    assert list(tmp_path.iterdir()) == []
    text = ("text;id\n" if form else "") + ("a;i1\n" if form else '{"text": "a"}\n')
    assert through_a_pipe(text.encode(), monkeypatch, lambda: go(wanted)).counts["ok"] == 1


def test_csv_on_standard_input_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of its columns are read again, though its rows are skipped."""
    data = ("text;id\n" + "".join(f"t;i{n}\n" for n in range(2, 400))).encode()
    more: dict[str, Any] = {"input": "-", "reading": InputSettings(input_format="csv"), "window": 20}

    def fails(index: int, call: int) -> Outcome:
        return Outcome.client_error if 200 <= index < 210 else Outcome.ok

    first = settings(tmp_path, **more, errors_max=0.01)
    assert through_a_pipe(data, monkeypatch, lambda: go(first, Server(fails))).stopped == "errors"
    server = Server()
    assert through_a_pipe(data, monkeypatch, lambda: go(settings(tmp_path, **more, resume=True), server)).complete
    assert min(server.calls) >= 200
    lines = [(row["line"], row["id"]) for name in ("out.jsonl", "bad.jsonl") for row in rows(tmp_path / name)]
    assert sorted(lines) == [(n, f"i{n}") for n in range(2, 400)]


def test_rows_that_are_not_wanted_are_counted_and_a_changed_template_is_refused(tmp_path: Path) -> None:
    """They get no line anywhere; the template's content is one of the settings of a run."""
    (tmp_path / "in.csv").write_text("id,body\n" + "".join(f"i{n},text {n}\n" for n in range(50)))
    (tmp_path / "t.j2").write_text("Say {{ body }}")
    reading = InputSettings(where="body != 'text 7'", template=str(tmp_path / "t.j2"))
    wanted: dict[str, Any] = {"input": str(tmp_path / "in.csv"), "reading": reading}
    done = go(settings(tmp_path, **wanted))
    assert (done.complete, done.counts["ok"], done.counts["left_out"]) == (True, 49, 1)
    answers = rows(tmp_path / "out.jsonl")
    assert "Say text 3" in answers[3]["answer"]
    assert [row["id"] for row in answers] == [f"i{n}" for n in range(50) if n != 7]
    assert go(settings(tmp_path, **wanted, resume=True)).nothing_to_do
    (tmp_path / "t.j2").write_text("Shout {{ body }}")
    assert "template's content was" in (refusal(settings(tmp_path, **wanted, resume=True)) or "")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    """Each in its form; a row without an id gets its file and line; a bad row names its place; it is resumed."""
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / ".hidden").write_text("x")
    (inside / "a.csv").write_text("text;x\nfrom csv;1\nbad\n")
    (inside / "b.jsonl").write_text('\ufeff{"text": "from jsonl", "id": "own"}\n\n{"text": 3}\n')
    (inside / "c.json").write_text(json.dumps([{"text": f"t{n}"} for n in range(300)]))
    more: dict[str, Any] = {"input": str(inside), "errors_max": 0.5, "window": 20}

    def fails(index: int, call: int) -> Outcome:
        return Outcome.client_error if index > 150 else Outcome.ok

    assert go(settings(tmp_path, **more), Server(fails)).stopped == "errors"
    server = Server()
    assert go(settings(tmp_path, **more, resume=True), server).complete
    answers, dead = rows(tmp_path / "out.jsonl"), rows(tmp_path / "bad.jsonl")
    assert [row["id"] for row in answers[:3]] == ["a.csv:2", "own", "c.json:1"]
    assert dead[0]["error"] == "a.csv, line 3: has 1 values, where the header names 2 columns"
    assert sorted(row["line"] for row in (*answers, *dead)) == list(range(1, 305))
    assert min(server.calls) > 150
    assert go(settings(tmp_path, **more, resume=True)).nothing_to_do
    (inside / "d.txt").write_text("more\n")
    assert "is not the input" in (refusal(settings(tmp_path, **more, resume=True)) or "")


def test_a_folder_holds_no_output_and_at_least_a_file(tmp_path: Path) -> None:
    """Else a later session would read its own answers."""
    (tmp_path / "in").mkdir()
    assert "in: has no file" in (refusal(settings(tmp_path, input=str(tmp_path / "in"))) or "")
    write_input(tmp_path / "a.jsonl", 1)
    assert "whose files are all read as input" in (refusal(settings(tmp_path, input=str(tmp_path))) or "")


def test_several_inputs_are_one_in_their_order(tmp_path: Path) -> None:
    """Ids are kept; each dead letter has its file, its line there and the row as it was; a resumed run checks all."""
    (tmp_path / "b.jsonl").write_text('{"text": "one", "id": "own"}\n{"text": 3, "id": "bad"}\nnot json\n')
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").write_text("text\ntwo\nthree\n")
    (tmp_path / "c.jsonl").write_text('{"text": "four"}\n')
    files = [str(tmp_path / name) for name in ("b.jsonl", "a", "c.jsonl")]
    more: dict[str, Any] = {"input": files[0], "more_inputs": tuple(files[1:]), "errors_max": 1}
    done = go(
        settings(tmp_path, **more), Server(lambda index, call: Outcome.client_error if index == 5 else Outcome.ok)
    )
    assert done.complete
    answers, dead = rows(tmp_path / "out.jsonl"), rows(tmp_path / "bad.jsonl")
    assert [(row["line"], row["id"]) for row in answers] == [
        (1, "own"),
        (4, f"{files[1]}/x.csv:2"),
        (6, f"{files[2]}:1"),
    ]
    places = {(row["file"], row["file_line"]): row for row in dead}
    assert set(places) == {(files[0], 2), (files[0], 3), (f"{files[1]}/x.csv", 3)}
    assert places[files[0], 3]["raw"] == "not json"
    assert json.loads(places[files[0], 2]["raw"])["text"] == 3
    assert places[f"{files[1]}/x.csv", 3]["row"]["text"] == "three"
    assert done.counts["samples"]["bad_line"].startswith(f"{files[0]}, line 2: text")
    assert done.counts["samples"]["client_error"].startswith(f"{files[1]}/x.csv, line 3: ")
    assert go(settings(tmp_path, **more, resume=True)).nothing_to_do
    (tmp_path / "c.jsonl").write_text('{"text": "five"}\n')
    assert "and 2 more is not the input" in (refusal(settings(tmp_path, **more, resume=True)) or "")
    again: dict[str, Any] = {"input": str(tmp_path / "bad.jsonl"), "output": str(tmp_path / "again.jsonl")}
    assert go(settings(tmp_path, **again, dead_letter=str(tmp_path / "worse.jsonl"), errors_max=1)).complete
    assert {(row["file"], row["file_line"]) for row in rows(tmp_path / "worse.jsonl")} == {(files[0], 2), (files[0], 3)}


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (("a.csv", "-"), {}, "- is standard input, which stands alone"),
        (("a.csv", "a.csv"), {}, "a.csv is given twice"),
        (("a.csv", "missing.jsonl"), {}, "missing.jsonl: No such file"),
        (("a.csv", "loop"), {}, "loop: Too many levels of symbolic links"),
        (("a.csv", "pipe"), {}, "pipe: is no file"),
        (("a.csv", "b.csv"), {"columns": ("text=body",)}, "b.csv has no such column"),
        (("a.csv", "b.csv"), {"reading": InputSettings(where="file != body")}, "uses the column 'body', which"),
        (("links",), {}, "nowhere: No such file"),
        (("a.csv", "x.xlsx"), {}, ".xlsx is not read"),
        (("latin",), {}, "caf\\xe9.jsonl: the file's name is not UTF-8"),
        (("a.csv", "latin"), {}, "caf\\xe9.jsonl: the file's name is not UTF-8"),
        (("links", "out.jsonl"), {}, "are the same file"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(
    tmp_path: Path, names: tuple[str, ...], more: dict[str, Any], reason: str
) -> None:
    """Before anything is sent, in one line."""
    (tmp_path / "a.csv").write_text("id,body\n1,x\n")
    (tmp_path / "b.csv").write_text("id,text\n1,x\n")
    (tmp_path / "x.xlsx").write_text("x")
    (tmp_path / "out.jsonl").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "latin") + b"/caf\xe9.jsonl")).write_text("{}")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "nowhere").symlink_to("elsewhere")
    if "are the same" in reason:
        (tmp_path / "links" / "nowhere").unlink()
        (tmp_path / "links" / "nowhere").write_text("{}")
    given = [name if name == "-" else str(tmp_path / name) for name in names]
    why = refusal(settings(tmp_path, input=given[0], more_inputs=tuple(given[1:]), **more)) or ""
    assert reason in why
    assert "\n" not in why
