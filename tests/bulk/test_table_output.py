"""An output named .csv or .parquet: made when the last row is done, from lines that survive a stop."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.table_output import TableOutput
from harness.client.types import Outcome
from tests.bulk.helpers import Server, go, refusal, rows, settings, write_input

LINES: list[dict[str, Any]] = [
    {"line": 1, "id": "a", "answer": {"text": 'x, "y"\nz', "score": 1, "usage": {"tokens": 2}, "vector": [1, 0.5]}},
    {"line": 2, "id": 7, "answer": {"text": None, "score": 0.5, "usage": None, "more": True, "vector": None}},
    {"line": 3, "id": "é", "answer": "plain"},
]


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet"])
def test_the_table_is_made_at_the_end_of_a_resumed_run(name: str, tmp_path: Path) -> None:
    """Not before; a run that is complete makes it again only if it is missing."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    write_input(tmp_path / "in.jsonl", 500)
    out = tmp_path / name

    def fails(index: int, call: int) -> Outcome:
        return Outcome.client_error if 200 <= index < 240 else Outcome.ok

    first = settings(tmp_path, output=str(out), errors_max=0.05, window=50)
    assert go(first, Server(fails)).stopped == "errors"
    assert not out.exists()
    again = settings(tmp_path, output=str(out), resume=True)
    assert go(again).complete
    expected = [(row["line"], row["id"], row["answer"]) for row in rows(Path(f"{out}.jsonl"))]
    assert read(out) == expected
    assert len(expected) + len(rows(tmp_path / "bad.jsonl")) == 500
    stamp = out.stat().st_mtime_ns
    assert go(again).nothing_to_do
    assert out.stat().st_mtime_ns == stamp
    out.unlink()
    assert go(again).nothing_to_do
    assert read(out) == expected
    assert not Path(f"{out}.part").exists()


def read(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a table."""
    if path.suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return [tuple(row.values()) for row in table.to_pylist()]
    with path.open(encoding="utf-8", newline="") as file:
        head, *found = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
    assert head == ["line", "id", "answer"]
    return [(int(row[0]), *row[1:]) for row in found]


def lines_beside(path: Path) -> TableOutput:
    """The table of LINES."""
    Path(f"{path}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return TableOutput(str(path))


def test_columns_of_parquet_have_types(tmp_path: Path) -> None:
    """Fields of an answer are columns; whole and broken numbers are numbers; mixed and nested values are JSON."""
    parquet = pytest.importorskip("pyarrow.parquet")
    lines_beside(tmp_path / "a.parquet").make()
    table = parquet.read_table(tmp_path / "a.parquet")
    assert {field.name: str(field.type).replace("item: ", "").replace("element: ", "") for field in table.schema} == {
        "line": "int64",
        "id": "string",
        "answer.text": "string",
        "answer.score": "double",
        "answer.usage": "string",
        "answer.vector": "list<double>",
        "answer.more": "bool",
        "answer": "string",
    }
    first, second, third = table.to_pylist()
    assert (first["id"], second["id"], third["answer"]) == ('"a"', "7", "plain")
    assert (first["answer.text"], first["answer.usage"]) == ('x, "y"\nz', '{"tokens":2}')
    assert (first["answer.vector"], first["answer.score"], second["answer.vector"]) == ([1.0, 0.5], 1.0, None)


def test_csv_has_a_column_for_each_field(tmp_path: Path) -> None:
    """Texts as they are, other values as JSON, missing ones empty."""
    lines_beside(tmp_path / "a.csv").make()
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert (found[0]["answer.text"], found[0]["answer.usage"]) == ('x, "y"\nz', '{"tokens":2}')
    assert (found[1]["id"], found[1]["answer.text"], found[1]["answer.more"]) == ("7", "", "true")
    assert (found[2]["id"], found[2]["answer"]) == ("é", "plain")


def test_mistakes_are_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign ending, a packed table, a file that is there, the input itself, a missing library."""
    write_input(tmp_path / "in.jsonl", 3)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "text.csv").write_text("text\na\n")
    more = {"input": str(tmp_path / "text.csv"), "output": str(tmp_path / "text.csv"), "overwrite": True}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"output": str(tmp_path / "a.xlsx")}, "a.xlsx: .xlsx is not written; allowed are JSONL, CSV, TSV and Parquet"),
        ({"output": str(tmp_path / "a.csv.gz")}, "a.csv.gz: a table is written unpacked; name it a.csv"),
        ({"output": str(tmp_path / "there.csv")}, "there.csv: exists already; --resume continues it"),
        (more, "are the same file"),
    ]
    for given, said in cases:
        assert said in (refusal(settings(tmp_path, **given)) or "")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = 'a.parquet: needs the package pyarrow: pip install "paceline[parquet]"'
    assert said in (refusal(settings(tmp_path, output=str(tmp_path / "a.parquet"))) or "")
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "text.csv", "there.csv"]
